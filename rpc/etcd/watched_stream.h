// How are bytes that were read already read again, and how is a client noticed that goes away while
// its answer is still being made?
//
// Sits between KJ's HTTP server and a socket. The first bytes of a connection decide its protocol,
// and come back here. While a request is answered, KJ reads nothing, and a client that closes in
// order would be noticed at the next write only: so this reads a little ahead, when asked to.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include <kj/async-io.h>
#include <kj/timer.h>

namespace raftkv::etcd {

class WatchedStream final : public kj::AsyncIoStream {
 public:
  /// `timer` outlives the stream.
  WatchedStream(kj::Timer& timer, kj::Own<kj::AsyncIoStream> inner, std::string_view first);

  /// Resolves when the other side has closed, as far as LookAhead() sees; call it once.
  kj::Promise<void> Gone() { return kj::mv(gone_); }
  /// Reads ahead until something arrives; not while a read is in progress.
  void LookAhead();
  /// The end, for whoever reads on.
  void StopReading() { stopped_ = true; }

  [[nodiscard]] bool writing() const { return writing_ > 0; }
  [[nodiscard]] std::uint64_t writes_done() const { return writes_done_; }
  [[nodiscard]] kj::AsyncIoStream& inner() { return *inner_; }

  kj::Promise<std::size_t> tryRead(void* buffer, std::size_t min_bytes,
                                   std::size_t max_bytes) override;
  kj::Promise<void> write(const void* buffer, std::size_t size) override;
  kj::Promise<void> write(kj::ArrayPtr<const kj::ArrayPtr<const kj::byte>> pieces) override;
  kj::Promise<void> whenWriteDisconnected() override { return inner_->whenWriteDisconnected(); }
  void shutdownWrite() override { inner_->shutdownWrite(); }
  void abortRead() override { inner_->abortRead(); }

 private:
  kj::Promise<void> Count(kj::Promise<void> write);

  kj::Timer& timer_;
  kj::Own<kj::AsyncIoStream> inner_;
  std::string ahead_;  ///< read, and not taken yet
  std::array<kj::byte, 1024> buffer_;
  bool looking_ = false;  ///< a read into buffer_ is in progress
  bool closed_ = false;
  bool stopped_ = false;
  int writing_ = 0;
  std::uint64_t reads_ = 0;
  std::uint64_t writes_done_ = 0;
  kj::Promise<void> gone_ = nullptr;
  kj::Own<kj::PromiseFulfiller<void>> tell_gone_;
  kj::ForkedPromise<void> look_ = nullptr;  // last: goes first
};

}  // namespace raftkv::etcd
