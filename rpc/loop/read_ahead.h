// How is a message read with one system call instead of two?
//
// A message is read as a word that announces sizes, and then its body. This reads ahead into a
// small buffer, so that a short message, or several of them, come with one call. Large reads go
// straight to where they are wanted.
#pragma once

#include <array>
#include <cstddef>

#include <kj/async-io.h>

namespace raftkv::rpc {

/// Everything but reading is passed on. Do not read the inner stream beside it.
class ReadAhead final : public kj::AsyncIoStream {
 public:
  static constexpr std::size_t kBufferBytes = 8 * 1024;

  /// `inner` outlives this.
  explicit ReadAhead(kj::AsyncIoStream& inner) : inner_(inner) {}

  kj::Promise<std::size_t> tryRead(void* buffer, std::size_t min_bytes,
                                   std::size_t max_bytes) override;

  kj::Promise<void> write(const void* buffer, std::size_t size) override {
    return inner_.write(buffer, size);
  }
  kj::Promise<void> write(kj::ArrayPtr<const kj::ArrayPtr<const kj::byte>> pieces) override {
    return inner_.write(pieces);
  }
  kj::Promise<void> whenWriteDisconnected() override { return inner_.whenWriteDisconnected(); }
  void shutdownWrite() override { inner_.shutdownWrite(); }
  void abortRead() override { inner_.abortRead(); }
  void getsockopt(int level, int option, void* value, kj::uint* length) override {
    inner_.getsockopt(level, option, value, length);
  }

 private:
  /// Takes at most `max_bytes` out of the buffer.
  std::size_t Take(void* to, std::size_t max_bytes);

  kj::AsyncIoStream& inner_;
  std::array<kj::byte, kBufferBytes> buffer_;  // [begin_, end_) is not yet taken
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace raftkv::rpc
