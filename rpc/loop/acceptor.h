// How are connections taken in on a port, whatever is then spoken on them?
//
// Whatever the system answers, the port stays open and the loop runs on. Where it has no descriptor
// or memory left, the owner makes room; if it cannot, new connections are closed at once by means
// of a descriptor that is kept for that, so that whoever connects learns it instead of waiting.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <kj/async-io.h>

#include "lib/node/ports.h"
#include "rpc/loop/event_loop.h"
#include "rpc/loop/rate_limit.h"
#include "rpc/loop/sockets.h"

namespace raftkv::rpc {

/// Lives on the loop. Hands each new connection to its owner until it is destroyed, whichever of
/// the listener's sockets it comes in by.
class Acceptor final : private kj::TaskSet::ErrorHandler {
 public:
  using Accept = std::function<void(kj::Own<kj::AsyncIoStream>)>;
  /// Closes a connection that can be spared; false: there is none.
  using MakeRoom = std::function<bool()>;

  /// `accept` and `make_room` run on the loop. Throws a kj exception if the system refuses the
  /// listening socket.
  Acceptor(EventLoop& loop, Listener listener, node::LogSink log_sink, Accept accept,
           MakeRoom make_room);
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

  /// With the port that was chosen.
  [[nodiscard]] const std::string& address() const { return address_; }
  /// Why a connection was not kept: one line a second.
  void LogRefused(const std::string& line);

 private:
  kj::Promise<void> Loop();
  kj::Promise<void> AfterFailure(const kj::Exception& exception);
  [[nodiscard]] bool SomebodyWaits() const;
  /// Closes connections that wait to be accepted and cannot be.
  void CloseWaiting();
  void taskFailed(kj::Exception&& exception) override;

  EventLoop& loop_;
  const std::string address_;
  const node::LogSink log_sink_;
  const Accept accept_;
  const MakeRoom make_room_;
  RateLimitedLog refused_;
  RateLimitedLog failed_;
  const int listening_;    ///< owned by receiver_
  kj::AutoCloseFd spare_;  ///< lent to a connection that is closed at once
  kj::Own<kj::ConnectionReceiver> receiver_;
  kj::TaskSet tasks_;
  /// Of the other addresses of its name. Last: they go first.
  std::vector<std::unique_ptr<Acceptor>> others_;
};

}  // namespace raftkv::rpc
