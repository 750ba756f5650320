// How are connections accepted on a port, whatever protocol they then speak?
//
// Whatever the system returns, the port stays open and the loop continues. If there is no
// descriptor or memory left, the owner makes room. If it cannot, new connections are closed at
// once, with a descriptor that is reserved for that, so that the connecting side learns it instead
// of waiting.
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

/// Lives on the loop. Passes each new connection of all of the listener's sockets to its owner,
/// until it is destroyed.
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
  /// Why a connection was not kept: one line per second.
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
  /// For the other addresses of its name. Last, so destroyed first.
  std::vector<std::unique_ptr<Acceptor>> others_;
};

}  // namespace raftkv::rpc
