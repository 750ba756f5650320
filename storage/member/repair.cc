#include "storage/member/repair.h"

#include <algorithm>
#include <utility>

#include "lib/base/check.h"
#include "storage/disk/files.h"
#include "storage/folder/data_folder.h"
#include "storage/log/log_contents.h"
#include "storage/log/log_format.h"
#include "storage/log/log_recovery.h"
#include "storage/member/salvage.h"

namespace raftkv::storage {

namespace {

Status Move(rocksdb::Env& env, const std::string& from, const std::string& to) {
  return ToStatus(env.RenameFile(from, to), "rename " + from + " to " + to);
}

bool Exists(rocksdb::Env& env, const std::string& path) { return env.FileExists(path).ok(); }

/// What the new log database begins with, besides its entries.
LogContents Beginning(const Record& record, const Salvaged& old) {
  LogContents contents;
  contents.identity = Identity{record.member, record.cluster, record.name};
  contents.boot = record.boot;
  contents.formation = old.formation;
  contents.peer_boots = old.peer_boots;
  contents.raft.hard_state.term = record.term;
  contents.raft.hard_state.vote = record.vote;
  // What is told to others stands in the record; what was not told may be forgotten, or kept.
  if (old.hard_state.term > record.term) contents.raft.hard_state = old.hard_state;
  contents.raft.hard_state.commit = Index();
  return contents;
}

class Repairer {
 public:
  Repairer(const RepairOptions& options, const Record& record)
      : options_(options), record_(record), env_(*options.log.env) {}

  Result<Record> Run(std::string& keeps) {
    Salvaged old = Salvage(options_.log, record_);
    contents_ = Beginning(record_, old);
    const bool reset = record_.damaged == Damaged::kKv || !FitsTogether(old);
    Status made = reset ? MakeEmptyKv() : Status::Ok();
    if (made.ok()) made = MakeLog(reset ? nullptr : &old);
    if (!made.ok()) return made;
    keeps = reset ? "nothing of it is kept"
                  : "its log is kept up to entry " + std::to_string(old.last_index.value);
    old.handles.reset();
    if (Status swapped = Swap(); !swapped.ok()) return swapped;
    return WriteRepaired(reset ? Index() : old.last_index);
  }

 private:
  /// Whether the state machine opens and stands somewhere in what is left of the log.
  bool FitsTogether(const Salvaged& old) {
    if (old.live_kv.empty()) return false;
    KvEngineOptions kv = options_.kv;
    kv.folder = options_.dir + "/" + old.live_kv;
    const Result<kv::Position> applied = KvEngine::AppliedOf(kv);
    if (!applied.ok()) return false;
    // An older version of the log may have other entries there.
    if (applied->index > old.last_index || applied->index < old.base.last.index) return false;
    if (old.TermAt(applied->index) != applied->term) return false;
    contents_.live_kv = old.live_kv;
    contents_.raft.hard_state.commit = applied->index;
    return true;
  }

  Status MakeEmptyKv() {
    const Result<std::uint64_t> last = LastNumber(env_, options_.dir, kKvFolderPrefix);
    if (!last.ok()) return last.status();
    contents_.live_kv = KvFolderName(*last + 1);
    contents_.raft.hard_state.commit = Index();
    KvEngineOptions kv = options_.kv;
    kv.folder = options_.dir + "/" + contents_.live_kv;
    if (Status s = MakeFolder(env_, kv.folder); !s.ok()) return s;
    return KvEngine::Create(kv);
  }

  Status MakeLog(const Salvaged* old) {
    LogDbOptions log = options_.log;
    log.folder = options_.dir + "/" + kNewLogFolder;
    if (Status s = RemoveTree(env_, log.folder); !s.ok()) return s;
    if (Status s = MakeFolder(env_, log.folder); !s.ok()) return s;
    if (Status s = WriteSalvaged(log, contents_, old, mark_); !s.ok()) return s;
    return SyncFolder(env_, options_.dir);
  }

  /// The first repair sets aside what there was; later ones would set aside less.
  Status Swap() {
    const auto names = ListFolder(env_, options_.dir);
    if (!names.ok()) return names.status();
    const std::vector<std::string> there = names->value_or(std::vector<std::string>());
    const bool first = std::none_of(there.begin(), there.end(),
                                    [](const std::string& name) { return IsSetAside(name); });
    const std::string prefix =
        options_.dir + "/" + (first ? kSetAsidePrefix : kSetAsideAgainPrefix);
    for (const std::string& name : there) {
      const bool goes = KvFolderNumber(name) != 0 && name != contents_.live_kv;
      if (!goes) continue;
      if (Status s = Move(env_, options_.dir + "/" + name, prefix + name); !s.ok()) return s;
    }
    // Once the old log is gone from its place, FinishRepair takes it from here.
    const std::string log = options_.dir + "/" + kLogFolder;
    if (Exists(env_, log)) {
      if (Status s = Move(env_, log, prefix + kLogFolder); !s.ok()) return s;
    }
    if (Status s = SyncFolder(env_, options_.dir); !s.ok()) return s;
    if (Status s = FinishRepair(env_, options_.dir); !s.ok()) return s;
    return RemoveSetAside(env_, options_.dir, kSetAsideAgainPrefix);
  }

  Result<Record> WriteRepaired(Index last_index) {
    Record record = record_;
    record.damaged = Damaged::kNothing;
    record.clean_close = false;
    record.tail_may_be_torn = false;
    record.batch_number = mark_.number;
    record.durable_index = contents_.raft.hard_state.commit;
    record.term = contents_.raft.hard_state.term;
    record.vote = contents_.raft.hard_state.vote;
    RAFTKV_CHECK(record.durable_index <= last_index, last_index.value);
    if (Status s = WriteRecord(env_, options_.dir, record); !s.ok()) return s;
    return record;
  }

  const RepairOptions& options_;
  const Record& record_;
  rocksdb::Env& env_;
  LogContents contents_;
  BatchMark mark_;
};

}  // namespace

Status FinishRepair(rocksdb::Env& env, const std::string& dir) {
  const std::string log = dir + "/" + kLogFolder;
  const std::string made = dir + "/" + kNewLogFolder;
  if (!Exists(env, made)) return Status::Ok();
  // It was whole before the old one went.
  if (Exists(env, log)) return RemoveTree(env, made);
  if (Status s = Move(env, made, log); !s.ok()) return s;
  return SyncFolder(env, dir);
}

Result<Record> Repair(const RepairOptions& options, const Record& record, std::string& keeps) {
  RAFTKV_CHECK(record.complete);
  RAFTKV_CHECK(record.cluster.value != 0);
  RAFTKV_CHECK(record.has_peers);
  return Repairer(options, record).Run(keeps);
}

}  // namespace raftkv::storage
