// How is a message read with one system call instead of two?
//
// A message is read as a word that announces sizes, and then its body. This reads ahead into a
// small buffer, so that one call reads a short message, or several of them. Large reads go straight
// to their destination.
#pragma once

#include <array>
#include <cstddef>

#include <kj/async-io.h>

#include "rpc/loop/byte_budget.h"

namespace raftkv::rpc {

/// Incomplete messages below this size do not count.
inline constexpr std::size_t kSmallReadBytes = 64 * 1024;

/// Passes on everything except reads. The inner stream must not be read directly.
class ReadAhead final : public kj::AsyncIoStream {
 public:
  static constexpr std::size_t kBufferBytes = 8 * 1024;

  /// `inner` outlives this.
  explicit ReadAhead(kj::AsyncIoStream& inner) : inner_(inner) {}

  /// Reads of more than kSmallReadBytes wait until they fit into `budget`, which outlives this.
  void SetBudget(ByteBudget& budget) { budget_ = &budget; }
  /// A message begins here; the previous one is finished.
  void BeginMessage() {
    message_bytes_ = end_ - begin_;
    hold_ = nullptr;
  }
  void EndMessage() { BeginMessage(); }
  /// Bytes of the current message that are present or have room reserved; a lower bound.
  [[nodiscard]] std::size_t message_bytes() const { return message_bytes_; }
  [[nodiscard]] bool waits_for_budget() const { return waits_for_budget_; }
  /// The first bytes of the connection were those of TLS, which is no message.
  [[nodiscard]] bool began_as_tls() const { return began_as_tls_; }

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
  kj::Promise<std::size_t> ReadLarge(kj::byte* to, std::size_t min_bytes, std::size_t max_bytes);

  kj::AsyncIoStream& inner_;
  ByteBudget* budget_ = nullptr;
  kj::Own<ByteBudget::Hold> hold_;  ///< of the current message
  bool waits_for_budget_ = false;
  std::size_t message_bytes_ = 0;
  bool began_ = false;
  bool began_as_tls_ = false;
  std::array<kj::byte, kBufferBytes> buffer_;  // [begin_, end_) is not taken yet
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace raftkv::rpc
