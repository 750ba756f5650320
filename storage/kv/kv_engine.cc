#include "storage/kv/kv_engine.h"

#include <algorithm>
#include <utility>

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/listener.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>
#include <rocksdb/table_properties.h>
#include <rocksdb/utilities/checkpoint.h>
#include <rocksdb/write_batch.h>

#include "lib/base/check.h"
#include "lib/kv/layout.h"
#include "storage/disk/files.h"
#include "storage/disk/open_rocksdb.h"
#include "storage/disk/tables.h"

namespace raftkv::storage {

namespace {

/// Where all of a database is read, of each table at once.
constexpr std::size_t kReadAheadBytes = 256 << 10;

rocksdb::Slice Slice(std::string_view bytes) { return {bytes.data(), bytes.size()}; }

/// Tables with deleted ranges are compacted soon: until then each scan has to step over what they
/// cover.
class RangeDeleteCollector final : public rocksdb::TablePropertiesCollector {
 public:
  rocksdb::Status AddUserKey(const rocksdb::Slice& /*key*/, const rocksdb::Slice& /*value*/,
                             rocksdb::EntryType type, rocksdb::SequenceNumber /*sequence*/,
                             std::uint64_t /*file_size*/) override {
    found_ = found_ || type == rocksdb::kEntryRangeDeletion;
    return rocksdb::Status::OK();
  }
  rocksdb::Status Finish(rocksdb::UserCollectedProperties* /*properties*/) override {
    return rocksdb::Status::OK();
  }
  rocksdb::UserCollectedProperties GetReadableProperties() const override { return {}; }
  const char* Name() const override { return "raftkv.RangeDeletes"; }
  bool NeedCompact() const override { return found_; }

 private:
  bool found_ = false;
};

class RangeDeleteCollectorFactory final : public rocksdb::TablePropertiesCollectorFactory {
 public:
  rocksdb::TablePropertiesCollector* CreateTablePropertiesCollector(Context) override {
    return new RangeDeleteCollector;
  }
  const char* Name() const override { return "raftkv.RangeDeletes"; }
};

rocksdb::Options KvDatabaseOptions(const KvEngineOptions& options) {
  rocksdb::Options out = CommonOptions(options.env, "kv", options.log_sink);
  out.write_buffer_size = 64 << 20;
  out.max_write_buffer_number = 3;
  // Closing flushes only where Flush() asks for it: the log has everything anyway.
  out.avoid_flush_during_shutdown = true;
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(options.cache_bytes);
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.block_size = 8 * 1024;
  out.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  out.file_checksum_gen_factory = KeepTableChecksums();
  out.table_properties_collector_factories = {std::make_shared<RangeDeleteCollectorFactory>()};
  return out;
}

/// The applied entry as `tier` has it; 0: nothing is applied.
Result<kv::Position> AppliedIn(rocksdb::DB& db, rocksdb::ReadTier tier) {
  rocksdb::ReadOptions options;
  options.read_tier = tier;
  std::string record;
  const rocksdb::Status got =
      db.Get(options, db.DefaultColumnFamily(), rocksdb::Slice(&kv::kAppliedPrefix, 1), &record);
  if (got.IsNotFound()) return kv::Position{};
  if (!got.ok()) return ToStatus(got, "read the applied index");
  // A backup may be of an older format; who uses the database for more than this looks again.
  return kv::DecodePosition(record, /*oldest_version=*/1);
}

rocksdb::Status Add(const kv::Mutation& mutation, rocksdb::WriteBatch& batch) {
  const rocksdb::Slice key = Slice(mutation.key);
  switch (mutation.kind) {
    case kv::Mutation::Kind::kPut: return batch.Put(key, Slice(mutation.value));
    case kv::Mutation::Kind::kDelete: return batch.Delete(key);
    case kv::Mutation::Kind::kDeleteRange: return batch.DeleteRange(key, Slice(mutation.end));
  }
  RAFTKV_CHECK(false, static_cast<int>(mutation.kind));
  return rocksdb::Status::OK();
}

/// Looks after each flush how far the tables are.
class FlushWatch final : public rocksdb::EventListener {
 public:
  explicit FlushWatch(std::shared_ptr<std::atomic<std::uint64_t>> flushed)
      : flushed_(std::move(flushed)) {}
  void OnFlushCompleted(rocksdb::DB* db, const rocksdb::FlushJobInfo& /*flush*/) override {
    // Memory is left out: with the write-ahead log off, what stands in it is gone after a crash.
    const Result<kv::Position> applied = AppliedIn(*db, rocksdb::kPersistedTier);
    if (!applied.ok()) return;  // whoever reads next will say so; the log is only kept longer
    const std::uint64_t now = applied->index.value;
    std::uint64_t before = flushed_->load();
    while (before < now && !flushed_->compare_exchange_weak(before, now)) {
    }
  }

 private:
  const std::shared_ptr<std::atomic<std::uint64_t>> flushed_;
};

class KvView final : public kv::View {
 public:
  KvView(rocksdb::DB& db, kv::ReadTier tier, bool reads_once)
      : db_(db), snapshot_(db.GetSnapshot()) {
    options_.snapshot = snapshot_;
    options_.fill_cache = !reads_once;
    if (reads_once) options_.readahead_size = kReadAheadBytes;
    if (tier == kv::ReadTier::kMemory) options_.read_tier = rocksdb::kBlockCacheTier;
  }
  ~KvView() override { db_.ReleaseSnapshot(snapshot_); }
  KvView(const KvView&) = delete;
  KvView& operator=(const KvView&) = delete;

  Result<std::optional<std::string>> Get(std::string_view key) override {
    std::string value;
    const rocksdb::Status got = db_.Get(options_, db_.DefaultColumnFamily(), Slice(key), &value);
    if (got.IsNotFound()) return std::optional<std::string>();
    if (!got.ok()) return ToStatus(got, "read a key");
    return std::optional<std::string>(std::move(value));
  }

  Status Scan(
      std::string_view begin, std::string_view end,
      const std::function<bool(std::string_view key, std::string_view value)>& visit) override {
    rocksdb::ReadOptions options = options_;
    const rocksdb::Slice bound = Slice(end);
    if (!end.empty()) options.iterate_upper_bound = &bound;
    const std::unique_ptr<rocksdb::Iterator> it(db_.NewIterator(options));
    for (it->Seek(Slice(begin)); it->Valid(); it->Next()) {
      const rocksdb::Slice key = it->key();
      const rocksdb::Slice value = it->value();
      if (!visit({key.data(), key.size()}, {value.data(), value.size()})) break;
    }
    return ToStatus(it->status(), "read a range of keys");
  }

  Status ScanReverse(
      std::string_view begin, std::string_view end,
      const std::function<bool(std::string_view key, std::string_view value)>& visit) override {
    rocksdb::ReadOptions options = options_;
    const rocksdb::Slice first = Slice(begin);
    const rocksdb::Slice bound = Slice(end);
    options.iterate_lower_bound = &first;
    if (!end.empty()) options.iterate_upper_bound = &bound;
    const std::unique_ptr<rocksdb::Iterator> it(db_.NewIterator(options));
    for (it->SeekToLast(); it->Valid(); it->Prev()) {
      const rocksdb::Slice key = it->key();
      const rocksdb::Slice value = it->value();
      if (!visit({key.data(), key.size()}, {value.data(), value.size()})) break;
    }
    return ToStatus(it->status(), "read a range of keys");
  }

 private:
  rocksdb::DB& db_;
  const rocksdb::Snapshot* const snapshot_;
  rocksdb::ReadOptions options_;
};

}  // namespace

Status KvEngine::Create(const KvEngineOptions& options) {
  std::unique_ptr<rocksdb::DB> db;
  const rocksdb::Status made =
      OpenRocksdb(Opening::kMake, KvDatabaseOptions(options), options.folder, db);
  if (!made.ok()) return ToStatus(made, "make the key-value database " + options.folder);
  return ToStatus(db->Close(), "close the key-value database");
}

Result<std::shared_ptr<KvEngine>> KvEngine::Open(const KvEngineOptions& options) {
  auto flushed = std::make_shared<std::atomic<std::uint64_t>>(0);
  rocksdb::Options database = KvDatabaseOptions(options);
  database.listeners.push_back(std::make_shared<FlushWatch>(flushed));
  std::unique_ptr<rocksdb::DB> db;
  const rocksdb::Status opened = OpenRocksdb(Opening::kThere, database, options.folder, db);
  if (!opened.ok()) return ToOpenStatus(opened, "open the key-value database " + options.folder);
  std::shared_ptr<KvEngine> engine(new KvEngine(options, std::move(db), flushed));
  // All that is found is in tables: there is no write-ahead log.
  const Result<kv::Position> applied = AppliedIn(*engine->db_, rocksdb::kReadAllTier);
  if (!applied.ok()) return applied.status();
  flushed->store(applied->index.value);
  return engine;
}

KvEngine::KvEngine(KvEngineOptions options, std::unique_ptr<rocksdb::DB> db,
                   std::shared_ptr<std::atomic<std::uint64_t>> flushed)
    : options_(std::move(options)), db_(std::move(db)), flushed_(std::move(flushed)) {}

KvEngine::~KvEngine() {
  if (db_ != nullptr) db_->Close().PermitUncheckedError();
  db_.reset();
  // What cannot be removed now goes at the next open.
  if (remove_at_end_) static_cast<void>(RemoveTree(env(), folder()));
}

std::unique_ptr<kv::View> KvEngine::NewView(kv::ReadTier tier) {
  RAFTKV_CHECK(db_ != nullptr);
  return std::make_unique<KvView>(*db_, tier, reads_once_);
}

Status KvEngine::Write(const std::vector<kv::Mutation>& mutations) {
  RAFTKV_CHECK(db_ != nullptr);
  rocksdb::WriteBatch batch;
  for (const kv::Mutation& mutation : mutations) {
    const rocksdb::Status added = Add(mutation, batch);
    if (!added.ok()) return ToStatus(added, "write keys");
  }
  rocksdb::WriteOptions options;
  options.disableWAL = true;
  return ToStatus(db_->Write(options, &batch), "write the key-value database");
}

bool KvEngine::TakesWritesAtOnce() {
  std::uint64_t stopped = 1;
  std::uint64_t delayed = 1;
  return db_->GetIntProperty(rocksdb::DB::Properties::kIsWriteStopped, &stopped) && stopped == 0 &&
         db_->GetIntProperty(rocksdb::DB::Properties::kActualDelayedWriteRate, &delayed) &&
         delayed == 0;
}

Status KvEngine::Flush() {
  RAFTKV_CHECK(db_ != nullptr);
  return ToStatus(db_->Flush(rocksdb::FlushOptions()), "flush the key-value database");
}

std::uint64_t KvEngine::UnflushedBytes() {
  std::uint64_t bytes = 0;
  db_->GetIntProperty(rocksdb::DB::Properties::kCurSizeAllMemTables, &bytes);
  return bytes;
}

bool KvEngine::FlushFits() {
  // A table that comes to its end for lack of space would only take the rest of it.
  std::uint64_t memory = 0;
  db_->GetIntProperty(rocksdb::DB::Properties::kSizeAllMemTables, &memory);
  return Fits(env(), options_.folder, memory);
}

Status KvEngine::FlushIfFits() { return FlushFits() ? Flush() : Status::Ok(); }

Status KvEngine::Reclaim(const CancelToken& token) {
  if (!FlushFits()) return Status::Ok();
  if (Status flushed = Flush(); !flushed.ok()) return flushed;
  rocksdb::TablePropertiesCollection tables;
  const rocksdb::Status looked = db_->GetPropertiesOfAllTables(&tables);
  if (!looked.ok()) return ToStatus(looked, "look at the tables of " + options_.folder);
  std::uint64_t bytes = 0;
  std::uint64_t entries = 0;
  std::uint64_t deletions = 0;
  bool deletes_ranges = false;
  for (const auto& [name, table] : tables) {
    bytes += table->data_size + table->index_size + table->filter_size;
    entries += table->num_entries;
    deletions += table->num_deletions;
    deletes_ranges = deletes_ranges || table->num_range_deletions > 0;
  }
  if (deletions == 0) return Status::Ok();
  // Each deletion takes itself away, and one other: what is left is written before the rest goes.
  std::uint64_t gone = std::min(entries, 2 * deletions);
  if (deletes_ranges) {
    // How many a range takes away, only a look can tell.
    const Result<std::uint64_t> live = CountEntries(token);
    if (!live.ok()) return live.status();
    gone = std::max(gone, entries - std::min(entries, *live));
  }
  const std::uint64_t left = bytes / entries * (entries - gone);
  if (!Fits(env(), options_.folder, left)) return Status::Ok();
  // A compaction that did not fit has left a mark.
  if (const rocksdb::Status resumed = db_->Resume(); !resumed.ok()) {
    return ToStatus(resumed, "resume the key-value database");
  }
  rocksdb::CompactRangeOptions compact;
  compact.exclusive_manual_compaction = false;
  compact.canceled = token.flag();
  compact.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForceOptimized;
  return ToStatus(db_->CompactRange(compact, nullptr, nullptr), "compact the key-value database");
}

Result<std::uint64_t> KvEngine::CountEntries(const CancelToken& token) {
  std::uint64_t count = 0;
  KvView view(*db_, kv::ReadTier::kAll, /*reads_once=*/true);
  Status status = view.Scan("", "", [&](std::string_view /*key*/, std::string_view /*value*/) {
    ++count;
    return !token.cancelled();
  });
  if (!status.ok()) return status;
  return count;
}

Status KvEngine::Checkpoint(const std::string& folder) {
  RAFTKV_CHECK(db_ != nullptr);
  rocksdb::Checkpoint* made = nullptr;
  rocksdb::Status status = rocksdb::Checkpoint::Create(db_.get(), &made);
  const std::unique_ptr<rocksdb::Checkpoint> checkpoint(made);
  // With 0 it flushes first: there is no write-ahead log that would have the rest.
  if (status.ok()) status = checkpoint->CreateCheckpoint(folder, /*log_size_for_flush=*/0);
  return ToStatus(status, "make a checkpoint of " + options_.folder);
}

std::vector<std::string> KvEngine::Tables() const {
  RAFTKV_CHECK(db_ != nullptr);
  return TablesOf(*db_);
}

Result<std::shared_ptr<KvEngine>> KvEngine::OpenReadOnly(const KvEngineOptions& options) {
  std::unique_ptr<rocksdb::DB> db;
  const rocksdb::Status opened =
      OpenRocksdb(Opening::kReadOnly, KvDatabaseOptions(options), options.folder, db);
  if (!opened.ok()) return ToOpenStatus(opened, "open the checkpoint " + options.folder);
  std::shared_ptr<KvEngine> engine(
      new KvEngine(options, std::move(db), std::make_shared<std::atomic<std::uint64_t>>(0)));
  engine->reads_once_ = true;
  return engine;
}

Result<KvEngine::Head> KvEngine::HeadOf(const KvEngineOptions& options) {
  const Result<std::shared_ptr<KvEngine>> copy = OpenReadOnly(options);
  if (!copy.ok()) return copy.status();
  const Result<kv::Position> applied = AppliedIn(*(*copy)->db_, rocksdb::kReadAllTier);
  if (!applied.ok()) return applied.status();
  return Head{*applied, KeptChecksums(*(*copy)->db_)};
}

Result<kv::Position> KvEngine::AppliedOf(const KvEngineOptions& options) {
  Result<Head> head = HeadOf(options);
  if (!head.ok()) return head.status();
  return head->applied;
}

Status KvEngine::Close() {
  const Status flushed = Flush();
  const rocksdb::Status closed = db_->Close();
  db_.reset();
  return flushed.ok() ? ToStatus(closed, "close the key-value database") : flushed;
}

}  // namespace raftkv::storage
