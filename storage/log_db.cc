#include "storage/log_db.h"

#include <string>
#include <utility>

#include <rocksdb/convenience.h>
#include <rocksdb/write_batch.h>

#include "lib/base/check.h"
#include "lib/raft/configuration.h"
#include "storage/files.h"

namespace raftkv::storage {

namespace {

rocksdb::Slice Slice(std::string_view bytes) { return {bytes.data(), bytes.size()}; }

Status WriteSynced(const LogHandles& handles, rocksdb::WriteBatch& batch, bool sync) {
  rocksdb::WriteOptions options;
  options.sync = sync;
  return ToStatus(handles.db().Write(options, &batch), "write the log database");
}

Status CutMeanwhile() { return Status(Code::kUnavailable, "the log was cut meanwhile"); }

}  // namespace

Status LogDb::Create(const LogDbOptions& options, const Identity& identity,
                     const std::string& live_kv, const std::optional<LogStart>& start) {
  Result<std::unique_ptr<LogHandles>> handles = CreateLogHandles(options);
  if (!handles.ok()) return handles.status();
  const raft::LogBase base = start ? start->base.last : raft::LogBase();
  rocksdb::WriteBatch batch;
  const auto put = [&](std::string_view key, const std::string& value) {
    batch.Put((*handles)->state(), Slice(key), value).PermitUncheckedError();
  };
  put(kBatchKey, EncodeBatchMark({1, base.index}));
  put(kFormatVersionKey, EncodeFormatVersion(kFolderFormatVersion));
  put(kIdentityKey, EncodeIdentity(identity));
  put(kBootKey, EncodeBoot({}));
  put(kHardStateKey, EncodeHardState({base.term, kNobody, base.index}));
  put(kLiveKvKey, EncodeBytes(live_kv));
  if (start) {
    put(kBaseKey, EncodeBase(start->base));
    put(kFormationKey, EncodeBytes(start->formation.view()));
  }
  if (Status written = WriteSynced(**handles, batch, true); !written.ok()) return written;
  return (*handles)->Close();
}

Result<std::unique_ptr<LogDb>> LogDb::Open(const LogDbOptions& options,
                                           rocksdb::WALRecoveryMode recovery) {
  OpenMode mode;
  mode.recovery = recovery;
  Result<std::unique_ptr<LogHandles>> handles = OpenLogHandles(options, mode);
  if (!handles.ok()) {
    return Status(handles.code(), handles.status().message() + "; " + DamageAdvice());
  }
  Result<LogContents> contents = LoadContents(**handles);
  if (!contents.ok()) return contents.status();
  return std::unique_ptr<LogDb>(new LogDb(options.sync, std::move(*handles), std::move(*contents)));
}

LogDb::LogDb(bool sync, std::unique_ptr<LogHandles> handles, LogContents found)
    : sync_(sync),
      handles_(std::move(handles)),
      found_(std::move(found)),
      identity_(found_.identity),
      mark_(found_.mark),
      hard_state_(found_.raft.hard_state),
      base_(found_.raft.base),
      base_index_(found_.raft.base.index.value),
      last_index_(found_.mark.last_index.value),
      sizes_(found_.sizes) {
  for (const auto& [index, configuration] : found_.raft.configurations) {
    if (index > Index()) configurations_[index] = raft::EncodeConfiguration(configuration);
  }
}

void LogDb::CheckWrite(const node::LogWrite& write) const {
  const raft::HardState now = riding_.value_or(hard_state_);
  Term term = now.term;
  if (write.hard_state.has_value()) {
    RAFTKV_CHECK(write.hard_state->term >= now.term, write.hard_state->term.value, now.term.value);
    RAFTKV_CHECK(write.hard_state->term > now.term || now.vote == kNobody ||
                     write.hard_state->vote == now.vote,
                 now.term.value, now.vote.value, write.hard_state->vote.value);
    RAFTKV_CHECK(write.hard_state->commit >= now.commit, write.hard_state->commit.value);
    term = write.hard_state->term;
  }
  if (write.entries.empty()) return;
  RAFTKV_CHECK(write.entries.front().index <= mark_.last_index.Next(),
               write.entries.front().index.value, mark_.last_index.value);
  RAFTKV_CHECK(write.entries.front().index > now.commit, write.entries.front().index.value,
               now.commit.value);
  RAFTKV_CHECK(write.entries.back().term <= term, write.entries.back().term.value, term.value);
  for (std::size_t i = 1; i < write.entries.size(); ++i) {
    RAFTKV_CHECK(write.entries[i].index == write.entries[i - 1].index.Next(),
                 write.entries[i].index.value);
    RAFTKV_CHECK(write.entries[i].term >= write.entries[i - 1].term, write.entries[i].term.value);
  }
}

Status LogDb::Write(const node::LogWrite& write) {
  if (!failure_.ok()) return failure_;
  CheckWrite(write);
  const bool promises =
      !write.entries.empty() || write.sync ||
      (write.hard_state.has_value() &&
       (write.hard_state->term != hard_state_.term || write.hard_state->vote != hard_state_.vote));
  if (write.hard_state.has_value()) riding_ = write.hard_state;
  if (!promises) return Status::Ok();

  const Index last_index = write.entries.empty() ? mark_.last_index : write.entries.back().index;
  rocksdb::WriteBatch batch = BeginBatch(last_index);
  if (!write.entries.empty()) DeleteTail(batch, write.entries.front().index);
  for (const raft::Entry& entry : write.entries) {
    batch.Put(handles_->log(), EncodeLogKey(entry.index), EncodeEntry(entry, mark_.number + 1))
        .PermitUncheckedError();
  }
  Status written = Commit(batch, last_index);
  if (written.ok()) Appended(write.entries);
  return written;
}

/// The entries from `first` on, if there are any.
void LogDb::DeleteTail(rocksdb::WriteBatch& batch, Index first) {
  if (first > mark_.last_index) return;
  // Both before the cut can be seen.
  ++cuts_;
  last_index_.store(first.Previous().value);
  batch.DeleteRange(handles_->log(), EncodeLogKey(first), EncodeLogKey(mark_.last_index.Next()))
      .PermitUncheckedError();
  configurations_.erase(configurations_.lower_bound(first), configurations_.end());
  const std::lock_guard lock(sizes_mutex_);
  sizes_.TruncateFrom(first);
}

void LogDb::Appended(const std::vector<raft::Entry>& entries) {
  const std::lock_guard lock(sizes_mutex_);
  for (const raft::Entry& entry : entries) {
    sizes_.Append(entry.index, entry.Footprint());
    if (entry.kind == raft::EntryKind::kConfiguration) configurations_[entry.index] = entry.payload;
  }
}

Status LogDb::SaveFormation(ClusterId cluster, const Bytes& payload) {
  if (!failure_.ok()) return failure_;
  RAFTKV_CHECK(cluster.value != 0 && identity_.cluster.value == 0, cluster.value,
               identity_.cluster.value);
  RAFTKV_CHECK(mark_.last_index.value == 0, mark_.last_index.value);
  raft::Entry first;
  first.index = Index(1);
  first.term = Term(1);
  first.kind = raft::EntryKind::kConfiguration;
  first.payload = payload;
  Identity identity = identity_;
  identity.cluster = cluster;
  riding_ = raft::HardState{Term(1), kNobody, Index(1)};
  rocksdb::WriteBatch batch = BeginBatch(first.index);
  PutState(batch, kIdentityKey, EncodeIdentity(identity));
  PutState(batch, kFormationKey, EncodeBytes(payload.view()));
  batch.Put(handles_->log(), EncodeLogKey(first.index), EncodeEntry(first, mark_.number + 1))
      .PermitUncheckedError();
  Status written = Commit(batch, first.index);
  if (!written.ok()) return written;
  identity_ = std::move(identity);
  Appended({first});
  return written;
}

Status LogDb::SavePeerBoot(NodeId peer, const node::Boot& boot) {
  if (!failure_.ok()) return failure_;
  rocksdb::WriteBatch batch = BeginBatch(mark_.last_index);
  PutState(batch, PeerBootKey(peer), EncodeBoot(boot));
  return Commit(batch, mark_.last_index);
}

Status LogDb::SaveBoot(const node::Boot& boot) {
  if (!failure_.ok()) return failure_;
  rocksdb::WriteBatch batch = BeginBatch(mark_.last_index);
  PutState(batch, kBootKey, EncodeBoot(boot));
  return Commit(batch, mark_.last_index);
}

rocksdb::WriteBatch LogDb::BeginBatch(Index last_index) const {
  rocksdb::WriteBatch batch;
  PutState(batch, kBatchKey, EncodeBatchMark({mark_.number + 1, last_index}));
  if (riding_.has_value()) PutState(batch, kHardStateKey, EncodeHardState(*riding_));
  return batch;
}

void LogDb::PutState(rocksdb::WriteBatch& batch, std::string_view key,
                     const std::string& value) const {
  batch.Put(handles_->state(), Slice(key), value).PermitUncheckedError();
}

Status LogDb::Commit(rocksdb::WriteBatch& batch, Index last_index) {
  Status written = WriteSynced(*handles_, batch, sync_);
  if (!written.ok()) {
    failure_ = written;
    return written;
  }
  ++sync_count_;
  mark_ = BatchMark{mark_.number + 1, last_index};
  if (riding_.has_value()) hard_state_ = *std::exchange(riding_, std::nullopt);
  last_index_.store(last_index.value);
  RAFTKV_CHECK(hard_state_.commit <= last_index, hard_state_.commit.value, last_index.value);
  return Status::Ok();
}

// --- What stands before the log.

Result<StoredBase> LogDb::BaseAt(Index index) const {
  std::string value;
  const rocksdb::Status got =
      handles_->db().Get(rocksdb::ReadOptions(), handles_->log(), EncodeLogKey(index), &value);
  if (!got.ok()) return ToStatus(got, "read log entry " + std::to_string(index.value));
  Result<StoredEntry> stored = DecodeEntry(index, value);
  if (!stored.ok()) return stored.status();
  const auto after = configurations_.upper_bound(index);
  RAFTKV_CHECK(after != configurations_.begin(), index.value);
  const auto& [configured_at, configuration] = *std::prev(after);
  return StoredBase{{index, stored->entry.term}, configured_at, configuration};
}

void LogDb::Began(const StoredBase& base) {
  base_ = base.last;
  configurations_.erase(configurations_.begin(),
                        configurations_.lower_bound(base.configuration_index));
  configurations_[base.configuration_index] = base.configuration;
  const std::lock_guard lock(sizes_mutex_);
  sizes_.Compact(base_.index);
}

Status LogDb::Compact(Index through) {
  if (!failure_.ok()) return failure_;
  if (through <= base_.index) return Status::Ok();
  RAFTKV_CHECK(through <= mark_.last_index, through.value, mark_.last_index.value);
  // What cannot be read is left as it is: whoever needs it will say so.
  Result<StoredBase> base = BaseAt(through);
  if (!base.ok()) return base.status();
  // It is applied, so it is committed; the commit index on disk lags.
  raft::HardState state = riding_.value_or(hard_state_);
  state.commit = std::max(state.commit, through);
  riding_ = state;
  rocksdb::WriteBatch batch = BeginBatch(mark_.last_index);
  PutState(batch, kBaseKey, EncodeBase(*base));
  // Before anything can be missing.
  base_index_.store(through.value);
  Status written = Commit(batch, mark_.last_index);
  if (written.ok()) Began(*base);
  return written;
}

Status LogDb::Install(const raft::SnapshotMeta& snapshot, const node::LogWrite& write,
                      const std::string& live_kv) {
  if (!failure_.ok()) return failure_;
  RAFTKV_CHECK(write.entries.empty(), write.entries.size());
  CheckWrite(write);
  const StoredBase base{snapshot.last, snapshot.configuration_index,
                        raft::EncodeConfiguration(snapshot.configuration)};
  raft::HardState state = write.hard_state.value_or(riding_.value_or(hard_state_));
  RAFTKV_CHECK(snapshot.last.index > state.commit, snapshot.last.index.value, state.commit.value);
  RAFTKV_CHECK(snapshot.last.term <= state.term, snapshot.last.term.value, state.term.value);
  state.commit = snapshot.last.index;
  riding_ = state;
  rocksdb::WriteBatch batch = BeginBatch(snapshot.last.index);
  PutState(batch, kBaseKey, EncodeBase(base));
  PutState(batch, kLiveKvKey, EncodeBytes(live_kv));
  base_index_.store(snapshot.last.index.value);
  DeleteTail(batch, snapshot.last.index.Next());
  Status written = Commit(batch, snapshot.last.index);
  if (!written.ok()) return written;
  configurations_.clear();
  Began(base);
  return written;
}

Status LogDb::DropCutFiles() const {
  const std::string end_key = EncodeLogKey(Index(base_index_.load()).Next());
  const rocksdb::Slice end(end_key);
  return ToStatus(rocksdb::DeleteFilesInRange(&handles_->db(), handles_->log(), nullptr, &end,
                                              /*include_end=*/false),
                  "delete files of the log that was cut");
}

Index LogDb::Beyond(std::uint64_t bytes) const {
  const std::lock_guard lock(sizes_mutex_);
  return sizes_.Beyond(bytes);
}

Result<std::vector<raft::Entry>> LogDb::Read(Index first, Index last, std::size_t max_bytes) const {
  RAFTKV_CHECK(first.value > 0 && first <= last, first.value, last.value);
  if (first.value <= base_index_.load()) return CutMeanwhile();
  const std::uint64_t cuts = cuts_.load();
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
    Result<Index> index = DecodeLogKey({it->key().data(), it->key().size()});
    if (!index.ok()) return index.status();
    if (*index != next) break;
    Result<StoredEntry> stored = DecodeEntry(*index, {it->value().data(), it->value().size()});
    if (!stored.ok()) return stored.status();
    bytes += stored->entry.Footprint();
    if (!entries.empty() && bytes > max_bytes) return entries;
    entries.push_back(std::move(stored->entry));
  }
  if (!it->status().ok()) return ToStatus(it->status(), "read the log");
  if (next > last) return entries;
  if (cuts != cuts_.load() || last.value > last_index_.load() || next.value <= base_index_.load()) {
    if (!entries.empty()) return entries;
    return CutMeanwhile();
  }
  return Status(Code::kCorruption,
                "log entry " + std::to_string(next.value) + " is missing; " + DamageAdvice());
}

Status LogDb::Close() {
  Status status = failure_;
  if (status.ok() && riding_.has_value()) {
    rocksdb::WriteBatch batch = BeginBatch(mark_.last_index);
    status = Commit(batch, mark_.last_index);
  }
  const Status closed = handles_->Close();
  return status.ok() ? closed : status;
}

}  // namespace raftkv::storage
