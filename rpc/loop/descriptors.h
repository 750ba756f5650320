// How many connections fit into the descriptors that the system gives this process?
#pragma once

#include <cstdint>

namespace raftkv::rpc {

/// `wanted`, or half of RLIMIT_NOFILE if that is less: files, and connections that this member
/// makes, need some as well.
std::uint32_t ConnectionsThatFit(std::uint32_t wanted);

}  // namespace raftkv::rpc
