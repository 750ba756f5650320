#include "storage/log/log_handles.h"

#include <utility>

#include <rocksdb/cache.h>
#include <rocksdb/table.h>

#include "lib/base/check.h"
#include "storage/disk/files.h"
#include "storage/disk/open_rocksdb.h"
#include "storage/log/closed_wals.h"
#include "storage/log/log_format.h"

namespace raftkv::storage {

namespace {

constexpr std::size_t kStateWriteBufferBytes = 4 << 20;

rocksdb::Options LogDatabaseOptions(rocksdb::Env& env, const LogDbOptions& options,
                                    const OpenMode& mode) {
  rocksdb::Options out = CommonOptions(&env, "log", options.log_sink);
  out.wal_recovery_mode = mode.recovery;
  out.wal_filter = mode.watch;
  // Above it the family that pins the oldest write-ahead log is flushed: that is `state`, which is
  // too small to fill its buffer at the pace of `log`.
  out.max_total_wal_size = 2 * options.write_buffer_bytes;
  // A recycled file holds old records behind the end: a torn tail would look like damage.
  out.recycle_log_file_num = 0;
  return out;
}

std::vector<rocksdb::ColumnFamilyDescriptor> Families(const LogDbOptions& options,
                                                      const rocksdb::Options& database) {
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(8 << 20);
  table.block_size = 32 * 1024;

  // Keys only grow, so files never overlap: compaction moves them as they are, and does so at once,
  // since files of the lowest level are not deleted when the log is cut.
  rocksdb::ColumnFamilyOptions log(database);
  log.write_buffer_size = options.write_buffer_bytes;
  log.max_write_buffer_number = 3;
  log.level0_file_num_compaction_trigger = 1;
  log.compression = rocksdb::kNoCompression;
  log.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));

  rocksdb::ColumnFamilyOptions state(database);
  state.write_buffer_size = kStateWriteBufferBytes;
  state.compression = rocksdb::kNoCompression;
  state.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));

  return {{rocksdb::kDefaultColumnFamilyName, state},
          {std::string(kLogFamily), log},
          {std::string(kStateFamily), state}};
}

}  // namespace

LogHandles::LogHandles(std::unique_ptr<rocksdb::Env> env, std::unique_ptr<rocksdb::DB> db,
                       const std::vector<rocksdb::ColumnFamilyHandle*>& families)
    : env_(std::move(env)), db_(std::move(db)), families_(families) {
  RAFTKV_CHECK(families_.size() == 3, families_.size());
}

LogHandles::~LogHandles() { static_cast<void>(Close()); }

Status LogHandles::Close() {
  if (db_ == nullptr) return Status::Ok();
  for (rocksdb::ColumnFamilyHandle* family : families_) {
    db_->DestroyColumnFamilyHandle(family).PermitUncheckedError();
  }
  families_.clear();
  const rocksdb::Status closed = db_->Close();
  db_.reset();
  return ToStatus(closed, "close the log database");
}

Result<std::unique_ptr<LogHandles>> CreateLogHandles(const LogDbOptions& options) {
  std::unique_ptr<rocksdb::Env> env = NewClosedWalEnv(*options.env);
  const rocksdb::Options database = LogDatabaseOptions(*env, options, OpenMode{});
  OpenDatabase open;
  const rocksdb::Status made =
      OpenRocksdb(Opening::kMake, database, options.folder, Families(options, database), open);
  if (!made.ok()) return ToStatus(made, "make the log database " + options.folder);
  return std::make_unique<LogHandles>(std::move(env), std::move(open.db), open.families);
}

Result<std::unique_ptr<LogHandles>> OpenLogHandles(const LogDbOptions& options, OpenMode mode) {
  std::unique_ptr<rocksdb::Env> env;
  if (!mode.read_only) env = NewClosedWalEnv(*options.env);
  const rocksdb::Options database =
      LogDatabaseOptions(env == nullptr ? *options.env : *env, options, mode);
  const Opening opening = mode.read_only ? Opening::kReadOnly : Opening::kThere;
  OpenDatabase open;
  const rocksdb::Status opened =
      OpenRocksdb(opening, database, options.folder, Families(options, database), open);
  if (!opened.ok()) return ToOpenStatus(opened, "open the log database " + options.folder);
  return std::make_unique<LogHandles>(std::move(env), std::move(open.db), open.families);
}

}  // namespace raftkv::storage
