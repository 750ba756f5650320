// How are gRPC's messages, timeouts and texts read and written, and what is a call between them?
#include "rpc/etcd/grpc_call.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/rpc/etcd/door_fixture.h"

namespace raftkv::etcd {
namespace {

using namespace std::chrono_literals;

TEST(GrpcTimeout, HasEveryUnit) {
  EXPECT_EQ(ParseGrpcTimeout("2H"), Duration(2h));
  EXPECT_EQ(ParseGrpcTimeout("3M"), Duration(3min));
  EXPECT_EQ(ParseGrpcTimeout("4S"), Duration(4s));
  EXPECT_EQ(ParseGrpcTimeout("5m"), Duration(5ms));
  EXPECT_EQ(ParseGrpcTimeout("6u"), Duration(6us));
  EXPECT_EQ(ParseGrpcTimeout("7n"), Duration(7ns));
  EXPECT_EQ(ParseGrpcTimeout("0m"), Duration(0));
}

TEST(GrpcTimeout, IsAtMostAYear) {
  for (const char* const text : {"99999999H", "99999999M"}) {
    EXPECT_EQ(ParseGrpcTimeout(text), Duration(24h * 365)) << text;
  }
  EXPECT_EQ(ParseGrpcTimeout("99999999n"), Duration(99'999'999ns));
}

TEST(GrpcTimeout, IsNothingElse) {
  for (const char* const text :
       {"", "S", "1", "1s", "-1S", "+1S", " 1S", "1 S", "123456789S", "1.5S", "0x1S", "1SS"}) {
    EXPECT_EQ(ParseGrpcTimeout(text), std::nullopt) << text;
  }
}

TEST(GrpcMessage, IsPercentEncoded) {
  EXPECT_EQ(PercentEncode("etcdserver: key not found"), "etcdserver: key not found");
  EXPECT_EQ(PercentEncode("100%\n\x7f~ \xc3\xbc"), "100%25%0A%7F~ %C3%BC");
  EXPECT_EQ(PercentEncode(""), "");
}

class Reader : public testing::Test {
 protected:
  Outcome Read(std::string_view bytes) {
    return reader.Read(bytes, [this](std::string_view message) {
      messages.emplace_back(message);
      return messages.size() < stop_after;
    });
  }
  MessageReader reader{100};
  std::vector<std::string> messages;
  std::size_t stop_after = 100;
};

TEST_F(Reader, TakesMessagesHoweverTheyArrive) {
  const std::vector<std::string> sent = {"", "one", std::string(100, 'x'), "", "two"};
  std::string bytes;
  for (const std::string& message : sent) bytes += FrameMessage(message);
  for (std::size_t piece = 1; piece <= bytes.size(); ++piece) {
    messages.clear();
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
      ASSERT_TRUE(Read(std::string_view(bytes).substr(at, piece)).ok()) << piece;
    }
    EXPECT_EQ(messages, sent) << piece;
    EXPECT_EQ(reader.unfinished_bytes(), 0U) << piece;
  }
}

TEST_F(Reader, CountsWhatIsIncomplete) {
  const std::string framed = FrameMessage("12345");
  ASSERT_TRUE(Read(std::string_view(framed).substr(0, 3)).ok());
  EXPECT_EQ(reader.unfinished_bytes(), 3U);
  ASSERT_TRUE(Read(std::string_view(framed).substr(3, 4)).ok());
  EXPECT_EQ(reader.unfinished_bytes(), 7U);
  reader.Drop();
  EXPECT_EQ(reader.unfinished_bytes(), 0U);
}

TEST_F(Reader, RefusesWhatIsTooLargeBeforeItArrives) {
  EXPECT_TRUE(Read(FrameMessage(std::string(100, 'x'))).ok());
  const Outcome refused = Read(FrameMessage(std::string(101, 'x')).substr(0, 5));
  EXPECT_EQ(refused.code, GrpcCode::kResourceExhausted);
  EXPECT_EQ(refused.message, "grpc: received message larger than max (101 vs. 100)");
}

TEST_F(Reader, RefusesCompressionAndUnknownFlags) {
  std::string framed = FrameMessage("x");
  framed[0] = 1;
  EXPECT_EQ(Read(framed).code, GrpcCode::kUnimplemented);
  framed[0] = 2;
  EXPECT_EQ(Read(framed).code, GrpcCode::kInternal);
}

TEST_F(Reader, StopsWhenToldTo) {
  stop_after = 1;
  EXPECT_TRUE(Read(FrameMessage("a") + FrameMessage("b")).ok());
  EXPECT_EQ(messages, std::vector<std::string>{"a"});
}

/// Remembers what its calls say.
class FakeOwner final : public CallOwner {
 public:
  void Wake(std::int32_t) override { ++wakes; }
  [[nodiscard]] bool HasRoomForAnswer(std::size_t) const override { return has_room; }
  [[nodiscard]] bool HasRoomForUnfinished(bool) const override { return has_room; }
  void CountQueued(std::size_t before, std::size_t after) override {
    queued = queued - before + after;
  }
  void CountUnfinished(std::size_t before, std::size_t after) override {
    unfinished = unfinished - before + after;
  }
  int wakes = 0;
  bool has_room = true;
  std::size_t queued = 0;
  std::size_t unfinished = 0;
};

class Call : public testing::Test {
 protected:
  GrpcCall& Open(const std::string& path, const std::string& timeout = "") {
    call = std::make_unique<GrpcCall>(owner, 1, 1 << 20);
    call->head.method = "POST";
    call->head.path = path;
    call->head.content_type = "application/grpc";
    call->head.timeout = timeout;
    call->Open(methods.get(), MonoTime(100s));
    return *call;
  }
  std::string Take(std::size_t size = 1 << 30) {
    std::string bytes(std::min<std::size_t>(size, call->queued_bytes()), '\0');
    EXPECT_EQ(call->Take(bytes.data(), bytes.size()), bytes.size());
    return bytes;
  }

  FakeOwner owner;
  Seen seen;
  std::unique_ptr<Methods> methods = MakeTestMethods(seen);
  std::unique_ptr<GrpcCall> call;
};

TEST_F(Call, AnswersAUnaryCall) {
  Open(kUnary).OnData(FrameMessage(UnaryRequest("k")));
  EXPECT_FALSE(call->ended()) << "before its client has said that this is all";
  call->OnHalfClose();
  ASSERT_TRUE(call->ended());
  EXPECT_TRUE(call->outcome().ok());
  const std::string answer = Take();
  EXPECT_EQ(KeyOf(answer.substr(kMessagePrefixBytes)), "k");
  EXPECT_EQ(owner.queued, 0U);
}

TEST_F(Call, KnowsItsDeadline) {
  EXPECT_EQ(Open(kUnary, "5S").deadline(), MonoTime(105s));
  EXPECT_EQ(Open(kUnary).deadline(), kNever);
  call->OnData(FrameMessage(UnaryRequest("k")));
  call->OnHalfClose();
  ASSERT_EQ(seen.contexts.size(), 1U);
  EXPECT_EQ(seen.contexts[0].deadline, kNever);
  EXPECT_EQ(Open(kUnary, "5x").outcome().code, GrpcCode::kInternal);
}

TEST_F(Call, ARequestThatIsNoneIsRefused) {
  EXPECT_EQ(Open("/a.B/C").outcome(), (Outcome{GrpcCode::kUnimplemented, "unknown service a.B"}));
  EXPECT_EQ(
      Open("/etcdserverpb.KV/Nothing").outcome(),
      (Outcome{GrpcCode::kUnimplemented, "unknown method Nothing for service etcdserverpb.KV"}));
  EXPECT_EQ(Open("/nothing").outcome().code, GrpcCode::kUnimplemented);
  EXPECT_EQ(Open("").outcome().code, GrpcCode::kUnimplemented);
  call = std::make_unique<GrpcCall>(owner, 1, 1 << 20);
  call->head = {.method = "GET", .path = kUnary, .content_type = "", .timeout = ""};
  call->Open(methods.get(), {});
  EXPECT_EQ(call->http_status(), 405);
  for (const char* const other : {"application/json", "application/grpcx", "", "text/html"}) {
    call = std::make_unique<GrpcCall>(owner, 1, 1 << 20);
    call->head = {.method = "POST", .path = kUnary, .content_type = other, .timeout = ""};
    call->Open(methods.get(), {});
    EXPECT_EQ(call->http_status(), 415) << other;
  }
  for (const char* const grpc : {"application/grpc+proto", "application/grpc;charset=x"}) {
    call = std::make_unique<GrpcCall>(owner, 1, 1 << 20);
    call->head = {.method = "POST", .path = kUnary, .content_type = grpc, .timeout = ""};
    call->Open(methods.get(), {});
    EXPECT_FALSE(call->ended()) << grpc;
  }
}

TEST_F(Call, AUnaryCallNeedsExactlyOneWholeMessage) {
  Open(kUnary).OnHalfClose();
  EXPECT_EQ(call->outcome().code, GrpcCode::kInternal);
  Open(kUnary).OnData(FrameMessage(UnaryRequest("k")).substr(0, 6));
  EXPECT_EQ(owner.unfinished, 6U);
  call->OnHalfClose();
  EXPECT_EQ(call->outcome().code, GrpcCode::kInternal);
  call.reset();
  EXPECT_EQ(owner.unfinished, 0U);
}

TEST_F(Call, AnswersAfterItsEndAreNothing) {
  Open(kUnary).OnData(FrameMessage(UnaryRequest("hold")));
  call->OnHalfClose();
  call->Abort({GrpcCode::kDeadlineExceeded, "late"});
  seen.held[0](RangeResponse());
  EXPECT_EQ(call->queued_bytes(), 0U);
  EXPECT_EQ(call->outcome().code, GrpcCode::kDeadlineExceeded);
  call.reset();
  seen.held[0](RangeResponse());
}

TEST_F(Call, AMessageSentInPartCannotBeFollowed) {
  Open(kStream).OnData(FrameMessage(StreamRequest("k", 2, 50)));
  Take(10);
  call->Abort({GrpcCode::kUnavailable, "stopped"});
  EXPECT_TRUE(call->broken());
  Open(kStream).OnData(FrameMessage(StreamRequest("k", 2, 50)));
  Take();
  call->Abort({GrpcCode::kUnavailable, "stopped"});
  EXPECT_FALSE(call->broken());
}

TEST_F(Call, AMethodThatFilledItsQueueIsToldWhenItMayGoOn) {
  constexpr std::int64_t kBytes = 100'000;
  Open(kStream).OnData(FrameMessage(StreamRequest("k", 50, kBytes)));
  EXPECT_GE(call->queued_bytes(), Sink::kMaxQueuedBytes);
  EXPECT_LT(call->queued_bytes(), Sink::kMaxQueuedBytes + 2 * kBytes);
  const std::int64_t before = seen.sent;
  EXPECT_FALSE(call->TakeDrained());
  Take(2 * kBytes);
  EXPECT_TRUE(call->TakeDrained());
  EXPECT_FALSE(call->TakeDrained()) << "once";
  call->TellDrained();
  EXPECT_GT(seen.sent, before);
  while (call->queued_bytes() > 0) {
    Take();
    if (call->TakeDrained()) call->TellDrained();
  }
  EXPECT_EQ(seen.sent, 50);
}

TEST_F(Call, IsRefusedWhereThereIsNoRoom) {
  owner.has_room = false;
  Open(kUnary).OnData(FrameMessage(UnaryRequest("small")));
  call->OnHalfClose();
  EXPECT_TRUE(call->outcome().ok()) << "small answers are always kept";
  Open(kUnary).OnData(FrameMessage(UnaryRequest("large", kSmallMessageBytes)));
  call->OnHalfClose();
  EXPECT_EQ(call->outcome().code, GrpcCode::kResourceExhausted);
  Open(kUnary).OnData(FrameMessage(UnaryRequest("part")).substr(0, 7));
  EXPECT_EQ(call->outcome().code, GrpcCode::kResourceExhausted);
  EXPECT_EQ(owner.unfinished, 0U);
}

TEST_F(Call, AMessageThatDoesNotCompleteIsNotWaitedFor) {
  Open(kUnary).OnData(FrameMessage(UnaryRequest("k")).substr(0, 3));
  EXPECT_FALSE(call->CountUnfinishedTicks(3, 1s));
  EXPECT_FALSE(call->CountUnfinishedTicks(3, 1s));
  EXPECT_TRUE(call->CountUnfinishedTicks(3, 1s));
  // A large one has the time that it needs.
  Open(kUnary).OnData(FrameMessage(UnaryRequest(std::string(200'000, 'k'))).substr(0, 150'000));
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(call->CountUnfinishedTicks(3, 1s)) << i;
  EXPECT_TRUE(call->CountUnfinishedTicks(3, 1s));
}

TEST(Floods, AreCountedByTheSecondAndKind) {
  Http2Limits limits;
  limits.max_pings = 3;
  FloodGuard guard(limits);
  const MonoTime now(10s);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(guard.Count(FloodGuard::Kind::kPing, now));
  EXPECT_FALSE(guard.Count(FloodGuard::Kind::kPing, now + 999ms));
  EXPECT_TRUE(guard.Count(FloodGuard::Kind::kReset, now + 999ms));
  EXPECT_TRUE(guard.Count(FloodGuard::Kind::kPing, now + 1s));
}

TEST(SharedRoom, SmallThingsHaveMoreOfIt) {
  SharedBytes bytes(100);
  bytes.Add(50);
  EXPECT_TRUE(bytes.HasRoomForLarge());
  bytes.Add(1);
  EXPECT_FALSE(bytes.HasRoomForLarge());
  EXPECT_TRUE(bytes.HasRoom(49));
  EXPECT_FALSE(bytes.HasRoom(50));
  bytes.Add(49);
  EXPECT_TRUE(bytes.HasRoom());
  bytes.Add(1);
  EXPECT_FALSE(bytes.HasRoom());
  bytes.Remove(101);
  EXPECT_EQ(bytes.used(), 0U);
}

}  // namespace
}  // namespace raftkv::etcd
