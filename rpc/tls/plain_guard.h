// What if someone speaks TLS on a port that does not?
//
// Such a connection ends at once, and with a reason; otherwise both sides would wait for each
// other. Everything else passes through.
#pragma once

#include <cstddef>
#include <functional>
#include <utility>

#include <kj/async-io.h>

namespace raftkv::rpc {

/// Whether a connection that begins with these bytes speaks TLS: a record of a handshake or an
/// alert.
inline bool BeginsAsTls(const kj::byte* bytes, std::size_t size) {
  constexpr kj::byte kAlert = 0x15;
  constexpr kj::byte kHandshake = 0x16;
  constexpr kj::byte kMajorVersion = 3;
  constexpr kj::byte kMaxMinorVersion = 4;
  return size >= 3 && (bytes[0] == kHandshake || bytes[0] == kAlert) && bytes[1] == kMajorVersion &&
         bytes[2] <= kMaxMinorVersion;
}

inline constexpr char kSpeaksTls[] =
    "it speaks TLS and this side does not: turn it on here (a client with --cacert, a member with "
    "--tls-cert and --tls-key), or off there";

/// Lives on a loop.
class PlainGuard final : public kj::AsyncIoStream {
 public:
  /// `refused` is called if the other side speaks TLS; then the read that found it fails.
  PlainGuard(kj::Own<kj::AsyncIoStream> inner, std::function<void()> refused)
      : inner_(kj::mv(inner)), refused_(std::move(refused)) {}

  kj::Promise<std::size_t> tryRead(void* buffer, std::size_t min_bytes,
                                   std::size_t max_bytes) override {
    auto read = inner_->tryRead(buffer, min_bytes, max_bytes);
    if (looked_) return read;
    looked_ = true;
    return read.then([this, buffer](std::size_t size) -> kj::Promise<std::size_t> {
      if (!BeginsAsTls(static_cast<const kj::byte*>(buffer), size)) return size;
      refused_();
      return kj::Exception(kj::Exception::Type::FAILED, __FILE__, __LINE__,
                           kj::heapString(kSpeaksTls));
    });
  }
  kj::Promise<void> write(const void* buffer, std::size_t size) override {
    return inner_->write(buffer, size);
  }
  kj::Promise<void> write(kj::ArrayPtr<const kj::ArrayPtr<const kj::byte>> pieces) override {
    return inner_->write(pieces);
  }
  kj::Promise<void> whenWriteDisconnected() override { return inner_->whenWriteDisconnected(); }
  void shutdownWrite() override { inner_->shutdownWrite(); }
  void abortRead() override { inner_->abortRead(); }
  void getsockopt(int level, int option, void* value, kj::uint* length) override {
    inner_->getsockopt(level, option, value, length);
  }

 private:
  kj::Own<kj::AsyncIoStream> inner_;
  const std::function<void()> refused_;
  bool looked_ = false;
};

}  // namespace raftkv::rpc
