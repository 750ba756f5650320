// Is a table file of RocksDB as it was written?
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <rocksdb/env.h>
#include <rocksdb/file_checksum.h>

#include <raftkv/status.h>

namespace rocksdb {
class DB;
}

namespace raftkv::storage {

/// Reads all of the table at `path` and checks every block. Corruption, IOError. `pace` is called
/// with the number of bytes before they are read; false: stop, and Cancelled is the outcome.
Status VerifyTable(rocksdb::Env& env, const std::string& path,
                   const std::function<bool(std::size_t bytes)>& pace);

/// With this in a database's options it keeps a checksum of each table's bytes, taken while they
/// were written: XXH3-64, as in the manifests of snapshots.
std::shared_ptr<rocksdb::FileChecksumGenFactory> KeepTableChecksums();
/// What `db` kept of its tables, by file name; one that an older version wrote is missing.
std::map<std::string, std::uint64_t> KeptChecksums(rocksdb::DB& db);

/// The paths of the tables that `db` consists of now. Safe from any thread.
std::vector<std::string> TablesOf(rocksdb::DB& db);

}  // namespace raftkv::storage
