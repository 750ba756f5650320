// What do the tests of etcd's streams run on? All services of the door, over a real store in memory
// whose watchers wait in a real hub, in real time.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "lib/node/watch_hub.h"
#include "rpc/etcd/services.h"
#include "tests/rpc/etcd/call_record.h"
#include "tests/rpc/etcd/service_fixture.h"

namespace raftkv::etcd {

/// A store whose changes are watched. On the loop.
class WatchedChannel final : public StoreChannel, private node::Clock {
 public:
  explicit WatchedChannel(rpc::EventLoop& loop) : StoreChannel(loop), loop_(loop) {
    hub_ = std::make_unique<node::WatchHub>(
        node::WatchHubOptions(), log.store().revisions(),
        node::WatchHub::Ports{
            .clock = *this,
            .read_log =
                [this](kv::WatchOp op, std::uint64_t last, node::Done<kv::WatchLogPage> done) {
                  loop_.RunLater(
                      [this, op = std::move(op), last, done = std::move(done)]() mutable {
                        done(kv::ReadWatchLog(log.engine(), op, last));
                      });
                },
            .may_say_nothing_came = [this] { return cut_off; },
            .wakeup = [this] { PumpLater(); }});
  }

  void Submit(Bytes request, MonoTime deadline, node::SubmitDone done) override {
    StoreChannel::Submit(std::move(request), deadline,
                         [this, done = std::move(done)](node::SubmitOutcome outcome) mutable {
                           if (outcome.status.ok()) Publish();
                           done(std::move(outcome));
                         });
  }
  void Watch(Bytes request, MonoTime deadline, node::Done<Bytes> done) override {
    ++watches;
    loop_.RunLater(
        [this, request = std::move(request), deadline, done = std::move(done)]() mutable {
          auto op = kv::DecodeWatchRequest(request.view(), Limits());
          if (!op.ok()) return done(op.status());
          if (op->position.next == 0)
            return done(cut_off.ok() ? Result<Bytes>(hub_->Begin()) : cut_off);
          hub_->Add(*std::move(op), deadline, std::move(done));
        });
  }

  /// Not ok: no leader is known, and nothing can be said for sure.
  Status cut_off;
  int watches = 0;
  [[nodiscard]] std::size_t watchers() const { return hub_->watchers(); }
  void Stop() { hub_->FailAll(Status(Code::kCancelled, "the member was closed")); }

 private:
  MonoTime Now() override { return loop_.Now(); }
  std::uint64_t WallTimeMs() override { return 1; }

  /// What the last request has changed.
  void Publish() {
    std::vector<kv::ChangesPtr> changes;
    if (log.last_changes() != nullptr) changes.push_back(log.last_changes());
    hub_->OnApplied(std::move(changes), log.store().revisions(), 32 << 20);
    log.engine().RaiseLowestRevision(log.store().revisions().compacted);
  }
  void PumpLater() {
    if (std::exchange(pumps_, true)) return;
    loop_.RunLater([this] {
      pumps_ = false;
      Pump();
    });
  }
  void Pump() {
    hub_->Pump(loop_.Now());
    const MonoTime next = hub_->NextDeadline();
    if (next == kNever || next >= armed_for_) return;
    armed_for_ = next;
    loop_.At(next, [this] {
      armed_for_ = kNever;
      Pump();
    });
  }

  rpc::EventLoop& loop_;
  std::unique_ptr<node::WatchHub> hub_;
  bool pumps_ = false;
  MonoTime armed_for_ = kNever;
};

/// A member whose list of members changes when it is told to.
class ListedMember final : public rpc::FakeMember {
 public:
  using FakeMember::FakeMember;
  void ChangeMembers(const rpc::MemberChange& change, MonoTime deadline,
                     node::DoneStatus done) override {
    if (on_change) on_change(change);
    FakeMember::ChangeMembers(change, deadline, std::move(done));
  }
  std::function<void(const rpc::MemberChange&)> on_change;
};

class StreamsTest : public testing::Test {
 protected:
  static constexpr std::uint64_t kClusterId = 0xc1;
  static constexpr std::uint64_t kMemberId = 0xa1;
  static constexpr std::uint64_t kTermNow = 3;

  StreamsTest() : loop_(rpc::StartLoop()) {}
  ~StreamsTest() override {
    loop_->Call([this] {
      calls_.clear();
      services_.reset();
      if (kv_) kv_->Stop();
      if (channel_) channel_->Stop();
      kv_.reset();
      member_.reset();
    });
    // Timers of the loop refer to it.
    loop_->Stop();
    channel_.reset();
  }

  void Start(ServicesOptions options = {}) {
    On([&] {
      channel_ = std::make_unique<WatchedChannel>(*loop_);
      kv_ = node::NewSessionKv(*loop_, *channel_, {});
      member_ =
          std::make_unique<ListedMember>(*loop_, "n1", NodeId(kMemberId), ClusterId(kClusterId));
      status_.name = "n1";
      status_.cluster_id = kClusterId;
      status_.member_id = kMemberId;
      status_.term = kTermNow;
      status_.role = Role::kLeader;
      status_.leader = "n1";
      services_ = std::make_unique<Services>(Backend{.loop = *loop_,
                                                     .kv = *kv_,
                                                     .service = *member_,
                                                     .status = [this] { return StatusNow(); },
                                                     .limits = Limits(),
                                                     .log_sink = nullptr},
                                             std::move(options));
    });
  }

  /// On the loop.
  NodeStatus StatusNow() {
    NodeStatus status = status_;
    status.revision = channel_->log.store().revisions().revision;
    status.compacted_revision = channel_->log.store().revisions().compacted;
    return status;
  }
  void On(const std::function<void()>& work) { ASSERT_TRUE(loop_->Call(work)); }
  /// Waits until `condition` holds, which is looked at on the loop.
  [[nodiscard]] bool Await(const std::function<bool()>& condition) {
    return rpc::WaitFor([&] {
      bool holds = false;
      loop_->Call([&] { holds = condition(); });
      return holds;
    });
  }

  /// An open call; it lives until the end of the test or Drop().
  OpenedCall& Open(const std::string& path, CallContext context = {}) {
    auto call = std::make_unique<OpenedCall>();
    OpenedCall& opened = *call;
    On([&] {
      opened.record = std::make_shared<CallRecord>();
      const Method* const method = services_->methods().FindGrpc(path);
      ASSERT_NE(method, nullptr) << path;
      opened.handler = method->open(context, opened.record);
      calls_.push_back(std::move(call));
    });
    return opened;
  }
  /// The transport's end of a call.
  void Drop(OpenedCall& call) {
    On([&] { call.handler.reset(); });
  }
  template <class Request>
  void Say(OpenedCall& call, const Request& request) {
    On([&] { call.Ask(request); });
  }
  /// Of a unary call that may wait.
  template <class Request>
  OpenedCall& Ask(const std::string& path, const Request& request) {
    OpenedCall& call = Open(path);
    On([&] {
      call.Ask(request);
      call.handler->OnHalfClose();
    });
    return call;
  }
  [[nodiscard]] bool AwaitEnd(OpenedCall& call) {
    return Await([&] { return call.record->outcome.has_value(); });
  }
  [[nodiscard]] bool AwaitAnswers(OpenedCall& call, std::size_t count) {
    return Await([&] { return call.record->sent.size() >= count; });
  }
  std::size_t AnswersOf(OpenedCall& call) {
    std::size_t count = 0;
    On([&] { count = call.record->sent.size(); });
    return count;
  }
  /// The answer to a unary call, which must succeed.
  template <class Response, class Request>
  Response Get(const std::string& path, const Request& request) {
    OpenedCall& call = Ask(path, request);
    EXPECT_TRUE(AwaitEnd(call)) << path << " was not answered";
    EXPECT_EQ(EndOf(call), Outcome()) << path << ": " << EndOf(call).message;
    return At<Response>(call, 0);
  }
  /// How a unary call fails.
  template <class Request>
  Outcome Failure(const std::string& path, const Request& request) {
    OpenedCall& call = Ask(path, request);
    EXPECT_TRUE(AwaitEnd(call)) << path << " was not answered";
    return EndOf(call);
  }
  Outcome EndOf(OpenedCall& call) {
    Outcome outcome{GrpcCode::kUnknown, "(not ended)"};
    On([&] {
      if (call.record->outcome.has_value()) outcome = *call.record->outcome;
    });
    return outcome;
  }
  /// The answer number `at`.
  template <class Response>
  Response At(OpenedCall& call, std::size_t at) {
    Response response;
    On([&] { response = call.Answer<Response>(at); });
    return response;
  }

  std::int64_t Put(const std::string& key, const std::string& value, std::int64_t lease = 0) {
    PutRequest request;
    request.key = key;
    request.value = value;
    request.lease = lease;
    const auto answer = Get<PutResponse>("/etcdserverpb.KV/Put", request);
    return answer.header.value_or(ResponseHeader()).revision;
  }
  std::int64_t Delete(const std::string& key) {
    DeleteRangeRequest request;
    request.key = key;
    const auto answer = Get<DeleteRangeResponse>("/etcdserverpb.KV/DeleteRange", request);
    return answer.header.value_or(ResponseHeader()).revision;
  }
  /// All of them at one revision.
  std::int64_t PutTogether(const std::vector<std::string>& keys, const std::string& value) {
    TxnRequest txn;
    for (const std::string& key : keys) {
      PutRequest& put = txn.success.emplace_back().request_put.emplace();
      put.key = key;
      put.value = value;
    }
    const auto answer = Get<TxnResponse>("/etcdserverpb.KV/Txn", txn);
    return answer.header.value_or(ResponseHeader()).revision;
  }
  void Compact(std::int64_t revision) {
    CompactionRequest request;
    request.revision = revision;
    Get<CompactionResponse>("/etcdserverpb.KV/Compact", request);
  }
  void Grant(std::int64_t id) {
    LeaseGrantRequest request;
    request.ID = id;
    request.TTL = 100;
    Get<LeaseGrantResponse>("/etcdserverpb.Lease/LeaseGrant", request);
  }
  void Revoke(std::int64_t id) {
    LeaseRevokeRequest request;
    request.ID = id;
    Get<LeaseRevokeResponse>("/etcdserverpb.Lease/LeaseRevoke", request);
  }
  /// The keys of a range, by key.
  std::vector<std::string> KeysBelow(const std::string& prefix) {
    RangeRequest request;
    request.key = prefix;
    request.range_end = prefix.substr(0, prefix.size() - 1) + static_cast<char>(prefix.back() + 1);
    std::vector<std::string> keys;
    for (const KeyValue& kv : Get<RangeResponse>("/etcdserverpb.KV/Range", request).kvs) {
      keys.push_back(kv.key);
    }
    return keys;
  }

  std::unique_ptr<rpc::EventLoop> loop_;
  NodeStatus status_;
  std::unique_ptr<WatchedChannel> channel_;
  std::unique_ptr<node::StoppableKv> kv_;
  std::unique_ptr<ListedMember> member_;
  std::unique_ptr<Services> services_;
  std::vector<std::unique_ptr<OpenedCall>> calls_;
};

}  // namespace raftkv::etcd
