#include "rpc/loop/acceptor.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

namespace raftkv::rpc {
namespace {

constexpr auto kRetryDelay = 100 * kj::MILLISECONDS;
/// A closed connection releases its descriptor a few turns of the loop later.
constexpr auto kRoomDelay = 5 * kj::MILLISECONDS;
/// Connections closed in one go.
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
  for (kj::AutoCloseFd& fd : listener.more) {
    others_.push_back(std::make_unique<Acceptor>(loop, Listener{kj::mv(fd), {}, address_},
                                                 log_sink_, accept_, make_room_));
  }
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
  // KJ's word for EMFILE, ENFILE, ENOBUFS and ENOMEM.
  const bool exhausted = exception.getType() == kj::Exception::Type::OVERLOADED;
  // The system looks for a descriptor before it looks for a connection, so it may report this when
  // no connection is waiting, and no room has to be made.
  if (exhausted && !SomebodyWaits()) {
    return loop_.timer().afterDelay(kRetryDelay).then([this] { return Loop(); });
  }
  failed_.Log(log_sink_, loop_.Now(), node::LogSeverity::kError,
              "cannot accept a connection on " + address_ + ": " + ShortReason(exception));
  if (exhausted && make_room_()) {
    return loop_.timer().afterDelay(kRoomDelay).then([this] { return Loop(); });
  }
  if (exhausted) CloseWaiting();
  return loop_.timer().afterDelay(kRetryDelay).then([this] { return Loop(); });
}

bool Acceptor::SomebodyWaits() const {
  pollfd listening{.fd = listening_, .events = POLLIN, .revents = 0};
  return poll(&listening, 1, 0) > 0;
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
  // An error that `accept_` did not handle: that connection is lost, later ones are not.
  LogRefused("lost a new connection on " + address_ + ": " + ShortReason(exception));
  tasks_.add(kj::evalLater([this] { return Loop(); }));
}

}  // namespace raftkv::rpc
