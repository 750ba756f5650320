// What does RocksDB need of the process before a database is opened?
//
// RocksDB throws where the system has no thread to give: at a place where it can be caught, and
// then it leaves things half done, or in the midst of a write, which ends the process.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <rocksdb/db.h>

#include <raftkv/status.h>

namespace raftkv::storage {

/// Makes the threads that RocksDB would otherwise make in the midst of a write. Unavailable: there
/// is none to be had. InvalidArgument: this process was forked from one that had made them, and has
/// them no more.
Status PrepareRocksdb();

struct OpenDatabase {
  std::unique_ptr<rocksdb::DB> db;
  std::vector<rocksdb::ColumnFamilyHandle*> families;  ///< to be destroyed before it
};

/// As rocksdb::DB::Open, or OpenForReadOnly. Incomplete (Unavailable, as files.h has it) where the
/// system has no thread or memory to give; nothing is open then.
rocksdb::Status OpenRocksdb(const rocksdb::Options& options, const std::string& folder,
                            const std::vector<rocksdb::ColumnFamilyDescriptor>& families,
                            bool read_only, OpenDatabase& out);
/// Of one that has the default family alone.
rocksdb::Status OpenRocksdb(const rocksdb::Options& options, const std::string& folder,
                            bool read_only, std::unique_ptr<rocksdb::DB>& out);

}  // namespace raftkv::storage
