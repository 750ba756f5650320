#include "storage/log/log_contents.h"

#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "lib/raft/configuration.h"
#include "storage/disk/files.h"
#include "storage/log/entry_log.h"

namespace raftkv::storage {

namespace {

/// Decodes a value that must be there.
template <class T, class Decode>
Status Require(const LogHandles& handles, std::string_view key, Decode decode, T& out) {
  Result<std::optional<std::string>> value = GetState(handles, key);
  if (!value.ok()) return value.status();
  if (!value->has_value()) {
    std::string what = "the log database has no ";
    what.append(key);
    return DamagedLog(what);
  }
  Result<T> decoded = decode(**value);
  if (!decoded.ok()) return decoded.status();
  out = std::move(*decoded);
  return Status::Ok();
}

Status AddBase(const StoredBase& base, raft::InitialState& raft) {
  if (base.last.index == Index()) return Status::Ok();
  Result<raft::Configuration> configuration = raft::DecodeConfiguration(base.configuration.view());
  if (!configuration.ok()) return configuration.status();
  raft.base = base.last;
  raft.last_index = base.last.index;
  raft.configurations.emplace_back(base.configuration_index, *std::move(configuration));
  return Status::Ok();
}

/// One step along the log: the entry follows what is in `contents`.
Status AddEntry(const raft::Entry& entry, LogContents& contents) {
  raft::InitialState& raft = contents.raft;
  const Term last_term = raft.term_runs.empty() ? raft.base.term : raft.term_runs.back().term;
  if (entry.term.value == 0 || entry.term < last_term) {
    return Status(Code::kCorruption, "log entry " + std::to_string(entry.index.value) +
                                         " has term " + std::to_string(entry.term.value) +
                                         " after term " + std::to_string(last_term.value));
  }
  if (raft.term_runs.empty() || entry.term != last_term) {
    raft.term_runs.push_back({entry.term, entry.index});
  }
  raft.last_index = entry.index;
  contents.sizes.Append(entry.index, entry.Footprint());
  if (entry.kind != raft::EntryKind::kConfiguration) return Status::Ok();
  Result<raft::Configuration> decoded = raft::DecodeConfiguration(entry.payload.view());
  if (!decoded.ok()) return decoded.status();
  raft.configurations.emplace_back(entry.index, *std::move(decoded));
  return Status::Ok();
}

Status LoadLog(const LogHandles& handles, LogContents& contents) {
  Status visited =
      VisitEntries(handles, contents.raft.base.index, contents.mark,
                   [&](const StoredEntry& stored) { return AddEntry(stored.entry, contents); });
  return visited;
}

}  // namespace

Status LoadState(const LogHandles& handles, LogContents& contents) {
  std::uint32_t version = 0;
  if (Status s = Require(handles, kFormatVersionKey, DecodeFormatVersion, version); !s.ok()) {
    return s;
  }
  if (Status s = CheckFolderVersion(version, kFolderFormatVersion); !s.ok()) return s;
  if (Status s = Require(handles, kIdentityKey, DecodeIdentity, contents.identity); !s.ok()) {
    return s;
  }
  if (Status s = Require(handles, kBootKey, DecodeBoot, contents.boot); !s.ok()) return s;
  if (Status s = Require(handles, kBatchKey, DecodeBatchMark, contents.mark); !s.ok()) return s;
  if (Status s = Require(handles, kHardStateKey, DecodeHardState, contents.raft.hard_state);
      !s.ok()) {
    return s;
  }
  const auto plain = [](std::string_view value) { return DecodeBytes(value, "a text"); };
  if (Status s = Require(handles, kLiveKvKey, plain, contents.live_kv); !s.ok()) return s;
  Result<std::optional<std::string>> formation = GetState(handles, kFormationKey);
  if (!formation.ok()) return formation.status();
  if (formation->has_value()) {
    Result<std::string> payload = DecodeBytes(**formation, "the formation");
    if (!payload.ok()) return payload.status();
    contents.formation = Bytes(std::move(*payload));
  }
  Result<std::optional<std::string>> suspect = GetState(handles, kSuspectKey);
  if (!suspect.ok()) return suspect.status();
  contents.suspect = suspect->has_value();
  return Status::Ok();
}

Result<StoredBase> LoadStoredBase(const LogHandles& handles) {
  Result<std::optional<std::string>> value = GetState(handles, kBaseKey);
  if (!value.ok()) return value.status();
  if (!value->has_value()) return StoredBase{};
  return DecodeBase(**value);
}

Status LoadPeerBoots(const LogHandles& handles, LogContents& contents) {
  const std::unique_ptr<rocksdb::Iterator> it(
      handles.db().NewIterator(rocksdb::ReadOptions(), handles.state()));
  for (it->Seek(rocksdb::Slice(kPeerBootPrefix.data(), kPeerBootPrefix.size()));
       it->Valid() && View(it->key()).substr(0, kPeerBootPrefix.size()) == kPeerBootPrefix;
       it->Next()) {
    Result<NodeId> peer = DecodePeerBootKey(View(it->key()));
    if (!peer.ok()) return peer.status();
    Result<node::PeerBoot> boot = DecodePeerBoot(View(it->value()));
    if (!boot.ok()) return boot.status();
    contents.peer_boots[*peer] = *boot;
  }
  return ToStatus(it->status(), "read the peers' boots");
}

Result<LogContents> LoadContents(const LogHandles& handles) {
  LogContents contents;
  if (Status s = LoadState(handles, contents); !s.ok()) return s;
  if (Status s = LoadPeerBoots(handles, contents); !s.ok()) return s;
  const Result<StoredBase> base = LoadStoredBase(handles);
  if (!base.ok()) return base.status();
  if (Status s = AddBase(*base, contents.raft); !s.ok()) return s;
  if (Status s = LoadLog(handles, contents); !s.ok()) return s;
  const raft::InitialState& raft = contents.raft;
  const Term last_term = raft.term_runs.empty() ? raft.base.term : raft.term_runs.back().term;
  if (raft.hard_state.term < last_term) {
    return DamagedLog("the hard state has term " + std::to_string(raft.hard_state.term.value) +
                      ", but the log has term " + std::to_string(last_term.value));
  }
  if (raft.hard_state.commit > raft.last_index) {
    return DamagedLog("entry " + std::to_string(raft.hard_state.commit.value) +
                      " is committed, but the log ends at " +
                      std::to_string(raft.last_index.value));
  }
  if (raft.hard_state.commit < raft.base.index) {
    return DamagedLog("the log is compacted up to entry " + std::to_string(raft.base.index.value) +
                      ", but only entry " + std::to_string(raft.hard_state.commit.value) +
                      " is committed");
  }
  return contents;
}

Status CheckAgainstRecord(const LogContents& contents, const Record& record) {
  const raft::HardState& hard_state = contents.raft.hard_state;
  if (contents.identity.member != record.member || contents.identity.name != record.name) {
    return DamagedLog("its record and its log database belong to different members");
  }
  if (record.cluster.value != 0 && contents.identity.cluster != record.cluster) {
    return DamagedLog("its record and its log database belong to different clusters");
  }
  const bool behind =
      contents.mark.number < record.batch_number ||
      contents.raft.last_index < record.durable_index || hard_state.term < record.term ||
      contents.boot.counter < record.boot.counter ||
      (contents.boot.counter == record.boot.counter && contents.boot != record.boot) ||
      (hard_state.term == record.term && record.vote != kNobody && hard_state.vote != record.vote);
  if (!behind) return Status::Ok();
  return DamagedLog(
      "its log database (batch " + std::to_string(contents.mark.number) + ", entry " +
      std::to_string(contents.raft.last_index.value) + ", term " +
      std::to_string(hard_state.term.value) + ", boot " + std::to_string(contents.boot.counter) +
      ") lacks what its record knows (batch " + std::to_string(record.batch_number) + ", entry " +
      std::to_string(record.durable_index.value) + ", term " + std::to_string(record.term.value) +
      ", boot " + std::to_string(record.boot.counter) + ")");
}

}  // namespace raftkv::storage
