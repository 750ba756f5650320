#include "rpc/server/kv_service.h"

#include <algorithm>

#include <kj/debug.h>

#include "rpc/loop/pending.h"
#include "rpc/server/backup_service.h"

namespace raftkv::rpc {
namespace {

using raftkv::Status;

class KvServiceServer final : public wire::KvService::Server {
 public:
  KvServiceServer(EventLoop& loop, Service& service, const Limits& limits,
                  std::shared_ptr<const bool> alive, HasRoom has_room)
      : loop_(loop),
        service_(service),
        limits_(limits),
        alive_(std::move(alive)),
        has_room_(std::move(has_room)) {}

 private:
  kj::Promise<void> openSession(OpenSessionContext context) override {
    RequireAlive();
    Status refused = Admit(0);
    if (!refused.ok()) return Refuse(context, refused);
    auto pending = NewPending<Result<std::uint64_t>>();
    service_.OpenSession(DeadlineOf(context.getParams().getTimeoutMs()), std::move(pending.done));
    context.releaseParams();
    context.allowCancellation();
    return pending.promise.attach(Count()).then(
        [this, context](Result<std::uint64_t>&& opened) mutable {
          RequireAlive();
          auto results = context.getResults();
          Encode(service_.Header(), results.initHeader());
          Encode(opened.status(), results.initOutcome());
          if (opened.ok()) results.setReplicatedTimeMs(*opened);
        });
  }

  kj::Promise<void> submit(SubmitContext context) override {
    RequireAlive();
    auto params = context.getParams();
    const auto request = params.getRequest();
    Status refused = Admit(request.size());
    if (!refused.ok()) return Refuse(context, refused);
    const MonoTime deadline = DeadlineOf(params.getTimeoutMs());
    auto pending = NewPending<node::SubmitOutcome>();
    service_.Submit(ToBytes(request), deadline, std::move(pending.done));
    // It was applied: the same request, sent again, gets the stored answer.
    return Finish(context, kj::mv(pending.promise), Code::kUnknownOutcome);
  }

  kj::Promise<void> read(ReadContext context) override {
    RequireAlive();
    auto params = context.getParams();
    const auto request = params.getRequest();
    Status refused = Admit(request.size());
    if (!refused.ok()) return Refuse(context, refused);
    const node::ReadPolicy policy{
        .consistency = FromWire(params.getConsistency()),
        .max_staleness = std::chrono::milliseconds(params.getMaxStalenessMs())};
    auto pending = NewPending<node::SubmitOutcome>();
    service_.Read(ToBytes(request), policy, DeadlineOf(params.getTimeoutMs()),
                  [done = std::move(pending.done)](Result<Bytes> result) mutable {
                    if (!result.ok()) return done({result.status(), {}});
                    done({Status::Ok(), std::move(result).value()});
                  });
    return Finish(context, kj::mv(pending.promise), Code::kUnavailable);
  }

  kj::Promise<void> watch(WatchContext context) override {
    RequireAlive();
    auto params = context.getParams();
    const auto request = params.getRequest();
    if (*watches_ >= kMaxWatchesPerConnection) {
      return Refuse(context,
                    {Code::kUnavailable, "this connection has " + std::to_string(*watches_) +
                                             " watches waiting; use more connections"});
    }
    Status refused = CheckSize(request.size());
    if (!refused.ok()) return Refuse(context, refused);
    auto pending = NewPending<node::SubmitOutcome>();
    service_.Watch(ToBytes(request), DeadlineOf(std::min(params.getTimeoutMs(), kMaxWatchMs)),
                   [done = std::move(pending.done)](Result<Bytes> result) mutable {
                     if (!result.ok()) return done({result.status(), {}});
                     done({Status::Ok(), std::move(result).value()});
                   });
    return Finish(context, kj::mv(pending.promise), Code::kUnavailable, watches_);
  }

  kj::Promise<void> status(StatusContext context) override {
    RequireAlive();
    Status refused = Admit(0);
    if (!refused.ok()) {
      auto results = context.getResults();
      Encode(service_.Header(), results.initHeader());
      Encode(refused, results.initOutcome());
      return kj::READY_NOW;
    }
    using Answer = Result<EndpointStatus>;
    auto pending = NewPending<Answer>();
    const bool with_hash = context.getParams().getWithHash();
    service_.Status(with_hash, std::move(pending.done));
    context.releaseParams();
    context.allowCancellation();
    return pending.promise.attach(Count()).then([this, context](Answer&& answer) mutable {
      RequireAlive();
      auto results = context.getResults();
      Encode(service_.Header(), results.initHeader());
      Encode(answer.status(), results.initOutcome());
      if (answer.ok()) Encode(*answer, results.initStatus());
    });
  }

  kj::Promise<void> ping(PingContext context) override {
    RequireAlive();
    Encode(service_.Header(), context.getResults().initHeader());
    return kj::READY_NOW;
  }

  kj::Promise<void> members(MembersContext context) override {
    RequireAlive();
    const auto members = service_.Members();
    auto results = context.getResults();
    Encode(service_.Header(), results.initHeader());
    Encode(members.status(), results.initOutcome());
    if (!members.ok()) return kj::READY_NOW;
    auto list = results.initMembers(static_cast<capnp::uint>(members->size()));
    for (capnp::uint i = 0; i < list.size(); ++i) Encode((*members)[i], list[i]);
    return kj::READY_NOW;
  }

  kj::Promise<void> changeMembers(ChangeMembersContext context) override {
    RequireAlive();
    auto params = context.getParams();
    const Result<MemberChange> change = Decode(params);
    Status refused = change.ok() ? Admit(0) : change.status();
    if (!refused.ok()) return Refuse(context, refused);
    auto pending = NewPending<Status>();
    service_.ChangeMembers(*change, DeadlineOf(params.getTimeoutMs()), std::move(pending.done));
    context.releaseParams();
    context.allowCancellation();
    return pending.promise.attach(Count()).then([this, context](Status&& outcome) mutable {
      RequireAlive();
      auto results = context.getResults();
      Encode(service_.Header(), results.initHeader());
      Encode(outcome, results.initOutcome());
    });
  }

  kj::Promise<void> backup(BackupContext context) override {
    RequireAlive();
    Status refused = Admit(0);
    if (!refused.ok()) return Refuse(context, refused);
    using Source = std::shared_ptr<node::BackupSource>;
    auto pending = NewPending<Result<Source>>();
    service_.Backup(std::move(pending.done));
    context.releaseParams();
    context.allowCancellation();
    return pending.promise.attach(Count()).then([this, context](Result<Source>&& source) mutable {
      RequireAlive();
      auto results = context.getResults();
      Encode(service_.Header(), results.initHeader());
      Encode(source.status(), results.initOutcome());
      if (!source.ok()) return;
      Encode((*source)->head(), results.initHead());
      results.setBackup(NewBackup(loop_, *std::move(source), alive_, has_room_));
    });
  }

  void RequireAlive() const {
    if (!*alive_) kj::throwFatalException(KJ_EXCEPTION(DISCONNECTED, "the connection is closed"));
  }

  Status Admit(std::size_t request_bytes) const {
    if (*calls_ >= kMaxCallsPerConnection) {
      return {Code::kUnavailable, "this connection has " + std::to_string(*calls_) +
                                      " calls waiting; use more connections"};
    }
    return CheckSize(request_bytes);
  }

  Status CheckSize(std::size_t request_bytes) const {
    if (request_bytes > limits_.max_request_bytes) {
      return {Code::kInvalidArgument,
              "the request has " + std::to_string(request_bytes) + " bytes; at most " +
                  std::to_string(limits_.max_request_bytes) + " are allowed"};
    }
    return Status::Ok();
  }

  MonoTime DeadlineOf(std::uint32_t timeout_ms) {
    return loop_.Now() + std::chrono::milliseconds(std::min(timeout_ms, kMaxTimeoutMs));
  }

  // Counts a call for as long as the returned object lives; that may be longer than this server.
  using Counter = std::shared_ptr<std::uint32_t>;
  kj::Own<Counter> Count() { return CountIn(calls_); }
  static kj::Own<Counter> CountIn(const Counter& counter) {
    ++*counter;
    return kj::heap<Counter>(Counter(counter.get(), [counter](auto*) { --*counter; }));
  }

  template <class Context>
  kj::Promise<void> Refuse(Context context, const Status& status) {
    auto results = context.getResults();
    Encode(service_.Header(), results.initHeader());
    Encode(status, results.initOutcome());
    return kj::READY_NOW;
  }

  template <class Context>
  kj::Promise<void> Finish(Context context, kj::Promise<node::SubmitOutcome> outcome,
                           Code without_room) {
    return Finish(context, kj::mv(outcome), without_room, calls_);
  }

  template <class Context>
  kj::Promise<void> Finish(Context context, kj::Promise<node::SubmitOutcome> outcome,
                           Code without_room, const Counter& counter) {
    context.releaseParams();
    // If the client disconnects, the answer is no longer needed.
    context.allowCancellation();
    return outcome.attach(CountIn(counter))
        .then([this, context, without_room](node::SubmitOutcome&& outcome) mutable {
          RequireAlive();
          if (!has_room_(outcome.response.size())) {
            outcome = {
                {without_room,
                 "answers on this connection are waiting to be read; read them, and ask again"},
                {}};
          }
          const std::size_t words = 48 + outcome.response.size() / sizeof(capnp::word) +
                                    outcome.status.message().size() / sizeof(capnp::word);
          auto results = context.getResults(capnp::MessageSize{words, 0});
          Encode(service_.Header(), results.initHeader());
          Encode(outcome.status, results.initOutcome());
          if (outcome.status.ok()) results.setResponse(AsData(outcome.response.view()));
        });
  }

  EventLoop& loop_;
  Service& service_;
  const Limits limits_;
  const std::shared_ptr<const bool> alive_;
  const HasRoom has_room_;
  const Counter calls_ = std::make_shared<std::uint32_t>(0);
  const Counter watches_ = std::make_shared<std::uint32_t>(0);
};

}  // namespace

wire::KvService::Client NewKvService(EventLoop& loop, Service& service, const Limits& limits,
                                     std::shared_ptr<const bool> alive, HasRoom has_room) {
  return kj::heap<KvServiceServer>(loop, service, limits, std::move(alive), std::move(has_room));
}

}  // namespace raftkv::rpc
