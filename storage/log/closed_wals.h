// What if a write-ahead log cannot be synced that RocksDB has stopped writing to?
//
// RocksDB begins a file where its buffer is full, whether the one before was synced or not. The
// next synced write and the flush of the buffer then both sync the closed one, each without knowing
// of the other, and RocksDB asserts that a file that failed once is not used again: of a disk that
// fails at that moment it does not tell, but ends the process.
//
// So here the sync of a closed file seems to succeed, and its failure is that of the database: from
// then on every other file of it can be neither written nor synced. That loses nothing. A synced
// write ends with the sync of the newest file, a flush with those of its table and of the manifest,
// and nothing is promised before them.
#pragma once

#include <memory>

#include <rocksdb/env.h>

namespace raftkv::storage {

/// `base`, borrowed, for one opening of one database.
std::unique_ptr<rocksdb::Env> NewClosedWalEnv(rocksdb::Env& base);

}  // namespace raftkv::storage
