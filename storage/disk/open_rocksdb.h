// How does a RocksDB database run in this process: with which threads and options, and where do its
// messages go?
//
// RocksDB throws if the system has no thread left: either where the exception can be caught,
// leaving things half done, or in the middle of a write, which ends the process.
//
// Without a logger it writes a LOG file; after one failed write to that file (disk full) its next
// message aborts the process. So a logger is always set.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <rocksdb/db.h>
#include <rocksdb/options.h>

#include <raftkv/status.h>

#include "lib/node/ports.h"

namespace raftkv::storage {

/// The error of a compaction that must not use up the rest of a full disk. RocksDB retries it once
/// a second, with three lines each; the member itself reports that its disk is full.
inline constexpr char kNoRoomToCompact[] = "there is not enough space for a compaction";

/// Creates the threads that RocksDB would otherwise create in the middle of a write. Unavailable:
/// there is none left. InvalidArgument: this process was forked from one that had created them, and
/// does not have them.
Status PrepareRocksdb();

/// What every database has in common. Its messages go to `sink` as lines that begin with `what`
/// ("log", "kv"); an empty sink drops them. Safe from any thread if `sink` is.
rocksdb::Options CommonOptions(rocksdb::Env* env, const std::string& what, node::LogSink sink);

/// How many tables a database may keep open: an eighth of this process's descriptors. There are
/// three databases at most (log, keys, a checkpoint), and connections take half of all. Tables
/// beyond that are opened when they are read.
int MostOpenTables();

enum class Opening {
  kMake,  ///< the folder holds none
  kThere,
  kReadOnly,  ///< changes nothing on disk: recovers into memory
};

struct OpenDatabase {
  std::unique_ptr<rocksdb::DB> db;
  std::vector<rocksdb::ColumnFamilyHandle*> families;  ///< to be destroyed before it
};

/// As rocksdb::DB::Open, or OpenForReadOnly. Incomplete (Unavailable in files.h) if the system has
/// no thread or memory left; nothing is open then.
rocksdb::Status OpenRocksdb(Opening opening, rocksdb::Options options, const std::string& folder,
                            const std::vector<rocksdb::ColumnFamilyDescriptor>& families,
                            OpenDatabase& out);
/// For a database with only the default family.
rocksdb::Status OpenRocksdb(Opening opening, const rocksdb::Options& options,
                            const std::string& folder, std::unique_ptr<rocksdb::DB>& out);

}  // namespace raftkv::storage
