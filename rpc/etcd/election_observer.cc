#include "rpc/etcd/election_observer.h"

#include <utility>

#include <raftkv/kv.h>
#include <raftkv/watch.h>

#include "rpc/etcd/errors.h"
#include "rpc/etcd/key_range.h"
#include "rpc/etcd/watch_page.h"

namespace raftkv::etcd {

namespace {

/// As etcd's clients do it: the first key below NAME/ is the leader's; its events are what the
/// leader says, up to its deletion; then the next one is looked for. Without a leader, the prefix
/// is watched until there is a put.
class Observer : public std::enable_shared_from_this<Observer> {
 public:
  Observer(Recipes& recipes, StreamReplier<LeaderResponse> reply)
      : backend_(recipes.backend), options_(recipes.options), reply_(std::move(reply)) {}

  void Begin(Recipes& recipes, const std::string& name) {
    if (begun_ || ended_) return;
    begun_ = true;
    place_ = recipes.places.Take(0);
    if (place_ == nullptr) return End(kTooManyRequests);
    prefix_ = PrefixOf(name);
    Look();
  }

  void OnDrained() {
    if (!ended_ && std::exchange(paused_, false)) Wait();
  }

  void Close() { ended_ = true; }

  void End(const Outcome& outcome) {
    if (std::exchange(ended_, true)) return;
    reply_.Finish(outcome);
  }

 private:
  void Look() {
    ScanOptions options;
    options.timeout = options_.call_timeout;
    options.limit = 1;
    options.order = OrderBy::kCreateRevision;
    options.skip_count = true;
    backend_.kv.ScanAsync(KeyRange::Prefix(prefix_), options,
                          [weak = weak_from_this()](const Result<ScanResult>& found) {
                            const auto self = weak.lock();
                            if (self != nullptr && !self->ended_) self->OnLooked(found);
                          });
  }

  void OnLooked(const Result<ScanResult>& found) {
    if (!found.ok()) return Again(found.status(), &Observer::Look);
    position_ = {.next = found->revision + 1, .delivered = 0};
    resumes_ = false;
    leader_.clear();
    if (!found->kvs.empty()) {
      leader_ = found->kvs[0].key;
      Tell(found->kvs[0], found->revision);
    }
    Wait();
  }

  void Tell(const raftkv::KeyValue& kv, std::uint64_t revision) {
    if (ended_) return;
    LeaderResponse response;
    response.header = MakeHeader(backend_, revision);
    response.kv = ToEtcd(kv);
    reply_.Send(response);
  }

  void Wait() {
    if (ended_) return;
    // A client that does not read is told nothing more until it does.
    paused_ = reply_.full();
    if (paused_) return;
    WatchPageOptions options;
    options.position = position_;
    options.resumes = resumes_;
    options.timeout = options_.page_timeout;
    KeyRange range = leader_.empty() ? KeyRange::Prefix(prefix_) : KeyRange::Single(leader_);
    AskPage(backend_, std::move(range), options,
            [weak = weak_from_this(), place = place_](const Result<WatchPage>& page) {
              const auto self = weak.lock();
              if (self != nullptr && !self->ended_) self->OnPage(page);
            });
  }

  void OnPage(const Result<WatchPage>& page) {
    if (page.code() == Code::kCompacted) return Look();
    if (!page.ok()) return Again(page.status(), &Observer::Wait);
    position_ = page->position;
    resumes_ = true;
    for (const WatchEvent& event : page->events) {
      if (event.kind == WatchEvent::Kind::kPut) {
        // The first contender of an empty queue leads; who comes next is told by a look.
        if (leader_.empty()) return Look();
        Tell(event.kv, event.kv.mod_revision);
      } else if (!leader_.empty()) {
        return Look();
      }
    }
    Wait();
  }

  void Again(const Status& status, void (Observer::*step)()) {
    if (!IsPassing(status.code())) return End(RecipeOutcome(status));
    backend_.loop.At(backend_.loop.Now() + options_.between_attempts,
                     [weak = weak_from_this(), step] {
                       const auto self = weak.lock();
                       if (self != nullptr && !self->ended_) (*self.*step)();
                     });
  }

  Backend& backend_;
  const RecipeOptions options_;
  const StreamReplier<LeaderResponse> reply_;
  std::string prefix_;
  std::shared_ptr<void> place_;
  bool begun_ = false;
  bool ended_ = false;
  bool paused_ = false;
  std::string leader_;  ///< its key; empty: nobody leads
  WatchPosition position_;
  bool resumes_ = false;
};

class ObserveConversation final : public Conversation<LeaderRequest> {
 public:
  ObserveConversation(Recipes& recipes, StreamReplier<LeaderResponse> reply)
      : recipes_(recipes), observer_(std::make_shared<Observer>(recipes, std::move(reply))) {}
  ObserveConversation(const ObserveConversation&) = delete;
  ObserveConversation& operator=(const ObserveConversation&) = delete;
  ~ObserveConversation() override { observer_->Close(); }

  // Each may end the call, and this object with it.
  void OnRequest(LeaderRequest request) override {
    const auto observer = observer_;
    observer->Begin(recipes_, request.name);
  }
  void OnDrained() override {
    const auto observer = observer_;
    observer->OnDrained();
  }
  void OnHalfClose() override {}

 private:
  Recipes& recipes_;
  const std::shared_ptr<Observer> observer_;
};

}  // namespace

std::unique_ptr<Conversation<LeaderRequest>> ObserveElection(Recipes& recipes,
                                                             StreamReplier<LeaderResponse> reply) {
  return std::make_unique<ObserveConversation>(recipes, std::move(reply));
}

}  // namespace raftkv::etcd
