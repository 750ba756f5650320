// Is a table file of RocksDB as it was written?
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <rocksdb/env.h>

#include <raftkv/status.h>

namespace rocksdb {
class DB;
}

namespace raftkv::storage {

/// Reads all of the table at `path` and checks every block. Corruption, IOError. `pace` is called
/// with the number of bytes before they are read; false: stop, and Cancelled is the outcome.
Status VerifyTable(rocksdb::Env& env, const std::string& path,
                   const std::function<bool(std::size_t bytes)>& pace);

/// The paths of the tables that `db` consists of now. Safe from any thread.
std::vector<std::string> TablesOf(rocksdb::DB& db);

}  // namespace raftkv::storage
