// To which revision has the store come, whatever this member has applied?
#pragma once

#include <chrono>
#include <cstdint>

#include <raftkv/status.h>

#include "lib/base/once_function.h"
#include "rpc/etcd/backend.h"
#include "rpc/etcd/service_life.h"

namespace raftkv::etcd {

/// Calls `then` with a revision that is not below that of any write acknowledged before. For
/// answers that no read or write of keys gives one: etcd's headers never go back. Not called once
/// the service is gone.
void WithCurrentRevision(Backend& backend, const ServiceLife& life,
                         std::chrono::milliseconds timeout,
                         OnceFunction<void(Result<std::uint64_t>)> then);

}  // namespace raftkv::etcd
