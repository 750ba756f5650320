#include "rpc/etcd/contender.h"

#include <charconv>
#include <functional>
#include <utility>

#include <raftkv/kv.h>
#include <raftkv/watch.h>

#include "rpc/etcd/errors.h"
#include "rpc/etcd/watch_page.h"

namespace raftkv::etcd {

namespace {

ScanOptions OneByCreation() {
  ScanOptions options;
  options.limit = 1;
  options.order = OrderBy::kCreateRevision;
  options.skip_count = true;
  return options;
}

class Contender : public std::enable_shared_from_this<Contender> {
 public:
  using Done = OnceFunction<void(const Outcome&, const Turn&)>;
  Contender(Recipes& recipes, ContenderRequest request, std::shared_ptr<void> place, Done done)
      : recipes_(recipes),
        place_(std::move(place)),
        request_(std::move(request)),
        prefix_(PrefixOf(request_.name)),
        done_(std::move(done)) {}

  void Begin() { WithLease(recipes_, request_.lease, Then(&Contender::OnLeased)); }

  /// Nobody waits for the answer any more.
  void GiveUp() {
    if (!done_) return;
    done_ = nullptr;
    given_up_ = true;
    // While it enters, the answer to that decides.
    if (turn_.created != 0) Leave();
  }

 private:
  /// A callback of the KV. It keeps this alive, and does nothing once the services are gone.
  template <class T>
  std::function<void(Result<T>)> Then(void (Contender::*step)(const Result<T>&)) {
    return recipes_.life.Guard(
        [self = shared_from_this(), step](const Result<T>& result) { (*self.*step)(result); });
  }

  void OnLeased(const Result<std::uint64_t>& lease) {
    if (given_up_) return;
    if (!lease.ok()) return Finish(RecipeOutcome(lease.status()));
    turn_.lease = *lease;
    turn_.key = ContenderKey(request_.name, *lease);
    Enter();
  }

  WriteOptions Writing() const {
    WriteOptions options;
    options.timeout = recipes_.options.call_timeout;
    return options;
  }

  /// The key if there is none yet; and in one look who the owner is.
  void Enter() {
    raftkv::TxnRequest txn;
    txn.compares = {raftkv::Compare::CreateRevision(turn_.key, raftkv::Compare::kEqual, 0)};
    const Op owner = Op::Range(KeyRange::Prefix(prefix_), OneByCreation());
    txn.success = {Op::Put(turn_.key, request_.value, turn_.lease), owner};
    txn.failure = {Op::Get(turn_.key), owner};
    recipes_.backend.kv.TxnAsync(std::move(txn), Writing(), Then(&Contender::OnEntered));
  }

  void OnEntered(const Result<TxnResult>& result) {
    if (!result.ok()) return Finish(RecipeOutcome(result.status()));
    const bool has_both =
        result->results.size() == 2 && (result->succeeded || !result->results[0].found.kvs.empty());
    if (!has_both) {
      return Finish({GrpcCode::kInternal, "the store's answer does not say what the key was"});
    }
    turn_.created =
        result->succeeded ? result->revision : result->results[0].found.kvs[0].create_revision;
    turn_.queued = turn_.revision = result->revision;
    if (given_up_) {
      if (result->succeeded) Leave();
      return;
    }
    const auto& owners = result->results[1].found.kvs;
    owns_ = owners.empty() || owners[0].create_revision == turn_.created;
    const bool says_other = !result->succeeded && request_.proclaims &&
                            result->results[0].found.kvs[0].value != request_.value;
    if (says_other) return Proclaim();
    AfterEntry();
  }

  void AfterEntry() {
    if (owns_) return Finish({});
    Look();
  }

  void Proclaim() {
    raftkv::TxnRequest txn;
    txn.compares = {
        raftkv::Compare::CreateRevision(turn_.key, raftkv::Compare::kEqual, turn_.created)};
    txn.success = {Op::Put(turn_.key, request_.value, turn_.lease)};
    recipes_.backend.kv.TxnAsync(std::move(txn), Writing(), Then(&Contender::OnProclaimed));
  }

  void OnProclaimed(const Result<TxnResult>& result) {
    if (given_up_) return;
    if (result.ok() && result->succeeded) return AfterEntry();
    Leave();
    Finish(result.ok() ? Outcome{GrpcCode::kUnknown, request_.lost}
                       : RecipeOutcome(result.status()));
  }

  /// Who is before it?
  void Look() {
    ScanOptions options = OneByCreation();
    options.timeout = recipes_.options.call_timeout;
    options.reverse = true;
    options.keys_only = true;
    options.max_create_revision = turn_.created - 1;
    recipes_.backend.kv.ScanAsync(KeyRange::Prefix(prefix_), options, Then(&Contender::OnLooked));
  }

  void OnLooked(const Result<ScanResult>& found) {
    if (given_up_) return;
    if (!found.ok()) return Again(found.status(), &Contender::Look);
    if (found->kvs.empty()) return Confirm();
    before_ = found->kvs[0].key;
    position_ = {.next = found->revision + 1, .delivered = 0};
    resumes_ = false;
    Wait();
  }

  void Wait() {
    WatchPageOptions options;
    options.position = position_;
    options.resumes = resumes_;
    options.puts = false;
    options.timeout = recipes_.options.page_timeout;
    AskPage(recipes_.backend, KeyRange::Single(before_), options, Then(&Contender::OnPage));
  }

  void OnPage(const Result<WatchPage>& page) {
    if (given_up_) return;
    // It may have been deleted: looking again tells.
    if (page.code() == Code::kCompacted) return Look();
    if (!page.ok()) return Again(page.status(), &Contender::Wait);
    if (!page->events.empty()) return Look();
    position_ = page->position;
    resumes_ = true;
    Wait();
  }

  /// The key may be gone, with its lease.
  void Confirm() {
    ScanOptions options;
    options.timeout = recipes_.options.call_timeout;
    options.keys_only = true;
    options.skip_count = true;
    recipes_.backend.kv.ScanAsync(KeyRange::Single(turn_.key), options,
                                  Then(&Contender::OnConfirmed));
  }

  void OnConfirmed(const Result<ScanResult>& found) {
    if (given_up_) return;
    if (!found.ok()) return Again(found.status(), &Contender::Confirm);
    const bool is_there = !found->kvs.empty() && found->kvs[0].create_revision == turn_.created;
    turn_.revision = found->revision;
    Finish(is_there ? Outcome{} : Outcome{GrpcCode::kUnknown, request_.lost});
  }

  void Again(const Status& status, void (Contender::*step)()) {
    if (!IsPassing(status.code())) {
      Leave();
      return Finish(RecipeOutcome(status));
    }
    recipes_.backend.loop.At(recipes_.backend.loop.Now() + recipes_.options.between_attempts,
                             [weak = weak_from_this(), step] {
                               const auto self = weak.lock();
                               if (self != nullptr && !self->given_up_) (*self.*step)();
                             });
  }

  void Leave() {
    raftkv::TxnRequest txn;
    txn.compares = {
        raftkv::Compare::CreateRevision(turn_.key, raftkv::Compare::kEqual, turn_.created)};
    txn.success = {Op::Delete(turn_.key)};
    // If that fails the key goes with the lease.
    recipes_.backend.kv.TxnAsync(std::move(txn), Writing(), nullptr);
  }

  void Finish(const Outcome& outcome) {
    if (!done_) return;
    std::exchange(done_, nullptr)(outcome, turn_);
  }

  Recipes& recipes_;
  const std::shared_ptr<void> place_;  ///< as long as a call of it may be open
  const ContenderRequest request_;
  const std::string prefix_;
  Done done_;  ///< null: it was called, or nobody waits any more
  bool given_up_ = false;
  Turn turn_;
  bool owns_ = false;
  std::string before_;  ///< the key just before it
  WatchPosition position_;
  bool resumes_ = false;
};

}  // namespace

Outcome RecipeOutcome(const Status& status) {
  Outcome outcome = ToOutcome(status);
  if (outcome.code != GrpcCode::kUnavailable) outcome.code = GrpcCode::kUnknown;
  return outcome;
}

void WithLease(Recipes& recipes, std::int64_t lease,
               OnceFunction<void(Result<std::uint64_t>)> then) {
  if (lease != 0) return then(static_cast<std::uint64_t>(lease));
  const auto kept = std::make_shared<OnceFunction<void(Result<std::uint64_t>)>>(std::move(then));
  WriteOptions writing;
  writing.timeout = recipes.options.call_timeout;
  recipes.backend.kv.GrantLeaseAsync(recipes.options.lease_ttl, 0, writing,
                                     [kept](const Result<LeaseInfo>& lease) {
                                       if (!lease.ok()) return (*kept)(lease.status());
                                       (*kept)(lease->id);
                                     });
}

std::string PrefixOf(const std::string& name) { return name + "/"; }

std::string ContenderKey(const std::string& name, std::uint64_t lease) {
  char digits[16];
  const auto [end, error] = std::to_chars(digits, digits + sizeof digits, lease, 16);
  static_cast<void>(error);  // 16 digits are enough for every number
  return PrefixOf(name) + std::string(digits, end);
}

std::shared_ptr<void> Contend(Recipes& recipes, ContenderRequest request,
                              OnceFunction<void(const Outcome&, const Turn&)> done) {
  auto place = recipes.places.Take(0);
  if (place == nullptr) {
    recipes.backend.loop.RunLater(
        [done = std::move(done)]() mutable { done(kTooManyRequests, Turn{}); });
    return nullptr;
  }
  const auto contender =
      std::make_shared<Contender>(recipes, std::move(request), std::move(place), std::move(done));
  contender->Begin();
  return {contender.get(), [contender](void*) { contender->GiveUp(); }};
}

}  // namespace raftkv::etcd
