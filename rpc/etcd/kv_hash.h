// Do two members have the same keys at the same revision?
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include <raftkv/status.h>

#include "lib/base/once_function.h"
#include "rpc/etcd/backend.h"
#include "rpc/etcd/service_life.h"

namespace raftkv::etcd {

struct KvHash {
  std::uint32_t hash = 0;
  std::uint64_t revision = 0;
};

/// Reads all keys with their values and counts, as this member had them at `revision` (0: the
/// latest), a page at a time. On the loop. Releasing the returned object ends it without an answer;
/// `backend` and `life` outlive that object.
std::shared_ptr<void> HashKeys(Backend& backend, const ServiceLife& life, std::uint64_t revision,
                               OnceFunction<void(const Result<KvHash>&)> done);

}  // namespace raftkv::etcd
