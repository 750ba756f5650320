// How is the log database opened: with which options, and which column families?
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <rocksdb/db.h>
#include <rocksdb/options.h>
#include <rocksdb/slice.h>

#include <raftkv/status.h>

#include "lib/node/ports.h"

namespace rocksdb {
class WalFilter;
}

namespace raftkv::storage {

inline std::string_view View(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }

/// Something in the log's folder contradicts another part of it.
inline Status DamagedLog(const std::string& what) { return {Code::kCorruption, what}; }

struct LogDbOptions {
  std::string folder;
  rocksdb::Env* env = nullptr;
  /// False only in tests, to show that they notice a missing sync.
  bool sync = true;
  node::LogSink log_sink;
  /// Entries gather in memory, and in the write-ahead log, up to this many bytes.
  std::size_t write_buffer_bytes = 64 << 20;
};

/// An open RocksDB and its families; closes in the right order.
class LogHandles {
 public:
  /// `env`: the database's, if it is its own.
  LogHandles(std::unique_ptr<rocksdb::Env> env, std::unique_ptr<rocksdb::DB> db,
             const std::vector<rocksdb::ColumnFamilyHandle*>& families);
  ~LogHandles();
  LogHandles(const LogHandles&) = delete;
  LogHandles& operator=(const LogHandles&) = delete;

  [[nodiscard]] rocksdb::DB& db() const { return *db_; }
  [[nodiscard]] rocksdb::ColumnFamilyHandle* log() const { return families_[1]; }
  [[nodiscard]] rocksdb::ColumnFamilyHandle* state() const { return families_[2]; }
  /// The destructor does the same and ignores the outcome.
  Status Close();

 private:
  /// Ends after what runs on it.
  std::unique_ptr<rocksdb::Env> env_;
  std::unique_ptr<rocksdb::DB> db_;
  /// default (unused), log, state
  std::vector<rocksdb::ColumnFamilyHandle*> families_;
};

/// Creates the database; the folder must exist and contain none.
Result<std::unique_ptr<LogHandles>> CreateLogHandles(const LogDbOptions& options);

struct OpenMode {
  /// Changes nothing on disk: recovers into memory.
  bool read_only = false;
  rocksdb::WALRecoveryMode recovery = rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  /// May be null.
  rocksdb::WalFilter* watch = nullptr;
};
Result<std::unique_ptr<LogHandles>> OpenLogHandles(const LogDbOptions& options, OpenMode mode);

}  // namespace raftkv::storage
