#include "rpc/etcd/method.h"

#include <gtest/gtest.h>

#include "tests/rpc/etcd/call_record.h"

namespace raftkv::etcd {
namespace {

/// Counts what arrives; answers each request with one message.
class Echo final : public Conversation<WatchCancelRequest> {
 public:
  struct Seen {
    int requests = 0;
    int half_closes = 0;
    int drains = 0;
    int ended = 0;
  };
  Echo(Seen& seen, StreamReplier<WatchResponse> reply) : seen_(seen), reply_(std::move(reply)) {}
  ~Echo() override { ++seen_.ended; }
  void OnRequest(WatchCancelRequest request) override {
    ++seen_.requests;
    WatchResponse response;
    response.watch_id = request.watch_id;
    reply_.Send(response);
  }
  void OnHalfClose() override {
    ++seen_.half_closes;
    reply_.Finish({});
  }
  void OnDrained() override { ++seen_.drains; }

 private:
  Seen& seen_;
  const StreamReplier<WatchResponse> reply_;
};

class MethodsTest : public testing::Test {
 protected:
  MethodsTest() {
    methods_.AddUnary<PutRequest, PutResponse>(
        "etcdserverpb.KV", "Put", "kv/put",
        [this](const CallContext& context, const PutRequest& request,
               const Replier<PutResponse>& reply) {
          ++served_;
          if (request.key.empty()) {
            return reply({GrpcCode::kInvalidArgument, "etcdserver: key is not provided"});
          }
          PutResponse response;
          response.prev_kv.emplace().key = request.key;
          response.header.emplace().raft_term = context.needs_leader ? 1 : 2;
          reply(response);
        });
    methods_.AddStream<WatchCancelRequest, WatchResponse>(
        "etcdserverpb.Watch", "Watch", "watch", true,
        [this](const CallContext& /*context*/, StreamReplier<WatchResponse> reply) {
          return std::make_unique<Echo>(seen_, std::move(reply));
        });
    methods_.AddUnary<UnlockRequest, UnlockResponse>(
        "v3lockpb.Lock", "Unlock", {},
        [](const CallContext&, const UnlockRequest&, const Replier<UnlockResponse>&) {});
  }

  Methods methods_;
  int served_ = 0;
  Echo::Seen seen_;
};

TEST_F(MethodsTest, FindsAMethodByEitherPath) {
  const Method* const put = methods_.FindGrpc("/etcdserverpb.KV/Put");
  ASSERT_NE(put, nullptr);
  EXPECT_EQ(methods_.FindJson("kv/put"), put);
  EXPECT_EQ(put->request_type, "etcdserverpb.PutRequest");
  EXPECT_EQ(put->response_type, "etcdserverpb.PutResponse");
  EXPECT_FALSE(put->client_streams);
  EXPECT_FALSE(put->server_streams);
  const Method* const watch = methods_.FindJson("watch");
  ASSERT_NE(watch, nullptr);
  EXPECT_TRUE(watch->client_streams);
  EXPECT_TRUE(watch->server_streams);
  EXPECT_EQ(methods_.all().size(), 3U);
}

TEST_F(MethodsTest, FindsNothingForAnotherPath) {
  for (const char* const path : {"", "/", "/etcdserverpb.KV", "etcdserverpb.KV/Put",
                                 "/etcdserverpb.KV/put", "/etcdserverpb.KV/Put/"}) {
    EXPECT_EQ(methods_.FindGrpc(path), nullptr) << path;
  }
  // One without a path of its own is not served there.
  for (const char* const path : {"", "/kv/put", "kv", "kv/range"}) {
    EXPECT_EQ(methods_.FindJson(path), nullptr) << path;
  }
}

TEST_F(MethodsTest, KeepsItsPathsWhenItIsMoved) {
  const Methods moved = std::move(methods_);
  ASSERT_NE(moved.FindJson("kv/put"), nullptr);
  EXPECT_EQ(moved.FindJson("kv/put"), moved.FindGrpc("/etcdserverpb.KV/Put"));
}

TEST_F(MethodsTest, AnswersAUnaryCallOnceItsRequestIsComplete) {
  const OpenedCall call = OpenCall(methods_, "/etcdserverpb.KV/Put");
  call.Ask(PutRequest{.key = "k"});
  EXPECT_EQ(served_, 0);
  call.handler->OnHalfClose();
  EXPECT_EQ(served_, 1);
  EXPECT_EQ(call.record->outcome, Outcome{});
  ASSERT_EQ(call.record->sent.size(), 1U);
  EXPECT_EQ(call.Answer<PutResponse>().prev_kv->key, "k");
}

TEST_F(MethodsTest, AnswersInTheEncodingOfTheCall) {
  const OpenedCall call = OpenCall(methods_, "/etcdserverpb.KV/Put", Encoding::kJson);
  call.handler->OnMessage(R"({"key":"aw=="})");
  call.handler->OnHalfClose();
  ASSERT_EQ(call.record->sent.size(), 1U);
  EXPECT_EQ(call.record->sent[0], R"({"header":{"raft_term":"2"},"prev_kv":{"key":"aw=="}})");
}

TEST_F(MethodsTest, PassesAFailureOn) {
  const OpenedCall call = OpenCall(methods_, "/etcdserverpb.KV/Put");
  call.Ask(PutRequest{});
  call.handler->OnHalfClose();
  EXPECT_TRUE(call.record->sent.empty());
  ASSERT_TRUE(call.record->outcome.has_value());
  EXPECT_EQ(call.record->outcome->code, GrpcCode::kInvalidArgument);
  EXPECT_EQ(call.record->outcome->message, "etcdserver: key is not provided");
}

TEST_F(MethodsTest, RefusesAUnaryCallWithoutItsOneMessage) {
  for (const int messages : {0, 2, 3}) {
    const OpenedCall call = OpenCall(methods_, "/etcdserverpb.KV/Put");
    for (int i = 0; i < messages; ++i) call.Ask(PutRequest{.key = "k"});
    call.handler->OnHalfClose();
    EXPECT_EQ(served_, 0) << messages;
    ASSERT_TRUE(call.record->outcome.has_value()) << messages;
    EXPECT_EQ(call.record->outcome->code, GrpcCode::kInternal) << messages;
  }
}

TEST_F(MethodsTest, RefusesWhatItCannotDecodeAsTheEncodingAsksFor) {
  const OpenedCall proto = OpenCall(methods_, "/etcdserverpb.KV/Put");
  proto.handler->OnMessage("\x0a\x05z");
  proto.handler->OnHalfClose();
  ASSERT_TRUE(proto.record->outcome.has_value());
  EXPECT_EQ(proto.record->outcome->code, GrpcCode::kInternal);
  EXPECT_TRUE(proto.record->outcome->message.starts_with("grpc: error unmarshalling request: "))
      << proto.record->outcome->message;

  const OpenedCall json = OpenCall(methods_, "/etcdserverpb.KV/Put", Encoding::kJson);
  json.handler->OnMessage(R"({"key":5})");
  json.handler->OnHalfClose();
  ASSERT_TRUE(json.record->outcome.has_value());
  EXPECT_EQ(json.record->outcome->code, GrpcCode::kInvalidArgument);
  EXPECT_EQ(json.record->outcome->message, "key: a string of base64 is needed, not 5");
  EXPECT_EQ(served_, 0);
}

TEST_F(MethodsTest, CarriesAStreamBothWaysUntilItsHandlerIsDestroyed) {
  OpenedCall call = OpenCall(methods_, "/etcdserverpb.Watch/Watch");
  call.Ask(WatchCancelRequest{.watch_id = 7});
  call.Ask(WatchCancelRequest{.watch_id = 8});
  EXPECT_EQ(call.Answer<WatchResponse>(0).watch_id, 7);
  EXPECT_EQ(call.Answer<WatchResponse>(1).watch_id, 8);
  call.handler->OnDrained();
  EXPECT_EQ(seen_.drains, 1);
  EXPECT_FALSE(call.record->outcome.has_value());
  call.handler->OnHalfClose();
  EXPECT_EQ(seen_.half_closes, 1);
  EXPECT_EQ(call.record->outcome, Outcome{});
  EXPECT_EQ(seen_.ended, 0);
  call.handler.reset();
  EXPECT_EQ(seen_.ended, 1);
}

TEST_F(MethodsTest, EndsAStreamAtAMessageThatItCannotDecode) {
  const OpenedCall call = OpenCall(methods_, "/etcdserverpb.Watch/Watch");
  call.handler->OnMessage("\x0a");
  ASSERT_TRUE(call.record->outcome.has_value());
  EXPECT_EQ(call.record->outcome->code, GrpcCode::kInternal);
  EXPECT_EQ(seen_.requests, 0);
}

TEST(StreamReplierTest, IsFullAtTheLimitOfTheSink) {
  const auto record = std::make_shared<CallRecord>();
  const StreamReplier<WatchResponse> reply(record, Encoding::kProto);
  record->queued = Sink::kMaxQueuedBytes - 1;
  EXPECT_FALSE(reply.full());
  record->queued = Sink::kMaxQueuedBytes;
  EXPECT_TRUE(reply.full());
}

TEST(MethodsDeathTest, RefusesOnePathTwice) {
  const auto add = [](Methods& methods, const std::string& name, const std::string& json_path) {
    methods.AddUnary<PutRequest, PutResponse>(
        "etcdserverpb.KV", name, json_path,
        [](const CallContext&, const PutRequest&, const Replier<PutResponse>&) {});
  };
  Methods methods;
  add(methods, "Put", "kv/put");
  EXPECT_DEATH(add(methods, "Put", "kv/other"), "is_new");
  EXPECT_DEATH(add(methods, "Other", "kv/put"), "is_new_path");
}

}  // namespace
}  // namespace raftkv::etcd
