// Does anything move on a connection, even in the middle of a large message?
#pragma once

#include <cstdint>

#include <kj/async-io.h>

namespace raftkv::rpc {

/// Bytes since the connection began; all 0 for a stream that is not a TCP socket.
struct TcpProgress {
  /// What the other side's kernel has acknowledged: it increases as long as the program there
  /// reads, however slowly.
  std::uint64_t acknowledged = 0;
  /// What this side's kernel has received.
  std::uint64_t received = 0;
  /// Something is sent, or waiting to be sent, and not acknowledged yet.
  bool unacknowledged = false;
};
TcpProgress ProgressOf(kj::AsyncIoStream& stream);

}  // namespace raftkv::rpc
