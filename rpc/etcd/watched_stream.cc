#include "rpc/etcd/watched_stream.h"

#include <algorithm>
#include <cstring>

namespace raftkv::etcd {

namespace {

/// Then the other sockets have their turn: KJ looks at them only when nothing is ready, which a
/// client that sends without a pause could prevent.
constexpr std::uint64_t kReadsInATurn = 64;

}  // namespace

WatchedStream::WatchedStream(kj::Timer& timer, kj::Own<kj::AsyncIoStream> inner,
                             std::string_view first)
    : timer_(timer), inner_(kj::mv(inner)), ahead_(first) {
  auto paf = kj::newPromiseAndFulfiller<void>();
  gone_ = kj::mv(paf.promise);
  tell_gone_ = kj::mv(paf.fulfiller);
}

void WatchedStream::LookAhead() {
  if (looking_ || closed_ || stopped_ || !ahead_.empty()) return;
  looking_ = true;
  // Never cancelled, since what it has read would be lost: reads wait for it.
  look_ = kj::evalNow([this] { return inner_->tryRead(buffer_.data(), 1, buffer_.size()); })
              .then(
                  [this](std::size_t size) {
                    looking_ = false;
                    ahead_.assign(reinterpret_cast<const char*>(buffer_.data()), size);
                    closed_ = size == 0;
                    if (closed_) tell_gone_->fulfill();
                  },
                  [this](kj::Exception&&) {
                    looking_ = false;
                    closed_ = true;
                    tell_gone_->fulfill();
                  })
              .fork();
}

kj::Promise<std::size_t> WatchedStream::tryRead(void* buffer, std::size_t min_bytes,
                                                std::size_t max_bytes) {
  if (closed_ || stopped_) return std::size_t{0};
  if (++reads_ % kReadsInATurn == 0) {
    return timer_.afterDelay(0 * kj::NANOSECONDS).then([this, buffer, min_bytes, max_bytes] {
      return tryRead(buffer, min_bytes, max_bytes);
    });
  }
  if (looking_) {
    return look_.addBranch().then(
        [this, buffer, min_bytes, max_bytes] { return tryRead(buffer, min_bytes, max_bytes); });
  }
  const std::size_t taken = std::min(ahead_.size(), max_bytes);
  if (taken > 0) {
    std::memcpy(buffer, ahead_.data(), taken);
    ahead_.erase(0, taken);
  }
  if (taken > 0 && taken >= min_bytes) return taken;
  return inner_
      ->tryRead(static_cast<kj::byte*>(buffer) + taken, min_bytes - taken, max_bytes - taken)
      .then([taken](std::size_t size) { return taken + size; });
}

kj::Promise<void> WatchedStream::Count(kj::Promise<void> write) {
  ++writing_;
  return write.then([this] { ++writes_done_; }).attach(kj::defer([this] { --writing_; }));
}

kj::Promise<void> WatchedStream::write(const void* buffer, std::size_t size) {
  return Count(inner_->write(buffer, size));
}

kj::Promise<void> WatchedStream::write(kj::ArrayPtr<const kj::ArrayPtr<const kj::byte>> pieces) {
  return Count(inner_->write(pieces));
}

}  // namespace raftkv::etcd
