// How are connections taken in on a port, whatever is then spoken on them?
#pragma once

#include <functional>
#include <string>

#include <kj/async-io.h>

#include "lib/node/ports.h"
#include "rpc/loop/event_loop.h"
#include "rpc/loop/rate_limit.h"
#include "rpc/loop/sockets.h"

namespace raftkv::rpc {

/// Lives on the loop. Hands each new connection to its owner until it is destroyed.
class Acceptor final : private kj::TaskSet::ErrorHandler {
 public:
  using Accept = std::function<void(kj::Own<kj::AsyncIoStream>)>;

  /// `accept` runs on the loop. Throws a kj exception if the system refuses the listening socket.
  Acceptor(EventLoop& loop, Listener listener, node::LogSink log_sink, Accept accept);
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

  /// With the port that was chosen.
  [[nodiscard]] const std::string& address() const { return address_; }
  /// Why a connection was not kept: one line a second.
  void LogRefused(const std::string& line);

 private:
  kj::Promise<void> Loop();
  void taskFailed(kj::Exception&& exception) override;

  EventLoop& loop_;
  const std::string address_;
  const node::LogSink log_sink_;
  const Accept accept_;
  RateLimitedLog refused_;
  kj::Own<kj::ConnectionReceiver> receiver_;
  kj::TaskSet tasks_;  // last: goes first
};

}  // namespace raftkv::rpc
