// How does a client of etcd's API get a copy of a member's state?
#pragma once

#include <cstddef>
#include <memory>

#include "rpc/etcd/backend.h"
#include "rpc/etcd/method.h"
#include "rpc/etcd/service_life.h"

namespace raftkv::etcd {

/// The stream of Maintenance.Snapshot. It has the form that etcd's tools expect: blobs, whose sizes
/// together are a multiple of 512 bytes (zeros at the end make up for that), and then the SHA-256
/// of all that, as the last blob. What is in it is the stream of a backup (lib/node/backup.h), not
/// a file that etcd could start from. `backend` and `life` outlive the call.
std::unique_ptr<Conversation<SnapshotRequest>> SendSnapshot(Backend& backend,
                                                            const ServiceLife& life,
                                                            StreamReplier<SnapshotResponse> reply);

}  // namespace raftkv::etcd
