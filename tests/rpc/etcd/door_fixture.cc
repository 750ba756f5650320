#include "tests/rpc/etcd/door_fixture.h"

#include <utility>

namespace raftkv::etcd {
namespace {

/// Both ways: each request asks for some answers.
class TestStream final : public Conversation<WatchRequest> {
 public:
  TestStream(Seen& seen, StreamReplier<WatchResponse> reply) : seen_(seen), reply_(reply) {
    ++seen_.opened;
  }
  ~TestStream() override { ++seen_.closed; }

  void OnRequest(WatchRequest request) override {
    if (!request.create_request) return;
    const WatchCreateRequest& create = *request.create_request;
    seen_.keys.push_back(create.key);
    if (create.key == "finish") return reply_.Finish({});
    if (create.key == "fail") return reply_.Finish({GrpcCode::kUnavailable, "it failed"});
    wanted_ += create.watch_id;
    bytes_ = static_cast<std::size_t>(create.start_revision);
    Pour();
  }
  void OnHalfClose() override { ++seen_.half_closed; }
  void OnDrained() override { Pour(); }

 private:
  void Pour() {
    while (wanted_ > 0 && !reply_.full()) {
      --wanted_;
      WatchResponse answer;
      answer.watch_id = ++seen_.sent;
      answer.cancel_reason = std::string(bytes_, 'x');
      reply_.Send(answer);
    }
  }

  Seen& seen_;
  StreamReplier<WatchResponse> reply_;
  std::int64_t wanted_ = 0;
  std::size_t bytes_ = 0;
};

void ServeUnary(Seen& seen, const CallContext& context, RangeRequest request,
                const Replier<RangeResponse>& reply) {
  seen.contexts.push_back(context);
  seen.keys.push_back(request.key);
  if (request.key == "hold") {
    seen.held.push_back(reply);
  } else if (request.limit != 0) {
    reply(Outcome{static_cast<GrpcCode>(request.limit), request.range_end});
  } else {
    RangeResponse response;
    response.kvs.emplace_back();
    response.kvs[0].key = request.key;
    response.kvs[0].value = std::string(static_cast<std::size_t>(request.revision), 'v');
    response.count = 1;
    reply(response);
  }
}

}  // namespace

std::string UnaryRequest(const std::string& key, std::int64_t value_bytes) {
  RangeRequest request;
  request.key = key;
  request.revision = value_bytes;
  return EncodeProto(request);
}

std::string FailingRequest(GrpcCode code, const std::string& text) {
  RangeRequest request;
  request.key = "fail";
  request.limit = static_cast<std::int64_t>(code);
  request.range_end = text;
  return EncodeProto(request);
}

std::string StreamRequest(const std::string& key, std::int64_t answers, std::int64_t answer_bytes) {
  WatchRequest request;
  request.create_request.emplace();
  request.create_request->key = key;
  request.create_request->watch_id = answers;
  request.create_request->start_revision = answer_bytes;
  return EncodeProto(request);
}

std::string KeyOf(const std::string& answer) {
  const auto decoded = DecodeProto<RangeResponse>(answer);
  return decoded.ok() && decoded->kvs.size() == 1 ? decoded->kvs[0].key : "";
}

std::unique_ptr<Methods> MakeTestMethods(Seen& seen) {
  auto methods = std::make_unique<Methods>();
  methods->AddUnary<RangeRequest, RangeResponse>(
      "etcdserverpb.KV", "Range", "kv/range",
      [&seen](const CallContext& context, RangeRequest request, Replier<RangeResponse> reply) {
        ServeUnary(seen, context, std::move(request), reply);
      });
  methods->AddStream<WatchRequest, WatchResponse>(
      "etcdserverpb.Watch", "Watch", "watch", /*client_streams=*/true,
      [&seen](const CallContext& context, StreamReplier<WatchResponse> reply) {
        seen.contexts.push_back(context);
        if (context.needs_leader) reply.Finish({GrpcCode::kUnavailable, "etcdserver: no leader"});
        return std::make_unique<TestStream>(seen, reply);
      });
  return methods;
}

void DoorTest::Start(DoorOptions options, bool serves) {
  options.listen = "127.0.0.1:0";
  options.log_sink = log.Sink();
  loop->Call([&] {
    auto made = Door::Listen(*loop, std::move(options));
    ASSERT_TRUE(made.ok()) << made.status().ToString();
    door = *std::move(made);
    if (serves) door->Serve(*methods);
    address = door->address();
  });
}

void DoorTest::TearDown() {
  loop->Call([this] {
    door.reset();
    EXPECT_EQ(seen.opened, seen.closed) << "a handler was not destroyed";
    seen.held.clear();
  });
  loop->Stop();
}

void DoorTest::AnswerHeld() {
  loop->Call([this] {
    for (const auto& reply : seen.held) {
      RangeResponse response;
      response.kvs.emplace_back();
      response.kvs[0].key = "held";
      reply(response);
    }
    seen.held.clear();
  });
}

DoorOptions ImpatientDoor() {
  DoorOptions options;
  options.ticks.interval = std::chrono::milliseconds(20);
  return options;
}

}  // namespace raftkv::etcd
