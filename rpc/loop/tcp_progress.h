// Does the other side of a connection still take what is sent to it?
#pragma once

#include <cstdint>

#include <kj/async-io.h>

namespace raftkv::rpc {

/// Bytes that the other side's kernel has acknowledged since the connection began; it grows as long
/// as the program there reads, however slowly, also in the middle of a large message. 0 for a
/// stream that is no TCP socket.
std::uint64_t AcknowledgedBytes(kj::AsyncIoStream& stream);

}  // namespace raftkv::rpc
