// Does gRPC over HTTP/2 work as its clients expect, with a real loop and real sockets?
#include <chrono>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/rpc/etcd/door_fixture.h"

namespace raftkv::etcd {
namespace {

using namespace std::chrono_literals;
using test::H2Answer;
using test::H2Client;
using test::H2Options;

class Http2 : public DoorTest {
 protected:
  /// Opens a stream with one request.
  std::int32_t OpenStream(H2Client& client, const std::string& request, bool end = false) {
    return client.Open(H2Client::CallHeaders(kStream), H2Client::Frame(request), end);
  }
  std::int32_t Hold(H2Client& client, const H2Client::Headers& extra = {}) {
    return client.Open(H2Client::CallHeaders(kUnary, extra), H2Client::Frame(UnaryRequest("hold")),
                       /*end=*/true);
  }
  std::size_t held() {
    return Get<std::size_t>([this] { return seen.held.size(); });
  }
};

TEST_F(Http2, AUnaryCallHasHeadersAMessageAndTrailers) {
  Start();
  H2Client client(address);
  const H2Answer answer = client.Call(kUnary, UnaryRequest("key"));
  EXPECT_TRUE(answer.closed);
  EXPECT_EQ(answer.error, 0U);
  EXPECT_EQ(answer.status(), "200");
  EXPECT_EQ(answer.headers.at("content-type"), "application/grpc");
  ASSERT_EQ(answer.messages().size(), 1U);
  EXPECT_EQ(KeyOf(answer.messages()[0]), "key");
  EXPECT_EQ(answer.trailers.at("grpc-status"), "0");
  EXPECT_EQ(answer.trailers.count("grpc-message"), 0U);
}

TEST_F(Http2, AUnaryAnswerLeavesInOneWrite) {
  Start();
  H2Client client(address);
  client.Call(kUnary, UnaryRequest("first"));
  for (int i = 0; i < 5; ++i) {
    const int before = client.reads();
    EXPECT_EQ(client.Call(kUnary, UnaryRequest("k")).grpc_status(), "0");
    EXPECT_EQ(client.reads(), before + 1);
  }
}

TEST_F(Http2, WhatBecomesReadyTogetherLeavesInOneWrite) {
  Start();
  H2Client client(address);
  client.Call(kUnary, UnaryRequest("first"));
  std::vector<std::int32_t> streams;
  for (int i = 0; i < 20; ++i) streams.push_back(Hold(client));
  ASSERT_TRUE(client.Wait([&] { return held() == 20; }));
  const int before = client.reads();
  AnswerHeld();
  for (const std::int32_t stream : streams) {
    ASSERT_TRUE(client.WaitClosed(stream));
    EXPECT_EQ(client.answer(stream).grpc_status(), "0");
  }
  EXPECT_EQ(client.reads(), before + 1);
}

TEST_F(Http2, AFailureHasNothingButItsStatus) {
  Start();
  H2Client client(address);
  const H2Answer answer =
      client.Call(kUnary, FailingRequest(GrpcCode::kNotFound, "50% of\nit: \xc3\xbc"));
  EXPECT_EQ(answer.status(), "200");
  EXPECT_TRUE(answer.trailers.empty());
  EXPECT_TRUE(answer.data.empty());
  EXPECT_EQ(answer.grpc_status(), "5");
  EXPECT_EQ(answer.grpc_message(), "50%25 of%0Ait: %C3%BC");
  // However long its text.
  const H2Answer large =
      client.Call(kUnary, FailingRequest(GrpcCode::kInternal, std::string(100'000, '\n')));
  EXPECT_EQ(large.grpc_status(), "13");
  EXPECT_LE(large.grpc_message().size(), 6U * 1024);
}

TEST_F(Http2, WhatIsNoCallIsRefused) {
  Start();
  H2Client client(address);
  const H2Answer no_service = client.Call("/no.Such/Thing", "");
  EXPECT_EQ(no_service.grpc_status(), "12");
  EXPECT_EQ(no_service.grpc_message(), "unknown service no.Such");
  EXPECT_EQ(client.Call("/etcdserverpb.KV/Thing", "").grpc_message(),
            "unknown method Thing for service etcdserverpb.KV");
  EXPECT_EQ(client.Call(kUnary, "", {{"content-type", "application/json"}}).status(), "415");
  EXPECT_EQ(client.Call(kUnary, "", {{":method", "PUT"}}).status(), "405");
  EXPECT_EQ(client.Call(kUnary, "", {{"grpc-timeout", "soon"}}).grpc_status(), "13");
  EXPECT_EQ(client.Call(kUnary, "\xff").grpc_status(), "13") << "no message of protobuf";
  EXPECT_EQ(client.Call(kUnary, UnaryRequest("k"), {{"te", ""}}).grpc_status(), "0")
      << "`te: trailers` is not insisted on";
  std::string compressed = H2Client::Frame("x");
  compressed[0] = 1;
  const std::int32_t stream = client.Open(H2Client::CallHeaders(kUnary), compressed, /*end=*/true);
  ASSERT_TRUE(client.WaitClosed(stream));
  EXPECT_EQ(client.answer(stream).grpc_status(), "12");
}

// `etcdctl endpoint status --cluster` has the URLs of the members for their addresses.
TEST_F(Http2, AnAuthorityMayBeAUrl) {
  Start();
  H2Client client(address);
  const H2Answer answer =
      client.Call(kUnary, UnaryRequest("key"), {{":authority", "http://127.0.0.1:2379"}});
  EXPECT_EQ(answer.grpc_status(), "0");
  EXPECT_EQ(answer.messages().size(), 1U);
  EXPECT_EQ(client.Call("", "").grpc_status(), "12") << "and a call has a path all the same";
}

TEST_F(Http2, CallsWaitForAMemberThatIsStarting) {
  Start({}, /*serves=*/false);
  H2Client client(address);
  EXPECT_EQ(client.Call(kUnary, UnaryRequest("k")).grpc_status(), "14");
  loop->Call([this] { door->Serve(*methods); });
  EXPECT_EQ(client.Call(kUnary, UnaryRequest("k")).grpc_status(), "0");
}

TEST_F(Http2, ADeadlineThatPassesEndsTheCall) {
  Start();
  H2Client client(address);
  const std::int32_t stream = Hold(client, {{"grpc-timeout", "50m"}});
  const std::int32_t other = Hold(client, {{"grpc-timeout", "1H"}});
  ASSERT_TRUE(client.WaitClosed(stream));
  EXPECT_EQ(client.answer(stream).grpc_status(), "4");
  EXPECT_EQ(client.answer(stream).grpc_message(), "context deadline exceeded");
  AnswerHeld();
  ASSERT_TRUE(client.WaitClosed(other));
  EXPECT_EQ(client.answer(other).grpc_status(), "0");
  EXPECT_EQ(Hold(client, {{"grpc-timeout", "0n"}}), other + 2);
  ASSERT_TRUE(client.WaitClosed(other + 2));
  EXPECT_EQ(client.answer(other + 2).grpc_status(), "4");
}

TEST_F(Http2, AMethodLearnsWhatTheCallAsksFor) {
  Start();
  H2Client client(address);
  client.Call(kUnary, UnaryRequest("k"), {{"grpc-timeout", "1H"}, {"hasleader", "true"}});
  loop->Call([this] {
    ASSERT_EQ(seen.contexts.size(), 1U);
    EXPECT_TRUE(seen.contexts[0].needs_leader);
    EXPECT_EQ(seen.contexts[0].encoding, Encoding::kProto);
    const Duration left = seen.contexts[0].deadline - loop->Now();
    EXPECT_GT(left, Duration(59min));
    EXPECT_LE(left, Duration(1h));
  });
  const std::int32_t stream =
      client.Open(H2Client::CallHeaders(kStream, {{"hasleader", "true"}}), "", /*end=*/false);
  ASSERT_TRUE(client.WaitClosed(stream));
  EXPECT_EQ(client.answer(stream).grpc_message(), "etcdserver: no leader");
}

TEST_F(Http2, AStreamGoesBothWaysUntilItIsFinished) {
  Start();
  H2Client client(address);
  const std::int32_t stream = OpenStream(client, StreamRequest("a", 2));
  H2Answer& answer = client.answer(stream);
  ASSERT_TRUE(client.Wait([&] { return answer.messages().size() == 2; }));
  EXPECT_FALSE(answer.closed);
  const std::string two = H2Client::Frame(StreamRequest("b")) + H2Client::Frame(StreamRequest("c"));
  client.Send(stream, two, /*end=*/false);
  ASSERT_TRUE(client.Wait([&] { return answer.messages().size() == 4; }));
  client.Send(stream, H2Client::Frame(StreamRequest("finish")), /*end=*/false);
  ASSERT_TRUE(client.WaitClosed(stream));
  EXPECT_EQ(answer.grpc_status(), "0");
  EXPECT_EQ(answer.error, 0U) << "the client has not finished, and need not";
  EXPECT_EQ(client.resets(), 1);
  EXPECT_TRUE(client.Wait([&] { return closed() == 1; }));
}

TEST_F(Http2, AStreamGoesOnAfterItsClientHasSaidAll) {
  Start();
  H2Client client(address);
  const std::int32_t stream = OpenStream(client, StreamRequest("a", 3, 100), /*end=*/true);
  ASSERT_TRUE(client.Wait([&] { return client.answer(stream).messages().size() == 3; }));
  EXPECT_FALSE(client.answer(stream).closed);
  EXPECT_EQ(Get<int>([this] { return seen.half_closed; }), 1);
}

TEST_F(Http2, AStreamThatFailsSaysWhyAfterItsAnswers) {
  Start();
  H2Client client(address);
  const std::int32_t stream = OpenStream(client, StreamRequest("a"));
  client.Send(stream, H2Client::Frame(StreamRequest("fail")), /*end=*/true);
  ASSERT_TRUE(client.WaitClosed(stream));
  EXPECT_EQ(client.answer(stream).messages().size(), 1U);
  EXPECT_EQ(client.answer(stream).trailers.at("grpc-status"), "14");
  EXPECT_EQ(client.answer(stream).trailers.at("grpc-message"), "it failed");
}

TEST_F(Http2, ACallThatIsCancelledIsDestroyed) {
  Start();
  H2Client client(address);
  const std::int32_t stream = OpenStream(client, StreamRequest("a"));
  ASSERT_TRUE(client.Wait([&] { return !client.answer(stream).messages().empty(); }));
  EXPECT_EQ(closed(), 0);
  client.Reset(stream, NGHTTP2_CANCEL);
  EXPECT_TRUE(client.Wait([&] { return closed() == 1; }));
  EXPECT_EQ(client.Call(kUnary, UnaryRequest("k")).grpc_status(), "0");
}

TEST_F(Http2, CallsEndWithTheirConnection) {
  Start();
  {
    H2Client client(address);
    const std::int32_t stream = OpenStream(client, StreamRequest("a"));
    ASSERT_TRUE(client.Wait([&] { return !client.answer(stream).messages().empty(); }));
    Hold(client);
    ASSERT_TRUE(client.Wait([&] { return held() == 1; }));
  }
  EXPECT_TRUE(rpc::WaitFor([&] { return closed() == 1 && connections() == 0; }));
  AnswerHeld();
}

// --- Flow control.

TEST_F(Http2, NothingIsSentWithoutTheClientsConsent) {
  constexpr std::size_t kWindow = 65'535;
  constexpr std::int64_t kBytes = 50'000;
  Start();
  H2Client client(address, H2Options{.window_bytes = kWindow, .reads = false});
  const std::int32_t stream = OpenStream(client, StreamRequest("pour", 60, kBytes));
  H2Answer& answer = client.answer(stream);
  ASSERT_TRUE(client.Wait([&] { return answer.data.size() == kWindow; }));
  EXPECT_FALSE(client.Wait([&] { return answer.data.size() > kWindow; }, 100ms));
  const std::size_t waiting = queued_bytes();
  EXPECT_GE(waiting, Sink::kMaxQueuedBytes);
  EXPECT_LE(waiting, Sink::kMaxQueuedBytes + kBytes + 100) << "the method has stopped sending";
  std::size_t consented = 0;
  EXPECT_TRUE(client.Wait([&] {
    client.Consent(stream, answer.data.size() - consented);
    consented = answer.data.size();
    return answer.messages().size() == 60;
  }));
  EXPECT_EQ(queued_bytes(), 0U);
}

TEST_F(Http2, AStreamThatIsNotReadKeepsNoOtherWaiting) {
  Start();
  H2Client client(address, H2Options{.window_bytes = 1 << 20, .reads = false});
  const std::int32_t stream = OpenStream(client, StreamRequest("pour", 60, 50'000));
  ASSERT_TRUE(client.Wait([&] { return client.answer(stream).data.size() == 1 << 20; }));
  // The connection's window is the streams' together, so there must be more of it.
  nghttp2_settings_id window = NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE;
  EXPECT_EQ(client.setting(window), Http2Limits().stream_window_bytes);
  client.ConsentToConnection(1 << 20);
  EXPECT_EQ(client.Call(kUnary, UnaryRequest("k", 1000)).grpc_status(), "0");
}

TEST_F(Http2, ALargeRequestAndALargeAnswerPass) {
  constexpr std::size_t kSize = 16 << 20;
  Start();
  H2Client client(address);
  const H2Answer answer = client.Call(kUnary, UnaryRequest(std::string(kSize, 'k'), kSize));
  EXPECT_EQ(answer.grpc_status(), "0");
  EXPECT_GT(answer.data.size(), 2 * kSize);
  EXPECT_EQ(unfinished_bytes(), 0U);
  EXPECT_EQ(queued_bytes(), 0U);
}

// --- The end of the door.

TEST_F(Http2, AGoodbyeLetsOpenCallsFinish) {
  Start();
  H2Client client(address);
  const std::int32_t stream = Hold(client);
  ASSERT_TRUE(client.Wait([&] { return held() == 1; }));
  loop->Call([this] { door->SayGoodbye(); });
  ASSERT_TRUE(client.Wait([&] { return client.goaway().has_value(); }));
  EXPECT_EQ(*client.goaway(), static_cast<std::uint32_t>(NGHTTP2_NO_ERROR));
  EXPECT_FALSE(client.answer(stream).closed);
  AnswerHeld();
  ASSERT_TRUE(client.WaitClosed(stream));
  EXPECT_EQ(client.answer(stream).grpc_status(), "0");
  EXPECT_TRUE(client.WaitForEnd());
}

TEST_F(Http2, ADoorThatClosesTellsItsCalls) {
  Start();
  H2Client client(address);
  const std::int32_t unary = Hold(client);
  const std::int32_t stream = OpenStream(client, StreamRequest("a"));
  ASSERT_TRUE(
      client.Wait([&] { return held() == 1 && client.answer(stream).messages().size() == 1; }));
  loop->Call([this] { door.reset(); });
  EXPECT_TRUE(client.WaitForEnd());
  EXPECT_EQ(client.goaway(), static_cast<std::uint32_t>(NGHTTP2_NO_ERROR));
  for (const std::int32_t call : {unary, stream}) {
    EXPECT_EQ(client.answer(call).grpc_status(), "14");
    EXPECT_EQ(client.answer(call).grpc_message(), "etcdserver: server stopped");
  }
  AnswerHeld();
}

}  // namespace
}  // namespace raftkv::etcd
