// Does reading ahead give the same bytes as reading, with fewer calls?
#include "rpc/loop/read_ahead.h"

#include <cstring>

#include "lib/base/random.h"
#include "tests/rpc/server/rpc_fixture.h"

namespace raftkv::rpc {
namespace {

/// Gives a text in pieces, as a socket does, and counts how often it is asked.
class Pieces final : public kj::AsyncIoStream {
 public:
  Pieces(std::string text, std::size_t piece_bytes)
      : text_(std::move(text)), piece_bytes_(piece_bytes) {}

  kj::Promise<std::size_t> tryRead(void* buffer, std::size_t min, std::size_t max) override {
    std::size_t size = 0;
    do {
      ++calls;
      const std::size_t one = std::min({max - size, piece_bytes_, text_.size() - at_});
      std::memcpy(static_cast<char*>(buffer) + size, text_.data() + at_, one);
      at_ += one;
      size += one;
    } while (size < min && at_ < text_.size());
    return size;
  }
  kj::Promise<void> write(const void*, std::size_t) override { return kj::READY_NOW; }
  kj::Promise<void> write(kj::ArrayPtr<const kj::ArrayPtr<const kj::byte>>) override {
    return kj::READY_NOW;
  }
  kj::Promise<void> whenWriteDisconnected() override { return kj::NEVER_DONE; }
  void shutdownWrite() override {}

  int calls = 0;

 private:
  const std::string text_;
  const std::size_t piece_bytes_;
  std::size_t at_ = 0;
};

class ReadAheadTest : public testing::Test {
 protected:
  // A loop's own may throw, that of a test may not.
  ~ReadAheadTest() noexcept override {}

  std::string Read(kj::AsyncIoStream& stream, std::size_t min, std::size_t max) {
    std::string result(max, '?');
    result.resize(stream.tryRead(result.data(), min, max).wait(scope_));
    return result;
  }

 private:
  kj::EventLoop loop_;
  kj::WaitScope scope_{loop_};
};

std::string Text(std::size_t size) {
  std::string text(size, ' ');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 131 + i / 251);
  return text;
}

TEST_F(ReadAheadTest, ShortMessagesComeWithOneCall) {
  const std::string text = Text(1200);
  Pieces socket(text, 1 << 20);
  ReadAhead stream(socket);
  std::string got;
  for (int message = 0; message < 3; ++message) {
    got += Read(stream, 8, 8);
    got += Read(stream, 392, 392);
  }
  EXPECT_EQ(got, text);
  EXPECT_EQ(socket.calls, 1);
}

TEST_F(ReadAheadTest, LargeBodiesAreNotCopiedThroughTheBuffer) {
  const std::string text = Text(8 + (1 << 20));
  Pieces socket(text, 1 << 22);
  ReadAhead stream(socket);
  EXPECT_EQ(Read(stream, 8, 8), text.substr(0, 8));
  EXPECT_EQ(Read(stream, 1 << 20, 1 << 20), text.substr(8));
  EXPECT_EQ(socket.calls, 2);
}

TEST_F(ReadAheadTest, TheEndOfTheStreamIsTold) {
  Pieces socket(Text(100), 1 << 20);
  ReadAhead stream(socket);
  EXPECT_EQ(Read(stream, 8, 8).size(), 8u);
  EXPECT_EQ(Read(stream, 200, 200), Text(100).substr(8)) << "cut off";
  EXPECT_EQ(Read(stream, 8, 8), "");
  Pieces large(Text(100), 1 << 20);
  ReadAhead second(large);
  EXPECT_EQ(Read(second, 1 << 20, 1 << 20), Text(100));
}

TEST_F(ReadAheadTest, WhateverIsAskedTheBytesAreTheSame) {
  Random draw(7);
  for (int round = 0; round < 200; ++round) {
    const std::string text = Text(1 + draw.Below(100'000));
    Pieces socket(text, 1 + draw.Below(20'000));
    ReadAhead stream(socket);
    std::string got;
    for (;;) {
      const std::size_t max = 1 + draw.Below(draw.Below(2) == 0 ? 64 : 30'000);
      const std::size_t min = 1 + draw.Below(max);
      const std::string part = Read(stream, min, max);
      got += part;
      if (part.size() < min) break;
    }
    ASSERT_EQ(got, text) << round;
  }
}

}  // namespace
}  // namespace raftkv::rpc
