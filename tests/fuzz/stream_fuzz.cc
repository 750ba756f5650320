// The bytes of a connection: messages are taken from them up to the limit of their size, and
// whatever the bytes, the connection ends with a reason.
#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>

#include <kj/async-io.h>

#include "rpc/loop/checked_stream.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/wait_scope.h"

namespace raftkv::fuzz {
namespace {

constexpr std::size_t kMaxMessageBytes = 4096;

/// A connection on which `bytes` arrive in pieces, and then the end.
class PieceStream final : public kj::AsyncIoStream {
 public:
  PieceStream(std::string_view bytes, std::size_t piece) : left_(bytes), piece_(piece) {}

  kj::Promise<std::size_t> tryRead(void* to, std::size_t min_bytes,
                                   std::size_t max_bytes) override {
    RAFTKV_CHECK(min_bytes <= max_bytes, min_bytes, max_bytes);
    const std::size_t wanted = std::min(std::max(min_bytes, piece_), max_bytes);
    const std::size_t count = std::min(wanted, left_.size());
    if (count > 0) std::memcpy(to, left_.data(), count);
    left_.remove_prefix(count);
    return count;
  }
  kj::Promise<void> write(const void* /*bytes*/, std::size_t /*size*/) override {
    return kj::READY_NOW;
  }
  kj::Promise<void> write(kj::ArrayPtr<const kj::ArrayPtr<const kj::byte>> /*pieces*/) override {
    return kj::READY_NOW;
  }
  kj::Promise<void> whenWriteDisconnected() override { return kj::NEVER_DONE; }
  void shutdownWrite() override {}

 private:
  std::string_view left_;
  const std::size_t piece_;
};

/// (Cap'n Proto's own sizeInWords() counts the first segment twice.)
std::size_t BytesOf(capnp::MessageReader& message) {
  std::size_t bytes = 0;
  for (unsigned i = 0;; ++i) {
    const std::size_t size = message.getSegment(i).asBytes().size();
    if (size == 0) return bytes;
    bytes += size;
  }
}

/// How many messages there are in `bytes`.
std::uint64_t CountMessages(kj::WaitScope& scope, std::string_view bytes, std::size_t piece) {
  PieceStream inner(bytes, piece);
  rpc::ByteBudget budget(kMaxMessageBytes);
  rpc::CheckedStream stream(inner, kMaxMessageBytes);
  stream.SetBudget(budget);
  stream.SetMaxOpenCalls(2);
  kj::Promise<rpc::CheckedStream::End> ended = stream.Ended();
  std::uint64_t messages = 0;
  bool refused = false;
  try {
    while (true) {
      kj::Maybe<capnp::MessageReaderAndFds> message =
          stream.tryReadMessage(nullptr, {}, nullptr).wait(scope);
      KJ_IF_MAYBE (whole, message) {
        RAFTKV_CHECK(BytesOf(*whole->reader) <= kMaxMessageBytes);
        ++messages;
      } else {
        break;
      }
    }
  } catch (const kj::Exception& /*why*/) {
    refused = true;
  }
  const rpc::CheckedStream::End end = ended.wait(scope);
  RAFTKV_CHECK(refused == !end.reason.empty(), end.reason);
  RAFTKV_CHECK(end.reason.find('\n') == std::string::npos, end.reason);
  RAFTKV_CHECK(stream.unfinished_bytes() == 0, stream.unfinished_bytes());
  return messages;
}

}  // namespace
}  // namespace raftkv::fuzz

RAFTKV_FUZZ_TARGET(stream) {
  kj::WaitScope& scope = TheWaitScope();
  const std::uint64_t messages = CountMessages(scope, input, 1 << 20);
  RAFTKV_CHECK(messages <= input.size() / 8, messages);
  // However they come.
  RAFTKV_CHECK(CountMessages(scope, input, 1) == messages, messages);
}
