// What is a connection of the door, whichever protocol it speaks?
#pragma once

#include <string>

#include <kj/async.h>
#include <kj/timer.h>

#include "lib/base/time.h"
#include "rpc/etcd/http2_limits.h"
#include "rpc/etcd/method.h"
#include "rpc/etcd/outcome.h"
#include "rpc/etcd/ticks.h"

namespace raftkv::etcd {

/// The door, as its connections see it.
class SessionOwner {
 public:
  virtual ~SessionOwner() = default;
  [[nodiscard]] virtual MonoTime Now() = 0;
  [[nodiscard]] virtual kj::Timer& timer() = 0;
  /// Null while the member is starting.
  [[nodiscard]] virtual const Methods* methods() const = 0;
  [[nodiscard]] virtual const Http2Limits& limits() const = 0;
  [[nodiscard]] virtual const ConnectionTicks& ticks() const = 0;
  /// Of all connections.
  [[nodiscard]] virtual SharedBytes& queued() = 0;
  [[nodiscard]] virtual SharedBytes& unfinished() = 0;
};

/// Why a connection is over.
struct SessionEnd {
  /// Empty: the other side closed it in order, or this side did.
  std::string reason = {};
  /// The other side has broken the protocol or a limit.
  bool offence = false;
};

/// Lives on the loop.
class DoorConnection {
 public:
  virtual ~DoorConnection() = default;
  /// Resolves once, when the connection is over; call it once.
  virtual kj::Promise<SessionEnd> Ended() = 0;
  /// Call it at even intervals: see ConnectionTicks.
  virtual void Tick() = 0;
  /// No call is open.
  [[nodiscard]] virtual bool idle() const = 0;
  /// The other side is to open no more calls here; those that are open go on.
  virtual void SayGoodbye() = 0;
  /// Ends all calls with `outcome`, and the connection; sends what the socket takes at once.
  virtual void Stop(const Outcome& outcome) = 0;
};

}  // namespace raftkv::etcd
