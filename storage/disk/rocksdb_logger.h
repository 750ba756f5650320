// Where does RocksDB write its own messages? Into the node's log, never into a file of its own.
//
// Without a logger RocksDB writes a LOG file; after one failed write to that file (disk full) its
// next message aborts the process. So a logger is always set.
#pragma once

#include <memory>
#include <string>

#include <rocksdb/env.h>

#include "lib/node/ports.h"

namespace raftkv::storage {

/// What a compaction fails with that is not to use up the rest of a full disk. RocksDB tries it
/// once a second, with three lines each; the member says itself that its disk is full.
inline constexpr char kNoRoomToCompact[] = "space is too short for a compaction";

/// `what` ("log", "kv") begins each line. Safe from any thread if `sink` is. An empty sink drops
/// all.
std::shared_ptr<rocksdb::Logger> NewRocksdbLogger(std::string what, node::LogSink sink);

}  // namespace raftkv::storage
