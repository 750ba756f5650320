// How does a client read a backup, and how is it kept from holding it forever?
#pragma once

#include <memory>

#include "lib/node/backup.h"
#include "rpc/loop/event_loop.h"
#include "rpc/server/kv_service.h"
#include "rpc/wire/raftkv.capnp.h"

namespace raftkv::rpc {

/// Bounds of one backup's calls.
inline constexpr std::uint32_t kMaxBackupReadBytes = 1 << 20;
inline constexpr std::uint32_t kMaxBackupReads = 32;
/// After this long without a call it is dropped.
inline constexpr Duration kBackupIdle = std::chrono::seconds(60);

/// The capability that a client gets. `alive` and `has_room`: as in kv_service.h.
wire::Backup::Client NewBackup(EventLoop& loop, std::shared_ptr<node::BackupSource> source,
                               std::shared_ptr<const bool> alive, HasRoom has_room,
                               Duration idle = kBackupIdle);

}  // namespace raftkv::rpc
