// Does anything move on a connection, in the middle of a large message too?
#pragma once

#include <cstdint>

#include <kj/async-io.h>

namespace raftkv::rpc {

/// Since the connection began, in bytes; all 0 for a stream that is no TCP socket.
struct TcpProgress {
  /// What the other side's kernel has acknowledged: it grows as long as the program there reads,
  /// however slowly.
  std::uint64_t acknowledged = 0;
  /// What this side's kernel has taken in.
  std::uint64_t received = 0;
  /// Something is sent, or waits to be, and is not acknowledged yet.
  bool unacknowledged = false;
};
TcpProgress ProgressOf(kj::AsyncIoStream& stream);

}  // namespace raftkv::rpc
