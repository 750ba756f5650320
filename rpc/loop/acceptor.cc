#include "rpc/loop/acceptor.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

namespace raftkv::rpc {
namespace {

constexpr auto kRetryDelay = 100 * kj::MILLISECONDS;
/// Connections that are closed in one go.
constexpr int kMaxClosedAtOnce = 128;

kj::AutoCloseFd NewSpare() { return kj::AutoCloseFd(open("/dev/null", O_RDONLY | O_CLOEXEC)); }

}  // namespace

Acceptor::Acceptor(EventLoop& loop, Listener listener, node::LogSink log_sink, Accept accept,
                   MakeRoom make_room)
    : loop_(loop),
      address_(std::move(listener.address)),
      log_sink_(std::move(log_sink)),
      accept_(std::move(accept)),
      make_room_(std::move(make_room)),
      listening_(listener.fd.get()),
      spare_(NewSpare()),
      receiver_(loop.low_level().wrapListenSocketFd(
          kj::mv(listener.fd), kj::LowLevelAsyncIoProvider::ALREADY_CLOEXEC |
                                   kj::LowLevelAsyncIoProvider::ALREADY_NONBLOCK)),
      tasks_(*this) {
  tasks_.add(Loop());
}

kj::Promise<void> Acceptor::Loop() {
  // accept() may throw instead of returning a promise that fails.
  return kj::evalNow([this] { return receiver_->accept(); })
      .then(
          [this](kj::Own<kj::AsyncIoStream>&& stream) {
            accept_(kj::mv(stream));
            return Loop();
          },
          [this](kj::Exception&& exception) { return AfterFailure(exception); });
}

kj::Promise<void> Acceptor::AfterFailure(const kj::Exception& exception) {
  refused_.Log(log_sink_, loop_.Now(), node::LogSeverity::kError,
               "cannot accept a connection on " + address_ + ": " + ShortReason(exception));
  // KJ's word for EMFILE, ENFILE, ENOBUFS and ENOMEM.
  const bool exhausted = exception.getType() == kj::Exception::Type::OVERLOADED;
  // Once what was closed has really gone.
  if (exhausted && make_room_()) return kj::evalLast([this] { return Loop(); });
  if (exhausted) CloseWaiting();
  return loop_.timer().afterDelay(kRetryDelay).then([this] { return Loop(); });
}

void Acceptor::CloseWaiting() {
  if (spare_.get() < 0) spare_ = NewSpare();
  spare_ = nullptr;
  for (int i = 0; i < kMaxClosedAtOnce; ++i) {
    const int waiting = accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (waiting < 0) break;
    close(waiting);
  }
  spare_ = NewSpare();
}

void Acceptor::LogRefused(const std::string& line) {
  refused_.Log(log_sink_, loop_.Now(), node::LogSeverity::kWarn, line);
}

void Acceptor::taskFailed(kj::Exception&& exception) {
  // What `accept_` did not keep to itself: that connection is gone, the next ones are not.
  LogRefused("lost a new connection on " + address_ + ": " + ShortReason(exception));
  tasks_.add(kj::evalLater([this] { return Loop(); }));
}

}  // namespace raftkv::rpc
