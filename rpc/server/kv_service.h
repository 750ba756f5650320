// How does the member execute the calls of clients, and how many at a time?
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include <raftkv/node.h>

#include "rpc/loop/event_loop.h"
#include "rpc/server/service.h"
#include "rpc/wire/raftkv.capnp.h"

namespace raftkv::rpc {

/// Calls of one connection that wait for their answers; more are answered Unavailable.
inline constexpr std::uint32_t kMaxCallsPerConnection = 1024;
/// Pages of watches that wait on one connection, besides those calls.
inline constexpr std::uint32_t kMaxWatchesPerConnection = 2048;
/// The longest wait that a client may request.
inline constexpr std::uint32_t kMaxTimeoutMs = 10 * 60 * 1000;
/// And for the next event: a client that is gone is waited for no longer than this.
inline constexpr std::uint32_t kMaxWatchMs = 10 * 1000;

/// Whether an answer of this many bytes may be queued on the connection now. An answer without room
/// is not sent; the client is told to ask again.
using HasRoom = std::function<bool(std::size_t bytes)>;

/// The capability that a client gets from its handshake. `loop`, `service` and `has_room` are used
/// only while `*alive`: a call may outlive its connection by a turn of the loop.
wire::KvService::Client NewKvService(EventLoop& loop, Service& service, const Limits& limits,
                                     std::shared_ptr<const bool> alive, HasRoom has_room);

}  // namespace raftkv::rpc
