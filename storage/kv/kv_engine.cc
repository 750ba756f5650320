#include "storage/kv/kv_engine.h"

#include <algorithm>
#include <utility>

#include <rocksdb/cache.h>
#include <rocksdb/compaction_filter.h>
#include <rocksdb/comparator.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/listener.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>
#include <rocksdb/table_properties.h>
#include <rocksdb/utilities/checkpoint.h>
#include <rocksdb/write_batch.h>

#include "lib/base/check.h"
#include "lib/kv/change_set.h"
#include "lib/kv/layout.h"
#include "lib/kv/revisions.h"
#include "storage/disk/files.h"
#include "storage/disk/open_rocksdb.h"
#include "storage/disk/revision_order.h"
#include "storage/disk/tables.h"

namespace raftkv::storage {

namespace {

/// Where all of a database is read, of each table at once.
constexpr std::size_t kReadAheadBytes = 256 << 10;

rocksdb::Slice Slice(std::string_view bytes) { return {bytes.data(), bytes.size()}; }

/// Drops the change sets that nobody may ask for any more: those whose revisions are all *below*
/// the lowest one that can be read. The events of that one stay.
class ChangeSetFilter final : public rocksdb::CompactionFilter {
 public:
  explicit ChangeSetFilter(std::uint64_t lowest) : lowest_(lowest) {}
  bool Filter(int /*level*/, const rocksdb::Slice& key, const rocksdb::Slice& /*value*/,
              std::string* /*new_value*/, bool* /*value_changed*/) const override {
    if (key.empty() || key[0] != kv::kChangeSetPrefix) return false;
    const std::uint64_t last =
        kv::LastRevisionOfChangeSet({key.data(), key.size() - kTimestampBytes});
    return last != 0 && last < lowest_;
  }
  const char* Name() const override { return "raftkv.ChangeSets"; }

 private:
  const std::uint64_t lowest_;
};

class ChangeSetFilterFactory final : public rocksdb::CompactionFilterFactory {
 public:
  explicit ChangeSetFilterFactory(std::shared_ptr<std::atomic<std::uint64_t>> lowest)
      : lowest_(std::move(lowest)) {}
  std::unique_ptr<rocksdb::CompactionFilter> CreateCompactionFilter(
      const rocksdb::CompactionFilter::Context& /*context*/) override {
    return std::make_unique<ChangeSetFilter>(lowest_->load());
  }
  const char* Name() const override { return "raftkv.ChangeSets"; }

 private:
  const std::shared_ptr<std::atomic<std::uint64_t>> lowest_;
};

/// `lowest`: the lowest revision that can be read, kept up to date.
rocksdb::Options KvDatabaseOptions(const KvEngineOptions& options,
                                   std::shared_ptr<std::atomic<std::uint64_t>> lowest) {
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
  out.comparator = RevisionOrder();
  out.compaction_filter_factory = std::make_shared<ChangeSetFilterFactory>(std::move(lowest));
  return out;
}

/// Not in a database of format 1.
bool HasRevisions(rocksdb::DB& db) {
  return db.DefaultColumnFamily()->GetComparator()->timestamp_size() != 0;
}

/// The applied entry as `tier` has it; 0: nothing is applied.
Result<kv::Position> AppliedIn(rocksdb::DB& db, rocksdb::ReadTier tier) {
  const Timestamp latest(kv::kLatestRevision);
  const rocksdb::Slice timestamp = latest.slice();
  rocksdb::ReadOptions options;
  options.read_tier = tier;
  if (HasRevisions(db)) options.timestamp = &timestamp;
  std::string record;
  const rocksdb::Status got =
      db.Get(options, db.DefaultColumnFamily(), rocksdb::Slice(&kv::kAppliedPrefix, 1), &record);
  if (got.IsNotFound()) return kv::Position{};
  if (!got.ok()) return ToStatus(got, "read the applied index");
  // A backup may be of an older format; who uses the database for more than this looks again.
  return kv::DecodePosition(record, /*oldest_version=*/1);
}

rocksdb::Status Add(const kv::Mutation& mutation, rocksdb::ColumnFamilyHandle* family,
                    rocksdb::WriteBatch& batch) {
  const rocksdb::Slice key = Slice(mutation.key);
  const Timestamp at(mutation.revision);
  switch (mutation.kind) {
    case kv::Mutation::Kind::kPut: return batch.Put(family, key, at.slice(), Slice(mutation.value));
    case kv::Mutation::Kind::kDelete: return batch.Delete(family, key, at.slice());
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
  KvView(rocksdb::DB& db, kv::ReadTier tier, bool reads_once,
         std::shared_ptr<const std::atomic<std::uint64_t>> lowest)
      : db_(db),
        snapshot_(db.GetSnapshot()),
        lowest_(std::move(lowest)),
        has_revisions_(HasRevisions(db)) {
    options_.snapshot = snapshot_;
    options_.fill_cache = !reads_once;
    if (reads_once) options_.readahead_size = kReadAheadBytes;
    if (tier == kv::ReadTier::kMemory) options_.read_tier = rocksdb::kBlockCacheTier;
  }
  ~KvView() override { db_.ReleaseSnapshot(snapshot_); }
  KvView(const KvView&) = delete;
  KvView& operator=(const KvView&) = delete;

  Result<std::optional<std::string>> GetAt(std::string_view key, std::uint64_t revision) override {
    const Timestamp at(revision);
    const rocksdb::Slice timestamp = at.slice();
    rocksdb::ReadOptions options = options_;
    if (has_revisions_) options.timestamp = &timestamp;
    std::string value;
    const rocksdb::Status got = db_.Get(options, db_.DefaultColumnFamily(), Slice(key), &value);
    if (Status gone = CheckKept(revision); !gone.ok()) return gone;
    if (got.IsNotFound()) return std::optional<std::string>();
    if (!got.ok()) return ToStatus(got, "read a key");
    return std::optional<std::string>(std::move(value));
  }

  Status ScanAt(std::string_view begin, std::string_view end, std::uint64_t revision,
                const Visit& visit) override {
    return Walk(begin, end, revision, /*reverse=*/false, visit);
  }
  Status ScanReverseAt(std::string_view begin, std::string_view end, std::uint64_t revision,
                       const Visit& visit) override {
    return Walk(begin, end, revision, /*reverse=*/true, visit);
  }

  [[nodiscard]] std::uint64_t LowestRevision() const override { return lowest_->load(); }

 private:
  Status Walk(std::string_view begin, std::string_view end, std::uint64_t revision, bool reverse,
              const Visit& visit) {
    const Timestamp at(revision);
    const rocksdb::Slice timestamp = at.slice();
    rocksdb::ReadOptions options = options_;
    if (has_revisions_) options.timestamp = &timestamp;
    const rocksdb::Slice bound = Slice(end);
    if (!end.empty()) options.iterate_upper_bound = &bound;
    const rocksdb::Slice first = Slice(begin);
    if (reverse) options.iterate_lower_bound = &first;
    const std::unique_ptr<rocksdb::Iterator> it(db_.NewIterator(options));
    // What it shows from now on is what was there when it was made.
    if (Status gone = CheckKept(revision); !gone.ok()) return gone;
    if (reverse) {
      it->SeekToLast();
    } else {
      it->Seek(first);
    }
    for (; it->Valid(); reverse ? it->Prev() : it->Next()) {
      const rocksdb::Slice key = it->key();
      const rocksdb::Slice value = it->value();
      if (!visit({key.data(), key.size()}, {value.data(), value.size()})) break;
    }
    return ToStatus(it->status(), "read a range of keys");
  }

  /// The snapshot does not keep what RocksDB was told that nobody reads any more. It was told so
  /// after `lowest_` was raised: asked behind the read, this misses nothing.
  [[nodiscard]] Status CheckKept(std::uint64_t revision) const {
    const std::uint64_t lowest = LowestRevision();
    return revision < lowest ? kv::CompactedStatus(revision, lowest) : Status::Ok();
  }

  rocksdb::DB& db_;
  const rocksdb::Snapshot* const snapshot_;
  const std::shared_ptr<const std::atomic<std::uint64_t>> lowest_;
  const bool has_revisions_;
  rocksdb::ReadOptions options_;
};

/// Why a database could not be opened.
Status OpenFailure(const rocksdb::Status& opened, const std::string& what) {
  // Databases of format 1 have another order of keys, and nobody else's are in such a folder.
  if (opened.IsInvalidArgument() &&
      opened.ToString().find("does not match existing comparator") != std::string::npos) {
    return {Code::kVersionMismatch,
            what +
                ": its format version is 1, this version knows 2: carry the data over, with "
                "'snapshot save' of the older program and 'snapshot restore' of this one"};
  }
  return ToOpenStatus(opened, what);
}

}  // namespace

Status KvEngine::Create(const KvEngineOptions& options) {
  auto lowest = std::make_shared<std::atomic<std::uint64_t>>(0);
  const Timestamp begin(*lowest);
  std::unique_ptr<rocksdb::DB> db;
  const rocksdb::Status made = OpenRocksdb(
      Opening::kMake, KvDatabaseOptions(options, std::move(lowest)), options.folder, db);
  if (!made.ok()) return ToStatus(made, "make the key-value database " + options.folder);
  // RocksDB cannot be asked for what was never set.
  const rocksdb::Status begun =
      db->IncreaseFullHistoryTsLow(db->DefaultColumnFamily(), begin.slice().ToString());
  if (!begun.ok()) return ToStatus(begun, "make the key-value database " + options.folder);
  return ToStatus(db->Close(), "close the key-value database");
}

Result<std::shared_ptr<KvEngine>> KvEngine::Open(const KvEngineOptions& options) {
  auto flushed = std::make_shared<std::atomic<std::uint64_t>>(0);
  auto lowest = std::make_shared<std::atomic<std::uint64_t>>(0);
  rocksdb::Options database = KvDatabaseOptions(options, lowest);
  database.listeners.push_back(std::make_shared<FlushWatch>(flushed));
  std::unique_ptr<rocksdb::DB> db;
  const rocksdb::Status opened = OpenRocksdb(Opening::kThere, database, options.folder, db);
  if (!opened.ok()) return OpenFailure(opened, "open the key-value database " + options.folder);
  std::shared_ptr<KvEngine> engine(new KvEngine(options, std::move(db), flushed, lowest));
  if (Status found = engine->FindLowestRevision(); !found.ok()) return found;
  // All that is found is in tables: there is no write-ahead log.
  const Result<kv::Position> applied = AppliedIn(*engine->db_, rocksdb::kReadAllTier);
  if (!applied.ok()) return applied.status();
  flushed->store(applied->index.value);
  return engine;
}

KvEngine::KvEngine(KvEngineOptions options, std::unique_ptr<rocksdb::DB> db,
                   std::shared_ptr<std::atomic<std::uint64_t>> flushed,
                   std::shared_ptr<std::atomic<std::uint64_t>> lowest)
    : options_(std::move(options)),
      db_(std::move(db)),
      flushed_(std::move(flushed)),
      lowest_(std::move(lowest)) {}

Status KvEngine::FindLowestRevision() {
  std::string timestamp;
  const rocksdb::Status found = db_->GetFullHistoryTsLow(db_->DefaultColumnFamily(), &timestamp);
  if (!found.ok()) return ToStatus(found, "look how far " + options_.folder + " is compacted");
  if (!timestamp.empty()) lowest_->store(RevisionOf(timestamp));
  return Status::Ok();
}

Status KvEngine::RaiseLowestRevision(std::uint64_t revision) {
  std::uint64_t before = bound_.load();
  while (before < revision && !bound_.compare_exchange_weak(before, revision)) {
  }
  return Raise(revision);
}

Status KvEngine::Raise(std::uint64_t revision) {
  RAFTKV_CHECK(db_ != nullptr);
  std::uint64_t before = lowest_->load();
  do {
    if (before >= revision) return Status::Ok();
    // Nobody is answered from below it any more before anything goes.
  } while (!lowest_->compare_exchange_weak(before, revision));
  const Timestamp at(revision);
  return ToStatus(db_->IncreaseFullHistoryTsLow(db_->DefaultColumnFamily(), at.slice().ToString()),
                  "raise the lowest revision of " + options_.folder);
}

Status KvEngine::GiveUpLowestRevision() {
  const std::uint64_t bound = bound_.load();
  return bound == 0 ? Status::Ok() : Raise(bound + 1);
}

KvEngine::~KvEngine() {
  if (db_ != nullptr) db_->Close().PermitUncheckedError();
  db_.reset();
  // What cannot be removed now goes at the next open.
  if (remove_at_end_) static_cast<void>(RemoveTree(env(), folder()));
}

std::unique_ptr<kv::View> KvEngine::NewView(kv::ReadTier tier) {
  RAFTKV_CHECK(db_ != nullptr);
  return std::make_unique<KvView>(*db_, tier, reads_once_, lowest_);
}

Status KvEngine::Write(const std::vector<kv::Mutation>& mutations) {
  RAFTKV_CHECK(db_ != nullptr);
  // Sequence, count; of each mutation its tag, family, two lengths and the timestamp, at most.
  constexpr std::size_t kHeaderBytes = 8 + 4;
  constexpr std::size_t kMutationBytes = 1 + 5 + 2 * 5 + 8;
  std::size_t bytes = kHeaderBytes;
  for (const kv::Mutation& mutation : mutations) {
    bytes += kMutationBytes + mutation.key.size() + mutation.value.size();
  }
  // All at once: of a large range delete it takes as much as twice that to grow.
  rocksdb::WriteBatch batch(bytes);
  for (const kv::Mutation& mutation : mutations) {
    const rocksdb::Status added = Add(mutation, db_->DefaultColumnFamily(), batch);
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
  // What was overwritten or deleted can go once the past that it belongs to has gone.
  const std::uint64_t lowest = lowest_->load();
  if (lowest == reclaimed_) return Status::Ok();
  rocksdb::TablePropertiesCollection tables;
  const rocksdb::Status looked = db_->GetPropertiesOfAllTables(&tables);
  if (!looked.ok()) return ToStatus(looked, "look at the tables of " + options_.folder);
  std::uint64_t bytes = 0;
  std::uint64_t entries = 0;
  for (const auto& [name, table] : tables) {
    bytes += table->data_size + table->index_size + table->filter_size;
    entries += table->num_entries;
  }
  if (entries == 0) return Status::Ok();
  // What is left is written before the rest goes.
  const Result<std::uint64_t> needed = CountNeeded(token);
  if (!needed.ok()) return needed.status();
  const std::uint64_t gone = entries - std::min(entries, *needed);
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
  const rocksdb::Status compacted = db_->CompactRange(compact, nullptr, nullptr);
  if (compacted.ok()) reclaimed_ = lowest;
  return ToStatus(compacted, "compact the key-value database");
}

Result<std::uint64_t> KvEngine::CountNeeded(const CancelToken& token) {
  std::uint64_t count = 0;
  KvView view(*db_, kv::ReadTier::kAll, /*reads_once=*/true, lowest_);
  Status status = view.Scan("", "", [&](std::string_view /*key*/, std::string_view /*value*/) {
    ++count;
    return !token.cancelled();
  });
  if (!status.ok()) return status;
  // Each change that may still be asked for has a version, or a deletion.
  status = view.Scan(kv::ChangeSetsFrom(lowest_->load()), kv::EndOfChangeSets(),
                     [&](std::string_view key, std::string_view value) {
                       const auto changes = kv::DecodeChangeSet(key, value);
                       if (changes.ok()) count += changes->size();
                       return changes.ok() && !token.cancelled();
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

Result<std::shared_ptr<KvEngine>> KvEngine::OpenToRead(const KvEngineOptions& options,
                                                       const rocksdb::Comparator* order) {
  auto lowest = std::make_shared<std::atomic<std::uint64_t>>(0);
  rocksdb::Options database = KvDatabaseOptions(options, lowest);
  database.comparator = order;
  std::unique_ptr<rocksdb::DB> db;
  const rocksdb::Status opened = OpenRocksdb(Opening::kReadOnly, database, options.folder, db);
  if (!opened.ok()) return OpenFailure(opened, "open the checkpoint " + options.folder);
  std::shared_ptr<KvEngine> engine(new KvEngine(
      options, std::move(db), std::make_shared<std::atomic<std::uint64_t>>(0), std::move(lowest)));
  engine->reads_once_ = true;
  return engine;
}

Result<std::shared_ptr<KvEngine>> KvEngine::OpenReadOnly(const KvEngineOptions& options) {
  Result<std::shared_ptr<KvEngine>> engine = OpenToRead(options, RevisionOrder());
  if (!engine.ok()) return engine;
  if (Status found = (*engine)->FindLowestRevision(); !found.ok()) return found;
  return engine;
}

Result<std::shared_ptr<KvEngine>> KvEngine::OpenFormat1(const KvEngineOptions& options) {
  return OpenToRead(options, rocksdb::BytewiseComparator());
}

Result<kv::Position> KvEngine::Applied() { return AppliedIn(*db_, rocksdb::kReadAllTier); }

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
