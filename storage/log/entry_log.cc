#include "storage/log/entry_log.h"

#include <algorithm>
#include <array>
#include <utility>

#include <rocksdb/convenience.h>
#include <rocksdb/write_batch.h>

#include "lib/base/check.h"
#include "storage/disk/files.h"
#include "storage/disk/tables.h"
#include "storage/log/wal_filter.h"

namespace raftkv::storage {

namespace {

rocksdb::Slice Slice(std::string_view bytes) { return {bytes.data(), bytes.size()}; }

Status WriteBatchOf(const LogHandles& handles, rocksdb::WriteBatch& batch, bool sync) {
  rocksdb::WriteOptions options;
  options.sync = sync;
  return ToStatus(handles.db().Write(options, &batch), "write the log database");
}

Status CutMeanwhile() { return Status(Code::kUnavailable, "the log was trimmed in the meantime"); }

Status Missing(Index index) {
  return Status(Code::kCorruption, "log entry " + std::to_string(index.value) + " is missing");
}

/// `stored` is found behind `last`, whose batch was `last_batch`.
Status CheckNext(const StoredEntry& stored, Index last, std::uint64_t last_batch,
                 const BatchMark& mark) {
  if (stored.entry.index != last.Next()) return Missing(last.Next());
  if (stored.batch_number >= last_batch && stored.batch_number <= mark.number) return Status::Ok();
  return Status(Code::kCorruption, "log entry " + std::to_string(stored.entry.index.value) +
                                       " is of batch " + std::to_string(stored.batch_number) +
                                       ", which does not fit its neighbours");
}

}  // namespace

EntryLog::EntryLog(bool sync, std::unique_ptr<LogHandles> handles, const BatchMark& mark,
                   Index base)
    : sync_(sync),
      handles_(std::move(handles)),
      mark_(mark),
      base_index_(base.value),
      last_index_(mark.last_index.value) {}

rocksdb::WriteBatch EntryLog::Begin(Index last_index) const {
  rocksdb::WriteBatch batch;
  PutState(batch, kBatchKey, EncodeBatchMark({mark_.number + 1, last_index, unsynced_}));
  return batch;
}

void EntryLog::PutState(rocksdb::WriteBatch& batch, std::string_view key,
                        const std::string& value) const {
  batch.Put(handles_->state(), Slice(key), value).PermitUncheckedError();
}

void EntryLog::DeleteState(rocksdb::WriteBatch& batch, std::string_view key) const {
  batch.Delete(handles_->state(), Slice(key)).PermitUncheckedError();
}

void EntryLog::PutEntry(rocksdb::WriteBatch& batch, const raft::Entry& entry) const {
  const std::array<char, 8> key = LogKeyOf(entry.index);
  const EntryHeader header(entry, mark_.number + 1);
  const rocksdb::Slice key_part(key.data(), key.size());
  const std::array<rocksdb::Slice, 2> value = {Slice(header.view()), Slice(entry.payload.view())};
  batch
      .Put(handles_->log(), rocksdb::SliceParts(&key_part, 1),
           rocksdb::SliceParts(value.data(), static_cast<int>(value.size())))
      .PermitUncheckedError();
}

void EntryLog::DeleteTail(rocksdb::WriteBatch& batch, Index first, Index last) {
  if (first > last) return;
  // Both before the cut can be seen, and in this order: see Read.
  last_index_.store(std::min(last_index_.load(), first.Previous().value));
  ++cuts_;
  batch.DeleteRange(handles_->log(), EncodeLogKey(first), EncodeLogKey(last.Next()))
      .PermitUncheckedError();
}

Status EntryLog::Commit(rocksdb::WriteBatch& batch, Index last_index, bool sync) {
  Status written = WriteBatchOf(*handles_, batch, sync && sync_);
  if (!written.ok()) {
    failure_ = written;
    return written;
  }
  if (sync) ++sync_count_;
  unsynced_ = sync ? 0 : unsynced_ + 1;
  mark_ = BatchMark{mark_.number + 1, last_index};
  last_index_.store(last_index.value);
  return Status::Ok();
}

Status EntryLog::Sync() {
  if (!failure_.ok() || unsynced_ == 0) return failure_;
  rocksdb::WriteBatch batch = Begin(mark_.last_index);
  return Commit(batch, mark_.last_index);
}

Status EntryLog::Close() { return handles_->Close(); }

std::vector<std::string> EntryLog::Tables() const { return TablesOf(handles_->db()); }

Status EntryLog::DropCutFiles() const {
  const std::string end_key = EncodeLogKey(base().Next());
  const rocksdb::Slice end(end_key);
  return ToStatus(rocksdb::DeleteFilesInRange(&handles_->db(), handles_->log(), nullptr, &end,
                                              /*include_end=*/false),
                  "delete files of the log that was cut");
}

std::uint64_t EntryLog::UnflushedBytes() const {
  std::uint64_t bytes = 0;
  handles_->db().GetIntProperty(handles_->log(), rocksdb::DB::Properties::kCurSizeAllMemTables,
                                &bytes);
  return bytes;
}

Status EntryLog::Reclaim() const {
  std::uint64_t memory = 0;
  handles_->db().GetIntProperty(handles_->log(), rocksdb::DB::Properties::kSizeAllMemTables,
                                &memory);
  if (!Fits(*handles_->db().GetEnv(), handles_->db().GetName(), memory)) return DropCutFiles();
  const rocksdb::Status flushed =
      handles_->db().Flush(rocksdb::FlushOptions(), {handles_->log(), handles_->state()});
  if (!flushed.ok()) return ToStatus(flushed, "flush the log database");
  return DropCutFiles();
}

Result<std::vector<raft::Entry>> EntryLog::Read(Index first, Index last,
                                                std::size_t max_bytes) const {
  RAFTKV_CHECK(first.value > 0);
  RAFTKV_CHECK(first <= last, first.value, last.value);
  if (first.value <= base_index_.load()) return CutMeanwhile();
  const std::uint64_t cuts = cuts_.load();
  // A cut that is counted in `cuts` already has lowered last_index_.
  const bool cut_before = last.value > last_index_.load();
  const std::string end_key = EncodeLogKey(last.Next());
  const rocksdb::Slice end(end_key);
  rocksdb::ReadOptions options;
  options.fill_cache = false;
  options.iterate_upper_bound = &end;
  const std::unique_ptr<rocksdb::Iterator> it(handles_->db().NewIterator(options, handles_->log()));
  std::vector<raft::Entry> entries;
  std::size_t bytes = 0;
  Index next = first;
  for (it->Seek(EncodeLogKey(first)); it->Valid(); it->Next(), ++next) {
    Result<Index> index = DecodeLogKey(View(it->key()));
    if (!index.ok()) return index.status();
    if (*index != next) break;
    Result<StoredEntry> stored = DecodeEntry(*index, View(it->value()));
    if (!stored.ok()) return stored.status();
    bytes += stored->entry.Footprint();
    if (!entries.empty() && bytes > max_bytes) return entries;
    entries.push_back(std::move(stored->entry));
  }
  if (!it->status().ok()) return ToStatus(it->status(), "read the log");
  if (next > last) return entries;
  if (cut_before || cuts != cuts_.load() || next.value <= base_index_.load()) {
    if (!entries.empty()) return entries;
    return CutMeanwhile();
  }
  return Missing(next);
}

Result<StoredEntry> EntryLog::ReadOne(Index index) const {
  std::string value;
  const rocksdb::Status got =
      handles_->db().Get(rocksdb::ReadOptions(), handles_->log(), EncodeLogKey(index), &value);
  if (!got.ok()) return ToStatus(got, "read log entry " + std::to_string(index.value));
  return DecodeEntry(index, value);
}

Result<std::unique_ptr<LogHandles>> OpenRecovered(const LogDbOptions& options,
                                                  const LogRecovery& recovery) {
  // What stands behind a cut must not come back, also where it is whole.
  WalStop stop(recovery.last_batch);
  OpenMode mode;
  mode.recovery = recovery.mode;
  if (recovery.cuts) mode.watch = &stop;
  return OpenLogHandles(options, mode);
}

Status WriteFirstBatch(const LogHandles& handles, rocksdb::WriteBatch& batch) {
  return WriteBatchOf(handles, batch, /*sync=*/true);
}

Result<std::optional<std::string>> GetState(const LogHandles& handles, std::string_view key) {
  std::string value;
  const rocksdb::Status got =
      handles.db().Get(rocksdb::ReadOptions(), handles.state(), Slice(key), &value);
  if (got.IsNotFound()) return std::optional<std::string>();
  if (!got.ok()) return ToStatus(got, "read " + std::string(key));
  return std::optional<std::string>(std::move(value));
}

Result<BatchMark> LoadBatchMark(const LogHandles& handles) {
  Result<std::optional<std::string>> value = GetState(handles, kBatchKey);
  if (!value.ok()) return value.status();
  if (!value->has_value()) return BatchMark{};
  return DecodeBatchMark(**value);
}

Status VisitEntries(const LogHandles& handles, Index base, const BatchMark& mark,
                    const std::function<Status(const StoredEntry&)>& visit) {
  rocksdb::ReadOptions options;
  options.fill_cache = false;
  options.readahead_size = 2 << 20;
  const std::unique_ptr<rocksdb::Iterator> it(handles.db().NewIterator(options, handles.log()));
  Index last = base;
  std::uint64_t last_batch = 0;
  // Below the base may be what shares a file with what is above it.
  for (it->Seek(EncodeLogKey(base.Next())); it->Valid(); it->Next()) {
    Result<Index> index = DecodeLogKey(View(it->key()));
    if (!index.ok()) return index.status();
    Result<StoredEntry> stored = DecodeEntry(*index, View(it->value()));
    if (!stored.ok()) return stored.status();
    if (Status s = CheckNext(*stored, last, last_batch, mark); !s.ok()) return s;
    if (Status s = visit(*stored); !s.ok()) return s;
    last = *index;
    last_batch = stored->batch_number;
  }
  if (!it->status().ok()) return ToStatus(it->status(), "read the log");
  if (last == mark.last_index) return Status::Ok();
  return Status(Code::kCorruption, "the log ends at entry " + std::to_string(last.value) +
                                       " instead of " + std::to_string(mark.last_index.value));
}

}  // namespace raftkv::storage
