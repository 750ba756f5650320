#include "storage/log/log_db.h"

#include <algorithm>
#include <string>
#include <utility>

#include <rocksdb/write_batch.h>

#include "lib/base/check.h"
#include "lib/raft/configuration.h"

namespace raftkv::storage {

Status LogDb::Create(const LogDbOptions& options, const Identity& identity,
                     const std::string& live_kv, const std::optional<LogStart>& start) {
  Result<std::unique_ptr<LogHandles>> handles = CreateLogHandles(options);
  if (!handles.ok()) return handles.status();
  const raft::LogBase base = start ? start->base.last : raft::LogBase();
  rocksdb::WriteBatch batch;
  const auto put = [&](std::string_view key, const std::string& value) {
    batch.Put((*handles)->state(), rocksdb::Slice(key.data(), key.size()), value)
        .PermitUncheckedError();
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
  if (Status written = WriteFirstBatch(**handles, batch); !written.ok()) return written;
  return (*handles)->Close();
}

Result<std::unique_ptr<LogDb>> LogDb::Open(const LogDbOptions& options,
                                           const LogRecovery& recovery) {
  Result<std::unique_ptr<LogHandles>> handles = OpenRecovered(options, recovery);
  if (!handles.ok()) return handles.status();
  Result<LogContents> contents = LoadContents(**handles);
  if (!contents.ok()) return contents.status();
  return std::unique_ptr<LogDb>(new LogDb(options.sync, std::move(*handles), std::move(*contents)));
}

LogDb::LogDb(bool sync, std::unique_ptr<LogHandles> handles, LogContents found)
    : found_(std::move(found)),
      log_(sync, std::move(handles), found_.mark, found_.raft.base.index),
      identity_(found_.identity),
      hard_state_(found_.raft.hard_state),
      base_(found_.raft.base),
      sizes_(found_.sizes) {
  for (const auto& [index, configuration] : found_.raft.configurations) {
    if (index > Index()) configurations_[index] = raft::EncodeConfiguration(configuration);
  }
  // One that is being refilled may not know yet by whom.
  has_peers_ = found_.suspect;
  LookForPeers();
}

void LogDb::LookForPeers() {
  if (configurations_.empty()) return;
  const Result<raft::Configuration> last =
      raft::DecodeConfiguration(configurations_.rbegin()->second.view());
  if (!last.ok()) return;
  const std::vector<raft::Member>& members = last->members;
  has_peers_ = std::any_of(members.begin(), members.end(), [this](const raft::Member& member) {
    return member.id != identity_.member;
  });
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
  RAFTKV_CHECK(write.entries.front().index <= log_.mark().last_index.Next(),
               write.entries.front().index.value, log_.mark().last_index.value);
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
  if (!log_.failure().ok()) return log_.failure();
  CheckWrite(write);
  const bool promises =
      !write.entries.empty() || write.sync || write.refilled ||
      (write.hard_state.has_value() &&
       (write.hard_state->term != hard_state_.term || write.hard_state->vote != hard_state_.vote));
  if (write.hard_state.has_value()) riding_ = write.hard_state;
  if (!promises) return Status::Ok();

  const Index last_index =
      write.entries.empty() ? log_.mark().last_index : write.entries.back().index;
  rocksdb::WriteBatch batch = BeginBatch(last_index);
  NoteRefilled(batch, write);
  if (!write.entries.empty()) DeleteTail(batch, write.entries.front().index);
  for (const raft::Entry& entry : write.entries) log_.PutEntry(batch, entry);
  Status written = Commit(batch, last_index);
  if (written.ok()) Appended(write.entries);
  return written;
}

void LogDb::NoteRefilled(rocksdb::WriteBatch& batch, const node::LogWrite& write) const {
  if (!write.refilled) return;
  log_.DeleteState(batch, kSuspectKey);
}

/// The entries from `first` on, if there are any.
void LogDb::DeleteTail(rocksdb::WriteBatch& batch, Index first) {
  log_.DeleteTail(batch, first, log_.mark().last_index);
  configurations_.erase(configurations_.lower_bound(first), configurations_.end());
  const MutexLock lock(sizes_mutex_);
  sizes_.TruncateFrom(first);
}

void LogDb::Appended(const std::vector<raft::Entry>& entries) {
  bool other_configuration = false;
  {
    const MutexLock lock(sizes_mutex_);
    for (const raft::Entry& entry : entries) {
      sizes_.Append(entry.index, entry.Footprint());
      if (entry.kind != raft::EntryKind::kConfiguration) continue;
      configurations_[entry.index] = entry.payload;
      other_configuration = true;
    }
  }
  if (other_configuration) LookForPeers();
}

Status LogDb::SaveFormation(ClusterId cluster, const Bytes& payload) {
  if (!log_.failure().ok()) return log_.failure();
  RAFTKV_CHECK(cluster.value != 0);
  RAFTKV_CHECK(identity_.cluster.value == 0, cluster.value, identity_.cluster.value);
  RAFTKV_CHECK(log_.mark().last_index.value == 0, log_.mark().last_index.value);
  raft::Entry first;
  first.index = Index(1);
  first.term = Term(1);
  first.kind = raft::EntryKind::kConfiguration;
  first.payload = payload;
  Identity identity = identity_;
  identity.cluster = cluster;
  riding_ = raft::HardState{.term = Term(1), .vote = kNobody, .commit = Index(1)};
  rocksdb::WriteBatch batch = BeginBatch(first.index);
  log_.PutState(batch, kIdentityKey, EncodeIdentity(identity));
  log_.PutState(batch, kFormationKey, EncodeBytes(payload.view()));
  log_.PutEntry(batch, first);
  Status written = Commit(batch, first.index);
  if (!written.ok()) return written;
  identity_ = std::move(identity);
  Appended({first});
  return written;
}

Status LogDb::SavePeerBoot(NodeId peer, const node::PeerBoot& boot) {
  if (!log_.failure().ok()) return log_.failure();
  rocksdb::WriteBatch batch = BeginBatch(log_.mark().last_index);
  log_.PutState(batch, PeerBootKey(peer), EncodePeerBoot(boot));
  return Commit(batch, log_.mark().last_index);
}

Status LogDb::SaveBoot(const node::Boot& boot) {
  if (!log_.failure().ok()) return log_.failure();
  rocksdb::WriteBatch batch = BeginBatch(log_.mark().last_index);
  log_.PutState(batch, kBootKey, EncodeBoot(boot));
  return Commit(batch, log_.mark().last_index);
}

rocksdb::WriteBatch LogDb::BeginBatch(Index last_index) const {
  rocksdb::WriteBatch batch = log_.Begin(last_index);
  if (riding_.has_value()) log_.PutState(batch, kHardStateKey, EncodeHardState(*riding_));
  return batch;
}

Status LogDb::Commit(rocksdb::WriteBatch& batch, Index last_index) {
  Status written = log_.Commit(batch, last_index);
  if (!written.ok()) return written;
  if (riding_.has_value()) hard_state_ = *std::exchange(riding_, std::nullopt);
  RAFTKV_CHECK(hard_state_.commit <= last_index, hard_state_.commit.value, last_index.value);
  return Status::Ok();
}

// --- What stands before the log.

Result<StoredBase> LogDb::BaseAt(Index index) const {
  Result<StoredEntry> stored = log_.ReadOne(index);
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
  LookForPeers();
  const MutexLock lock(sizes_mutex_);
  sizes_.Compact(base_.index);
}

Status LogDb::Compact(Index through) {
  if (!log_.failure().ok()) return log_.failure();
  if (through <= base_.index) return Status::Ok();
  RAFTKV_CHECK(through <= log_.mark().last_index, through.value, log_.mark().last_index.value);
  // What cannot be read is left as it is: whoever needs it will say so.
  Result<StoredBase> base = BaseAt(through);
  if (!base.ok()) return base.status();
  // It is applied, so it is committed; the commit index on disk lags.
  raft::HardState state = riding_.value_or(hard_state_);
  state.commit = std::max(state.commit, through);
  riding_ = state;
  rocksdb::WriteBatch batch = BeginBatch(log_.mark().last_index);
  log_.PutState(batch, kBaseKey, EncodeBase(*base));
  // Before anything can be missing.
  log_.Begins(through);
  Status written = Commit(batch, log_.mark().last_index);
  if (written.ok()) Began(*base);
  return written;
}

Status LogDb::Install(const raft::SnapshotMeta& snapshot, const node::LogWrite& write,
                      const std::string& live_kv) {
  if (!log_.failure().ok()) return log_.failure();
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
  log_.PutState(batch, kBaseKey, EncodeBase(base));
  log_.PutState(batch, kLiveKvKey, EncodeBytes(live_kv));
  NoteRefilled(batch, write);
  log_.Begins(snapshot.last.index);
  DeleteTail(batch, snapshot.last.index.Next());
  Status written = Commit(batch, snapshot.last.index);
  if (!written.ok()) return written;
  configurations_.clear();
  Began(base);
  return written;
}

Index LogDb::Beyond(std::uint64_t bytes) const {
  const MutexLock lock(sizes_mutex_);
  return sizes_.Beyond(bytes);
}

Result<std::vector<raft::Entry>> LogDb::Read(Index first, Index last, std::size_t max_bytes) const {
  return log_.Read(first, last, max_bytes);
}

Status LogDb::Close() {
  Status status = log_.failure();
  if (status.ok() && riding_.has_value()) {
    rocksdb::WriteBatch batch = BeginBatch(log_.mark().last_index);
    status = Commit(batch, log_.mark().last_index);
  }
  const Status closed = log_.Close();
  return status.ok() ? closed : status;
}

}  // namespace raftkv::storage
