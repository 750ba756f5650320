// Is a table file of RocksDB unchanged since it was written?
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

/// Reads all of the table at `path` and verifies every block. Corruption, IOError. `pace` is called
/// with the number of bytes before they are read; false: stop, with Cancelled as the result.
Status VerifyTable(rocksdb::Env& env, const std::string& path,
                   const std::function<bool(std::size_t bytes)>& pace);

/// With this in its options a database keeps a checksum of each table's bytes, computed while they
/// were written: XXH3-64, as in the manifests of snapshots.
std::shared_ptr<rocksdb::FileChecksumGenFactory> KeepTableChecksums();
/// The checksums that `db` keeps, by file name; tables of an older version have none.
std::map<std::string, std::uint64_t> KeptChecksums(rocksdb::DB& db);

/// The paths of the current tables of `db`. Safe from any thread.
std::vector<std::string> TablesOf(rocksdb::DB& db);

}  // namespace raftkv::storage
