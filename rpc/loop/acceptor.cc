#include "rpc/loop/acceptor.h"

#include <utility>

namespace raftkv::rpc {
namespace {

constexpr auto kRetryDelay = 100 * kj::MILLISECONDS;

}  // namespace

Acceptor::Acceptor(EventLoop& loop, Listener listener, node::LogSink log_sink, Accept accept)
    : loop_(loop),
      address_(std::move(listener.address)),
      log_sink_(std::move(log_sink)),
      accept_(std::move(accept)),
      receiver_(loop.low_level().wrapListenSocketFd(
          kj::mv(listener.fd), kj::LowLevelAsyncIoProvider::ALREADY_CLOEXEC |
                                   kj::LowLevelAsyncIoProvider::ALREADY_NONBLOCK)),
      tasks_(*this) {
  tasks_.add(Loop());
}

kj::Promise<void> Acceptor::Loop() {
  return receiver_->accept().then(
      [this](kj::Own<kj::AsyncIoStream>&& stream) {
        accept_(kj::mv(stream));
        return Loop();
      },
      [this](kj::Exception&& exception) {
        // No descriptor left, for example: the port stays open for when there is one again.
        refused_.Log(log_sink_, loop_.Now(), node::LogSeverity::kError,
                     "cannot accept a connection on " + address_ + ": " + ShortReason(exception));
        return loop_.timer().afterDelay(kRetryDelay).then([this] { return Loop(); });
      });
}

void Acceptor::LogRefused(const std::string& line) {
  refused_.Log(log_sink_, loop_.Now(), node::LogSeverity::kWarn, line);
}

void Acceptor::taskFailed(kj::Exception&& exception) {
  // What `accept_` did not keep to itself: that connection is gone, the next ones are not.
  LogRefused("lost a new connection on " + address_ + ": " + ShortReason(exception));
  tasks_.add(Loop());
}

}  // namespace raftkv::rpc
