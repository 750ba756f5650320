// Does a TLS connection carry the same bytes as any other, and end as it was ended?
#include "rpc/tls/tls_stream.h"

#include <algorithm>
#include <array>

#include "lib/base/random.h"
#include "tests/rpc/tls/tls_fixture.h"

namespace raftkv::rpc {
namespace {

std::string SomeText(std::size_t size) {
  std::string text(size, ' ');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 131 + i / 251);
  return text;
}

class TlsStreamTest : public TlsTest {
 protected:
  ~TlsStreamTest() noexcept override {}

  void SetUp() override {
    shaken_ = ConnectClient(certificates_.client());
    ASSERT_TRUE(shaken_->at_server.ok()) << shaken_->at_server.why;
    ASSERT_TRUE(shaken_->at_client.ok()) << shaken_->at_client.why;
  }

  /// Writes `text` in pieces of at most `piece` bytes, several of them in one call.
  kj::Promise<void> WriteInPieces(kj::AsyncIoStream& stream, const std::string& text,
                                  std::size_t piece, Random& draw, std::size_t at = 0) {
    if (at == text.size()) return kj::READY_NOW;
    auto pieces = kj::heapArrayBuilder<kj::ArrayPtr<const kj::byte>>(1 + draw.Below(5));
    for (std::size_t left = pieces.capacity(); left > 0; --left) {
      const std::size_t size = std::min<std::size_t>(draw.Below(piece + 1), text.size() - at);
      pieces.add(reinterpret_cast<const kj::byte*>(text.data()) + at, size);
      at += size;
    }
    auto gathered = pieces.finish();
    auto written = stream.write(gathered.asPtr());
    return written.attach(kj::mv(gathered)).then([this, &stream, &text, piece, &draw, at] {
      return WriteInPieces(stream, text, piece, draw, at);
    });
  }

  kj::Promise<void> ReadInPieces(kj::AsyncIoStream& stream, std::string& got, std::size_t total,
                                 std::size_t piece, Random& draw) {
    if (got.size() >= total) return kj::READY_NOW;
    const std::size_t max = std::min<std::size_t>(1 + draw.Below(piece), total - got.size());
    const std::size_t min = 1 + draw.Below(max);
    auto buffer = kj::heapArray<char>(max);
    auto read = stream.tryRead(buffer.begin(), min, max);
    return read.then([this, &stream, &got, total, piece, &draw, min,
                      buffer = kj::mv(buffer)](std::size_t size) -> kj::Promise<void> {
      EXPECT_GE(size, min);
      got.append(buffer.begin(), size);
      return ReadInPieces(stream, got, total, piece, draw);
    });
  }

  std::unique_ptr<Shaken> shaken_;
};

TEST_F(TlsStreamTest, BothEndsKnowTheProtocolAndEachOther) {
  EXPECT_EQ(shaken_->server->protocol(), kTlsNative);
  EXPECT_EQ(shaken_->client->protocol(), kTlsNative);
  EXPECT_FALSE(shaken_->server->is_peer());
  EXPECT_EQ(shaken_->server->identity().names, std::vector<std::string>{"client"});
  EXPECT_EQ(shaken_->client->identity().names,
            (std::vector<std::string>{"localhost", "127.0.0.1", "server"}))
      << "DNS names, IP addresses, the common name";
}

TEST_F(TlsStreamTest, CarriesTheSameBytesBothWaysInWhateverPieces) {
  Random draw(11);
  for (const std::size_t piece : {1, 100, 5'000, 20'000, 400'000}) {
    const std::size_t total = std::min<std::size_t>(piece * 300, 3'000'000);
    const std::string up = SomeText(total);
    const std::string down = SomeText(total / 2 + 1);
    std::string got_up;
    std::string got_down;
    auto all = kj::heapArrayBuilder<kj::Promise<void>>(4);
    all.add(WriteInPieces(*shaken_->client, up, piece, draw));
    all.add(WriteInPieces(*shaken_->server, down, piece, draw));
    all.add(ReadInPieces(*shaken_->server, got_up, up.size(), piece, draw));
    all.add(ReadInPieces(*shaken_->client, got_down, down.size(), piece, draw));
    kj::joinPromises(all.finish()).wait(scope_);
    EXPECT_TRUE(got_up == up) << piece;
    EXPECT_TRUE(got_down == down) << piece;
  }
}

TEST_F(TlsStreamTest, AWriteWaitsForTheReader) {
  const std::string text = SomeText(4 << 20);
  bool written = false;
  auto write = shaken_->client->write(text.data(), text.size())
                   .then([&] { written = true; })
                   .eagerlyEvaluate(nullptr);
  EXPECT_EQ(Read(*shaken_->server, 1 << 20, 1 << 20).size(), 1U << 20);
  scope_.poll();
  EXPECT_FALSE(written) << "three of four MiB have not been read";
  EXPECT_TRUE(Read(*shaken_->server, 3 << 20, 3 << 20) == text.substr(1 << 20));
  write.wait(scope_);
}

TEST_F(TlsStreamTest, AWriteThatIsDroppedLeavesNoHalfRecord) {
  const std::string text = SomeText(1 << 20);
  {
    auto dropped = shaken_->client->write(text.data(), text.size());
    EXPECT_EQ(Read(*shaken_->server, 1000, 1000), text.substr(0, 1000));
  }
  auto next = shaken_->client->write("the end", 7).eagerlyEvaluate(nullptr);
  std::string got = text.substr(0, 1000);
  while (!got.ends_with("the end")) got += Read(*shaken_->server, 1, 64 << 10);
  next.wait(scope_);
  const std::string before = got.substr(0, got.size() - 7);
  EXPECT_EQ(before, text.substr(0, before.size())) << "what came of it is a beginning";
}

TEST_F(TlsStreamTest, AnEndIsToldAndTheOtherDirectionStaysOpen) {
  auto question = shaken_->client->write("question", 8).eagerlyEvaluate(nullptr);
  shaken_->client->shutdownWrite();
  EXPECT_EQ(Read(*shaken_->server, 20, 20), "question");
  question.wait(scope_);
  EXPECT_EQ(Read(*shaken_->server, 1, 1), "");
  auto answer = shaken_->server->write("answer", 6).eagerlyEvaluate(nullptr);
  EXPECT_EQ(Read(*shaken_->client, 6, 6), "answer");
  answer.wait(scope_);
  shaken_->server->shutdownWrite();
  EXPECT_EQ(Read(*shaken_->client, 1, 1), "");
}

TEST_F(TlsStreamTest, AnEndWithoutAFarewellIsALostConnection) {
  auto begun = shaken_->client->write("half a mess", 11).eagerlyEvaluate(nullptr);
  EXPECT_EQ(Read(*shaken_->server, 11, 11), "half a mess");
  begun.wait(scope_);
  shaken_->client = nullptr;  // the pipe has no descriptor by which it could say farewell
  EXPECT_EQ(ReadUntilItEnds(*shaken_->server), "the connection was cut off");
}

TEST(TlsStreamOnASocket, SaysFarewellWhenItIsDestroyed) {
  const test::TestCertificates certificates;
  auto io = kj::setupAsyncIo();
  auto pipe = io.provider->newTwoWayPipe();
  TlsStream server(kj::mv(pipe.ends[0]), SetupOf(certificates.node()),
                   TlsAccepts{.protocols = {kTlsNative}, .peers = true});
  auto client = kj::heap<TlsStream>(kj::mv(pipe.ends[1]), SetupOf(certificates.client()),
                                    kTlsNative, "localhost");
  auto at_server = server.Handshake();
  ASSERT_TRUE(client->Handshake().wait(io.waitScope).ok());
  ASSERT_TRUE(at_server.wait(io.waitScope).ok());
  client = nullptr;
  char byte = 0;
  EXPECT_EQ(server.tryRead(&byte, 1, 1).wait(io.waitScope), 0U);
}

}  // namespace
}  // namespace raftkv::rpc
