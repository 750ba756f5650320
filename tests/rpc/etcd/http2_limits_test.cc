// Does every limit of an HTTP/2 connection hold, one below it, at it, and above it?
#include <chrono>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/rpc/etcd/door_fixture.h"
#include "tests/support/process/process_socket.h"

namespace raftkv::etcd {
namespace {

using namespace std::chrono_literals;
using test::H2Answer;
using test::H2Client;
using test::H2Options;
using test::RawConnection;

constexpr auto kRefusedStream = static_cast<std::uint32_t>(NGHTTP2_REFUSED_STREAM);
constexpr auto kEnhanceYourCalm = static_cast<std::uint32_t>(NGHTTP2_ENHANCE_YOUR_CALM);

class Http2Limit : public DoorTest {
 protected:
  bool IsAlive(H2Client& client) {
    return client.Call(kUnary, UnaryRequest("k")).grpc_status() == "0";
  }
  std::int32_t Hold(H2Client& client) {
    return client.Open(H2Client::CallHeaders(kUnary), H2Client::Frame(UnaryRequest("hold")),
                       /*end=*/true);
  }
  std::int32_t Part(H2Client& client, std::size_t size) {
    const std::string whole = H2Client::Frame(UnaryRequest(std::string(100'000, 'k')));
    return client.Open(H2Client::CallHeaders(kUnary), whole.substr(0, size), /*end=*/false);
  }
  std::size_t held() {
    return Get<std::size_t>([this] { return seen.held.size(); });
  }
};

TEST_F(Http2Limit, OfCallsAtATime) {
  DoorOptions options;
  options.http2.max_streams = 4;
  Start(options);
  // Before the client knows the limit, calls above it are refused; it may try them again.
  H2Client hasty(address);
  std::vector<std::int32_t> streams;
  for (int i = 0; i < 6; ++i) streams.push_back(Hold(hasty));
  ASSERT_TRUE(hasty.WaitClosed(streams[4]));
  ASSERT_TRUE(hasty.WaitClosed(streams[5]));
  EXPECT_EQ(hasty.answer(streams[4]).error, kRefusedStream);
  EXPECT_EQ(hasty.answer(streams[5]).error, kRefusedStream);
  ASSERT_TRUE(hasty.Wait([&] { return held() == 4; }));
  AnswerHeld();
  ASSERT_TRUE(hasty.WaitClosed(streams[3]));
  EXPECT_EQ(hasty.setting(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS), 4U);
  EXPECT_TRUE(IsAlive(hasty));
}

TEST_F(Http2Limit, OfTheHeadersOfARequest) {
  Start();
  std::size_t size = 0;
  for (const auto& [name, value] : H2Client::CallHeaders(kUnary, {{"x-pad", "x"}})) {
    size += name.size() + value.size() + 32;
  }
  const std::size_t room = Http2Limits().max_header_bytes - size + 1;
  H2Client client(address);
  for (const std::size_t pad : {room - 1, room}) {
    EXPECT_EQ(
        client.Call(kUnary, UnaryRequest("k"), {{"x-pad", std::string(pad, 'x')}}).grpc_status(),
        "0");
  }
  const H2Answer above =
      client.Call(kUnary, UnaryRequest("k"), {{"x-pad", std::string(room + 1, 'x')}});
  EXPECT_EQ(above.error, kEnhanceYourCalm);
  EXPECT_EQ(above.status(), "");
  EXPECT_TRUE(IsAlive(client)) << "the other calls of the connection are not disturbed";
}

TEST_F(Http2Limit, OfAMessage) {
  DoorOptions options;
  options.http2.max_message_bytes = 1000;
  Start(options);
  H2Client client(address);
  const std::size_t overhead = UnaryRequest(std::string(900, 'k')).size() - 900;
  for (const std::size_t size : {std::size_t{999}, std::size_t{1000}}) {
    const std::string request = UnaryRequest(std::string(size - overhead, 'k'));
    ASSERT_EQ(request.size(), size);
    EXPECT_EQ(client.Call(kUnary, request).grpc_status(), "0") << size;
  }
  const H2Answer above = client.Call(kUnary, UnaryRequest(std::string(1001 - overhead, 'k')));
  EXPECT_EQ(above.grpc_status(), "8");
  EXPECT_EQ(above.grpc_message(), "grpc: received message larger than max (1001 vs. 1000)");
}

TEST_F(Http2Limit, OfIncompleteMessagesOnAConnection) {
  DoorOptions options;
  options.http2.max_unfinished_bytes = 10'000;
  Start(options);
  H2Client client(address);
  const std::int32_t first = Part(client, 5'000);
  const std::int32_t second = Part(client, 5'000);
  ASSERT_TRUE(client.Wait([&] { return unfinished_bytes() == 10'000; }));
  EXPECT_FALSE(client.answer(first).closed);
  EXPECT_FALSE(client.answer(second).closed);
  const std::int32_t third = Part(client, 1);
  ASSERT_TRUE(client.WaitClosed(third));
  EXPECT_EQ(client.answer(third).grpc_status(), "8");
  EXPECT_EQ(unfinished_bytes(), 10'000U);
  EXPECT_TRUE(IsAlive(client)) << "whole messages wait for no room";
  H2Client other(address);
  Part(other, 10'000);
  EXPECT_TRUE(other.Wait([&] { return unfinished_bytes() == 20'000; }));
}

TEST_F(Http2Limit, OfIncompleteMessagesOnAllConnections) {
  DoorOptions options;
  options.max_unfinished_bytes = 20'000;
  Start(options);
  H2Client large(address);
  const std::int32_t in_time = Part(large, 10'000);
  ASSERT_TRUE(large.Wait([&] { return unfinished_bytes() == 10'000; }));
  H2Client other(address);
  const std::int32_t too_many = Part(other, 5'000);
  ASSERT_TRUE(other.WaitClosed(too_many));
  EXPECT_EQ(other.answer(too_many).grpc_status(), "8");
  // Small ones have a half for themselves.
  Part(other, 4'000);
  EXPECT_TRUE(other.Wait([&] { return unfinished_bytes() == 14'000; }));
  EXPECT_FALSE(large.answer(in_time).closed);
}

TEST_F(Http2Limit, OfAnswersThatAreNotRead) {
  DoorOptions options;
  options.http2.max_queued_bytes = 300'000;
  Start(options);
  H2Client client(address, H2Options{.window_bytes = 65'535, .reads = false});
  std::vector<std::int32_t> streams;
  for (int i = 0; i < 5; ++i) {
    streams.push_back(client.Open(H2Client::CallHeaders(kUnary),
                                  H2Client::Frame(UnaryRequest("k", 100'000)), /*end=*/true));
  }
  ASSERT_TRUE(client.WaitClosed(streams[4]));
  EXPECT_EQ(client.answer(streams[4]).grpc_status(), "8");
  EXPECT_FALSE(client.answer(streams[0]).closed) << "it is kept until it is read";
  EXPECT_LE(queued_bytes(), 300'000U);
}

// --- Floods.

TEST_F(Http2Limit, OfPings) {
  DoorOptions options;
  options.http2.max_pings = 10;
  Start(options);
  H2Client polite(address);
  for (int i = 0; i < 10; ++i) polite.Ping();
  EXPECT_TRUE(polite.Wait([&] { return polite.ping_answers() == 10; }));
  EXPECT_TRUE(IsAlive(polite));
  H2Client flood(address);
  for (int i = 0; i < 11; ++i) flood.Ping();
  EXPECT_TRUE(flood.WaitForEnd());
  EXPECT_EQ(flood.goaway(), kEnhanceYourCalm);
  EXPECT_EQ(log.Count("it sent too many pings in one second"), 1U);
  EXPECT_TRUE(IsAlive(polite));
}

TEST_F(Http2Limit, OfSettings) {
  DoorOptions options;
  options.http2.max_settings = 5;
  Start(options);
  const std::string settings("\0\0\0\x04\0\0\0\0\0", 9);
  // Every client sends its own, and acknowledges ours.
  for (const int more : {3, 4}) {
    H2Client client(address);
    ASSERT_TRUE(IsAlive(client));
    std::string all;
    for (int i = 0; i < more; ++i) all += settings;
    client.SendRaw(all);
    client.WaitForEnd(more > 3 ? H2Client::kPatience : 200ms);
    EXPECT_EQ(log.Count("it sent too many SETTINGS"), more > 3 ? 1U : 0U) << more;
  }
}

TEST_F(Http2Limit, OfCallsThatAreReset) {
  DoorOptions options;
  options.http2.max_resets = 5;
  Start(options);
  for (const int count : {5, 6}) {
    H2Client client(address);
    ASSERT_TRUE(IsAlive(client));
    for (int i = 0; i < count; ++i) {
      const std::int32_t stream = client.Open(H2Client::CallHeaders(kStream), "", /*end=*/false);
      client.Wait([&] { return true; });
      client.Reset(stream, NGHTTP2_CANCEL);
    }
    if (count == 5) {
      EXPECT_TRUE(IsAlive(client));
    } else {
      EXPECT_TRUE(client.WaitForEnd());
      EXPECT_EQ(client.goaway(), kEnhanceYourCalm);
    }
  }
  EXPECT_EQ(log.Count("it sent too many resets of calls"), 1U);
}

TEST_F(Http2Limit, OfEmptyFrames) {
  DoorOptions options;
  options.http2.max_empty_frames = 5;
  Start(options);
  for (const int count : {5, 6}) {
    H2Client client(address);
    const std::int32_t stream = client.Open(H2Client::CallHeaders(kStream), "", /*end=*/false);
    ASSERT_TRUE(IsAlive(client));
    const std::string empty = std::string("\0\0\0\0\0\0\0\0", 8) + static_cast<char>(stream);
    std::string all;
    for (int i = 0; i < count; ++i) all += empty;
    client.SendRaw(all);
    if (count == 5) {
      EXPECT_TRUE(IsAlive(client));
    } else {
      EXPECT_TRUE(client.WaitForEnd());
    }
  }
  EXPECT_EQ(log.Count("it sent too many empty frames"), 1U);
}

TEST_F(Http2Limit, GarbageEndsTheConnectionAlone) {
  Start();
  H2Client other(address);
  ASSERT_TRUE(IsAlive(other));
  RawConnection garbage(address);
  ASSERT_TRUE(garbage.Send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + std::string(1000, '\xff'), 5s));
  EXPECT_TRUE(garbage.ReadToEnd(20s).has_value());
  RawConnection other_magic(address);
  ASSERT_TRUE(other_magic.Send("PRI * HTTP/3.0\r\n\r\nSM\r\n\r\n", 5s));
  EXPECT_TRUE(other_magic.ReadToEnd(20s).has_value());
  EXPECT_TRUE(IsAlive(other));
}

// --- Time.

TEST_F(Http2Limit, OfTheTimeOfAMessage) {
  DoorOptions options = ImpatientDoor();
  options.ticks.unfinished = 5;
  Start(options);
  H2Client client(address);
  const std::int32_t stream = Part(client, 1'000);
  ASSERT_TRUE(client.Wait([&] { return unfinished_bytes() == 1'000; }));
  ASSERT_TRUE(client.WaitClosed(stream));
  EXPECT_EQ(client.answer(stream).grpc_status(), "4");
  EXPECT_EQ(unfinished_bytes(), 0U);
  EXPECT_TRUE(IsAlive(client));
}

TEST_F(Http2Limit, OfTheTimeInWhichNothingIsRead) {
  DoorOptions options = ImpatientDoor();
  options.ticks.stuck = 10;
  Start(options);
  const H2Options small{.window_bytes = 65'535, .reads = false};
  H2Client stuck(address, small);
  H2Client slow(address, small);
  const std::string request = H2Client::Frame(StreamRequest("pour", 100, 10'000));
  stuck.Open(H2Client::CallHeaders(kStream), request, /*end=*/false);
  const std::int32_t stream = slow.Open(H2Client::CallHeaders(kStream), request, /*end=*/false);
  stuck.Wait([] { return true; });
  std::size_t consented = 0;
  const auto begin = std::chrono::steady_clock::now();
  // A slow reader takes a little at a time, for longer than a stuck one is waited for.
  EXPECT_TRUE(slow.Wait([&] {
    if (slow.answer(stream).data.size() > consented + 20'000) {
      slow.Consent(stream, 20'000);
      consented += 20'000;
    }
    return std::chrono::steady_clock::now() > begin + 600ms;
  }));
  EXPECT_FALSE(slow.over());
  EXPECT_TRUE(stuck.WaitForEnd());
  EXPECT_GE(log.Count("it does not read the answers that it asked for"), 1U);
}

TEST_F(Http2Limit, OfTheTimeWithoutASignOfLife) {
  DoorOptions options = ImpatientDoor();
  options.ticks.silent = 5;
  options.ticks.answer = 5;
  Start(options);
  H2Client polite(address);
  H2Client dead(address, H2Options{.answers_pings = false});
  ASSERT_TRUE(IsAlive(polite));
  ASSERT_TRUE(IsAlive(dead));
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(polite.Wait([&] { return std::chrono::steady_clock::now() > begin + 800ms; }))
      << "an idle connection that answers is kept";
  EXPECT_GE(polite.pings(), 2);
  EXPECT_TRUE(dead.WaitForEnd());
  EXPECT_EQ(dead.pings(), 1);
  EXPECT_EQ(log.Count("it gave no sign of life"), 1U);
}

TEST_F(Http2Limit, OfTheTimeOfItsBeginning) {
  DoorOptions options = ImpatientDoor();
  options.ticks.handshake = 5;
  Start(options);
  RawConnection half(address);
  ASSERT_TRUE(half.Send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 5s));
  EXPECT_TRUE(half.ReadToEnd(20s).has_value());
  EXPECT_EQ(log.Count("it did not complete its handshake in time"), 1U);
}

}  // namespace
}  // namespace raftkv::etcd
