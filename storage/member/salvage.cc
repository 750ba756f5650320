#include "storage/member/salvage.h"

#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include <rocksdb/write_batch.h>

#include "lib/base/check.h"
#include "lib/raft/configuration.h"
#include "storage/disk/files.h"
#include "storage/log/entry_log.h"
#include "storage/log/log_format.h"
#include "storage/log/log_recovery.h"
#include "storage/log/wal_filter.h"

namespace raftkv::storage {

namespace {

/// Entries written at a time, in bytes.
constexpr std::size_t kChunkBytes = 1 << 20;

std::unique_ptr<rocksdb::Iterator> IterateFrom(const LogHandles& handles, Index first) {
  rocksdb::ReadOptions options;
  options.fill_cache = false;
  std::unique_ptr<rocksdb::Iterator> it(handles.db().NewIterator(options, handles.log()));
  it->Seek(EncodeLogKey(first));
  return it;
}

/// The entry that `it` stands at, if it may follow `last`.
std::optional<raft::Entry> NextOf(rocksdb::Iterator& it, Index last, Term last_term,
                                  std::uint64_t trusted) {
  if (!it.Valid()) return std::nullopt;
  const Result<Index> index = DecodeLogKey(View(it.key()));
  if (!index.ok() || *index != last.Next()) return std::nullopt;
  Result<StoredEntry> stored = DecodeEntry(*index, View(it.value()));
  if (!stored.ok() || stored->batch_number > trusted) return std::nullopt;
  const raft::Entry& entry = stored->entry;
  if (entry.term.value == 0 || entry.term < last_term) return std::nullopt;
  // It would be refused when it is read again.
  if (entry.kind == raft::EntryKind::kConfiguration &&
      !raft::DecodeConfiguration(entry.payload.view()).ok()) {
    return std::nullopt;
  }
  return std::move(stored->entry);
}

void ReadLog(const LogHandles& handles, std::uint64_t trusted, Salvaged& out) {
  const std::unique_ptr<rocksdb::Iterator> it = IterateFrom(handles, out.last_index.Next());
  Term last_term = out.base.last.term;
  while (const auto entry = NextOf(*it, out.last_index, last_term, trusted)) {
    if (out.term_runs.empty() || entry->term != last_term) {
      out.term_runs.push_back({entry->term, entry->index});
    }
    last_term = entry->term;
    out.last_index = entry->index;
    it->Next();
  }
}

}  // namespace

Term Salvaged::TermAt(Index index) const {
  if (index == base.last.index) return base.last.term;
  if (index < base.last.index || index > last_index) return Term{};
  Term term;
  for (const raft::TermRun& run : term_runs) {
    if (run.first <= index) term = run.term;
  }
  return term;
}

Salvaged Salvage(const LogDbOptions& options, const Record& record) {
  Salvaged out;
  const Result<std::uint64_t> trusted = TrustedThrough(options);
  // Of a log that cannot be judged only what does not belong to it can be used.
  WalStop stop(trusted.ok() ? *trusted : 0);
  OpenMode mode;
  mode.read_only = true;
  mode.recovery = kUpToTheBreak;
  mode.watch = &stop;
  Result<std::unique_ptr<LogHandles>> handles = OpenLogHandles(options, mode);
  if (!handles.ok()) return out;
  LogContents contents;
  const bool has_boots = LoadPeerBoots(**handles, contents).ok();
  if (has_boots) out.peer_boots = contents.peer_boots;
  const bool has_state = LoadState(**handles, contents).ok() &&
                         contents.identity.member == record.member &&
                         contents.identity.cluster == record.cluster;
  if (!has_state) return out;
  out.formation = contents.formation;
  out.hard_state = contents.raft.hard_state;
  const Result<StoredBase> base = LoadStoredBase(**handles);
  if (!base.ok() || !trusted.ok()) return out;
  out.live_kv = contents.live_kv;
  out.base = *base;
  out.last_index = base->last.index;
  out.handles = std::move(*handles);
  ReadLog(*out.handles, *trusted, out);
  return out;
}

namespace {

/// Writes batches as LogDb does: each is numbered and says where the log ends after it.
class SalvageWriter {
 public:
  explicit SalvageWriter(LogHandles& handles) : handles_(handles) { Begin(); }

  void PutState(std::string_view key, const std::string& value) {
    state_.emplace_back(std::string(key), value);
  }

  /// Entries behind the base, up to `last`.
  Status Copy(const Salvaged& old) {
    mark_.last_index = old.base.last.index;
    const auto it = IterateFrom(*old.handles, old.base.last.index.Next());
    std::size_t bytes = 0;
    for (; mark_.last_index < old.last_index; it->Next()) {
      const Index next = mark_.last_index.Next();
      const auto entry = NextOf(*it, mark_.last_index, Term{}, ~std::uint64_t{0});
      if (!entry) return ToStatus(it->status(), "read entry " + std::to_string(next.value));
      entries_.emplace_back(EncodeLogKey(next), EncodeEntry(*entry, mark_.number));
      mark_.last_index = next;
      bytes += entry->Footprint();
      if (bytes < kChunkBytes) continue;
      if (Status s = Write(false); !s.ok()) return s;
      bytes = 0;
    }
    return Status::Ok();
  }

  Status Write(bool sync) {
    rocksdb::WriteBatch batch;
    const auto put = [&](rocksdb::ColumnFamilyHandle* family, std::string_view key,
                         const std::string& value) {
      batch.Put(family, rocksdb::Slice(key.data(), key.size()), value).PermitUncheckedError();
    };
    put(handles_.state(), kBatchKey, EncodeBatchMark(mark_));
    for (const auto& [key, value] : state_) put(handles_.state(), key, value);
    for (const auto& [key, value] : entries_) put(handles_.log(), key, value);
    rocksdb::WriteOptions options;
    options.sync = sync;
    Status written = ToStatus(handles_.db().Write(options, &batch), "write the new log database");
    if (written.ok()) Begin();
    return written;
  }

  /// Of the last batch.
  [[nodiscard]] BatchMark mark() const { return {mark_.number - 1, mark_.last_index}; }

 private:
  void Begin() {
    ++mark_.number;
    state_.clear();
    entries_.clear();
  }

  LogHandles& handles_;
  BatchMark mark_;  ///< of the batch that is being gathered
  std::vector<std::pair<std::string, std::string>> state_;
  std::vector<std::pair<std::string, std::string>> entries_;
};

}  // namespace

Status WriteSalvaged(const LogDbOptions& options, const LogContents& contents, const Salvaged* old,
                     BatchMark& mark) {
  Result<std::unique_ptr<LogHandles>> handles = CreateLogHandles(options);
  if (!handles.ok()) return handles.status();
  SalvageWriter writer(**handles);
  if (old != nullptr) {
    if (Status s = writer.Copy(*old); !s.ok()) return s;
    if (old->base.last.index > Index()) writer.PutState(kBaseKey, EncodeBase(old->base));
  }
  writer.PutState(kFormatVersionKey, EncodeFormatVersion(kFolderFormatVersion));
  writer.PutState(kIdentityKey, EncodeIdentity(contents.identity));
  writer.PutState(kBootKey, EncodeBoot(contents.boot));
  writer.PutState(kHardStateKey, EncodeHardState(contents.raft.hard_state));
  writer.PutState(kLiveKvKey, EncodeBytes(contents.live_kv));
  writer.PutState(kSuspectKey, EncodeBytes(""));
  if (!contents.formation.empty()) {
    writer.PutState(kFormationKey, EncodeBytes(contents.formation.view()));
  }
  for (const auto& [peer, boot] : contents.peer_boots) {
    writer.PutState(PeerBootKey(peer), EncodePeerBoot(boot));
  }
  if (Status s = writer.Write(true); !s.ok()) return s;
  mark = writer.mark();
  return (*handles)->Close();
}

}  // namespace raftkv::storage
