// What do the tests of etcd's services run on? A real store in memory behind a member's KV, and
// calls that go through the table of methods as a transport's do.
#pragma once

#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "lib/kv/parse.h"
#include "rpc/etcd/backend.h"
#include "rpc/etcd/errors.h"
#include "rpc/etcd/kv_service.h"
#include "rpc/etcd/lease_service.h"
#include "rpc/etcd/method.h"
#include "tests/rpc/server/rpc_fixture.h"
#include "tests/support/node/kv_log.h"

namespace raftkv::etcd {

/// Carries requests out at once, one after the other. On the loop.
class StoreChannel : public node::Channel {
 public:
  explicit StoreChannel(node::Loop& loop) : loop_(loop) {}

  void OpenSession(MonoTime /*deadline*/, node::Done<std::uint64_t> done) override {
    loop_.Post([this, done = std::move(done)]() mutable {
      if (!open_failure.ok()) return done(open_failure);
      done(log.now_ms());
    });
  }
  void Submit(Bytes request, MonoTime /*deadline*/, node::SubmitDone done) override {
    loop_.Post([this, request = std::move(request), done = std::move(done)]() mutable {
      ++submits;
      if (!submit_failure.ok()) return done({submit_failure, {}});
      const auto valid = kv::ValidateRequest(request.view(), Limits());
      EXPECT_TRUE(valid.ok()) << valid.status().ToString();
      kv::MessageBytes storage;
      kv::ParsedRequest parsed;
      EXPECT_TRUE(kv::ParseRequest(request.view(), 1 << 20, storage, parsed).ok());
      log.Apply(request, parsed.operations.size());
      done({Status::Ok(), log.last_answer()});
    });
  }
  void Read(Bytes request, node::ReadPolicy policy, MonoTime /*deadline*/,
            node::Done<Bytes> done) override {
    loop_.Post([this, request = std::move(request), policy, done = std::move(done)]() mutable {
      ++reads;
      last_policy = policy;
      if (before_read) before_read();
      if (!read_failure.ok()) return done(read_failure);
      done(kv::Read(log.engine(), kv::ReadTier::kAll, request.view(), max_answer_bytes,
                    kv::kMaxVisitedBytes, log.clock_ms()));
    });
  }
  void Watch(Bytes /*request*/, MonoTime /*deadline*/, node::Done<Bytes> /*done*/) override {}

  test::AppliedLog log;
  /// As a member answers.
  std::size_t max_answer_bytes = 4 << 20;
  /// Until there is a session nothing of a write can have been carried out.
  Status open_failure;
  Status submit_failure;
  Status read_failure;
  std::function<void()> before_read;
  int submits = 0;
  int reads = 0;
  node::ReadPolicy last_policy;

 private:
  node::Loop& loop_;
};

/// What a call has been answered so far. On the loop, but for `finished`.
class CallSink : public Sink {
 public:
  void Send(std::string encoded) override { sent.push_back(std::move(encoded)); }
  void Finish(Outcome how) override {
    EXPECT_FALSE(is_finished) << "finished twice";
    is_finished = true;
    outcome = how;
    finished.set_value(std::move(how));
  }
  [[nodiscard]] std::size_t queued_bytes() const override { return queued; }

  std::vector<std::string> sent;
  bool is_finished = false;
  Outcome outcome;
  std::promise<Outcome> finished;
  std::size_t queued = 0;
};

template <class Response>
struct Answer {
  Outcome outcome;
  Response response;
};

class ServiceTest : public testing::Test {
 protected:
  static constexpr std::uint64_t kCluster = 0xc1;
  static constexpr std::uint64_t kMember = 0xa1;
  static constexpr std::uint64_t kTerm = 3;
  static constexpr std::chrono::seconds kPatience{20};

  ServiceTest() : loop_(rpc::StartLoop()) {
    loop_->Call([this] {
      channel_ = std::make_unique<StoreChannel>(*loop_);
      kv_ = node::NewSessionKv(*loop_, *channel_, {});
      member_ = std::make_unique<rpc::FakeMember>(*loop_, "n1", NodeId(1), ClusterId(kCluster));
      backend_ = std::make_unique<Backend>(Backend{.loop = *loop_,
                                                   .kv = *kv_,
                                                   .service = *member_,
                                                   .status = [this] { return Now(); },
                                                   .limits = Limits(),
                                                   .log_sink = nullptr});
      kv_service_ = std::make_unique<KvService>(*backend_);
      lease_service_ = std::make_unique<LeaseService>(*backend_);
      kv_service_->Register(methods_);
      lease_service_->Register(methods_);
    });
  }
  ~ServiceTest() override {
    loop_->Call([this] {
      kv_service_.reset();
      lease_service_.reset();
      kv_->Stop();
      kv_.reset();
      channel_.reset();
      member_.reset();
    });
    loop_->Stop();
  }

  /// On the loop.
  NodeStatus Now() {
    NodeStatus status;
    status.cluster_id = kCluster;
    status.member_id = kMember;
    status.term = kTerm;
    status.leader = leader_;
    status.revision = channel_->log.store().revisions().revision;
    status.compacted_revision = channel_->log.store().revisions().compacted;
    return status;
  }
  void OnLoop(const std::function<void()>& work) { ASSERT_TRUE(loop_->Call(work)); }

  std::unique_ptr<Handler> Open(const std::string& path, const CallContext& context,
                                const std::shared_ptr<CallSink>& sink) {
    const Method* const method = methods_.FindGrpc(path);
    EXPECT_NE(method, nullptr) << path;
    return method == nullptr ? nullptr : method->open(context, sink);
  }

  /// A unary call, to its end. A zero timeout: none is set.
  template <class Response, class Request>
  Answer<Response> Call(const std::string& path, const Request& request,
                        std::chrono::milliseconds timeout = {}, bool needs_leader = false) {
    const auto sink = std::make_shared<CallSink>();
    auto finished = sink->finished.get_future();
    std::unique_ptr<Handler> handler;
    OnLoop([&] {
      CallContext context;
      if (timeout.count() > 0) context.deadline = loop_->Now() + timeout;
      context.needs_leader = needs_leader;
      handler = Open(path, context, sink);
      handler->OnMessage(EncodeProto(request));
      handler->OnHalfClose();
    });
    Answer<Response> answer;
    if (finished.wait_for(kPatience) != std::future_status::ready) {
      ADD_FAILURE() << path << " was not answered";
      return answer;
    }
    OnLoop([&] {
      handler.reset();
      answer.outcome = sink->outcome;
      EXPECT_EQ(sink->sent.size(), sink->outcome.ok() ? 1U : 0U);
      if (sink->sent.empty()) return;
      const auto decoded = DecodeProto<Response>(sink->sent.front());
      EXPECT_TRUE(decoded.ok()) << decoded.status().ToString();
      if (decoded.ok()) answer.response = *decoded;
    });
    return answer;
  }

  Answer<RangeResponse> Range(const RangeRequest& request) {
    return Call<RangeResponse>("/etcdserverpb.KV/Range", request);
  }
  Answer<PutResponse> Put(const PutRequest& request) {
    return Call<PutResponse>("/etcdserverpb.KV/Put", request);
  }
  /// The revision of a put that succeeds.
  std::int64_t PutPair(const std::string& key, const std::string& value, std::int64_t lease = 0) {
    PutRequest request;
    request.key = key;
    request.value = value;
    request.lease = lease;
    const auto answer = Put(request);
    EXPECT_EQ(answer.outcome, Outcome());
    return answer.response.header.value_or(ResponseHeader()).revision;
  }
  Answer<DeleteRangeResponse> Delete(const DeleteRangeRequest& request) {
    return Call<DeleteRangeResponse>("/etcdserverpb.KV/DeleteRange", request);
  }
  Answer<TxnResponse> Txn(const TxnRequest& request) {
    return Call<TxnResponse>("/etcdserverpb.KV/Txn", request);
  }
  Answer<CompactionResponse> Compact(std::int64_t revision) {
    CompactionRequest request;
    request.revision = revision;
    return Call<CompactionResponse>("/etcdserverpb.KV/Compact", request);
  }
  Answer<LeaseGrantResponse> Grant(std::int64_t ttl, std::int64_t id = 0) {
    LeaseGrantRequest request;
    request.TTL = ttl;
    request.ID = id;
    return Call<LeaseGrantResponse>("/etcdserverpb.Lease/LeaseGrant", request);
  }

  static RangeRequest Of(const std::string& key, const std::string& range_end = "") {
    RangeRequest request;
    request.key = key;
    request.range_end = range_end;
    return request;
  }
  static ResponseHeader HeaderAt(std::int64_t revision) {
    return {kCluster, kMember, revision, kTerm};
  }
  static std::string Keys(const RangeResponse& response) {
    std::string keys;
    for (const KeyValue& kv : response.kvs) keys += (keys.empty() ? "" : " ") + kv.key;
    return keys;
  }

  std::unique_ptr<rpc::EventLoop> loop_;
  std::string leader_ = "n1";
  std::unique_ptr<StoreChannel> channel_;
  std::unique_ptr<node::StoppableKv> kv_;
  std::unique_ptr<rpc::FakeMember> member_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<KvService> kv_service_;
  std::unique_ptr<LeaseService> lease_service_;
  Methods methods_;
};

}  // namespace raftkv::etcd
