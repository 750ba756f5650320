// How many connections fit into the descriptors that the system gives this process?
#pragma once

#include <cstdint>

namespace raftkv::rpc {

/// `wanted`, or the half of RLIMIT_NOFILE where that is less: files, and the connections that this
/// member makes, must have some as well.
std::uint32_t ConnectionsThatFit(std::uint32_t wanted);

}  // namespace raftkv::rpc
