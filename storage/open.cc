#include "storage/open.h"

#include <algorithm>
#include <utility>

#include <rocksdb/env.h>

#include "lib/base/check.h"
#include "storage/data_folder.h"
#include "storage/files.h"
#include "storage/kv_state_machine.h"
#include "storage/log_recovery.h"
#include "storage/log_store.h"
#include "storage/machine_boot.h"
#include "storage/snapshots.h"

namespace raftkv::storage {

namespace {

constexpr std::size_t kMaxQueuedUpkeep = 256;

LogDbOptions LogOptionsOf(const StoreOptions& options) {
  LogDbOptions log;
  log.folder = options.dir + "/" + kLogFolder;
  log.env = options.env;
  log.sync = options.sync;
  log.log_sink = options.log_sink;
  log.advice = DamageAdvice();
  // What is not in a file of its own yet cannot be given back.
  constexpr std::uint64_t kLeast = 1 << 20;
  log.write_buffer_bytes =
      std::clamp<std::uint64_t>(options.log_keep_bytes / 4, kLeast, log.write_buffer_bytes);
  return log;
}

KvStateMachineOptions MachineOptionsOf(const StoreOptions& options) {
  KvStateMachineOptions out;
  out.kv = options.kv;
  out.flush_after_bytes = std::max<std::uint64_t>(options.log_keep_bytes / 2, 256 << 10);
  out.flush_after_entries = std::max<std::uint64_t>(options.log_keep_entries / 2, 64);
  return out;
}

KvEngineOptions KvOptionsOf(const StoreOptions& options, const std::string& kv_folder) {
  return {options.dir + "/" + kv_folder, options.env, options.kv_cache_bytes, options.log_sink};
}

Result<std::unique_ptr<LogDb>> OpenLog(const StoreOptions& options, const Record& record) {
  const bool rebooted = WasRebooted(record.machine_boot, options.machine_boot);
  const LogDbOptions log_options = LogOptionsOf(options);
  const auto check = [&record](const LogHandles& handles) -> Result<BatchMark> {
    Result<LogContents> contents = LoadContents(handles);
    if (!contents.ok()) return contents.status();
    if (Status s = CheckAgainstRecord(*contents, record); !s.ok()) return s;
    return contents->mark;
  };
  Result<LogRecovery> recovery = ExamineLog(log_options, record, rebooted, check);
  if (!recovery.ok()) return recovery.status();
  if (recovery->cuts && options.log_sink) {
    options.log_sink(node::LogSeverity::kWarn,
                     "the machine stopped during a write to the log: the write, which nobody was "
                     "told of, is cut off");
  }
  Result<std::unique_ptr<LogDb>> log = LogDb::Open(log_options, *recovery);
  if (!log.ok()) return log.status();
  if (Status s = CheckAgainstRecord((*log)->found(), record); !s.ok()) return s;
  return log;
}

Result<std::unique_ptr<KvStateMachine>> OpenMachine(const StoreOptions& options,
                                                    const LogContents& log,
                                                    const Completions& completions,
                                                    Worker& upkeep) {
  Result<std::shared_ptr<KvEngine>> engine = KvEngine::Open(KvOptionsOf(options, log.live_kv));
  if (!engine.ok()) {
    return Status(engine.code(), engine.status().message() + "; " + DamageAdvice());
  }
  Result<std::unique_ptr<KvStateMachine>> machine =
      KvStateMachine::Open(std::move(*engine), MachineOptionsOf(options), completions, upkeep);
  if (!machine.ok()) return machine.status();
  if ((*machine)->applied_at_open() > log.raft.last_index) {
    return Status(Code::kCorruption, "the data folder is damaged: entry " +
                                         std::to_string((*machine)->applied_at_open().value) +
                                         " is applied, but the log ends at " +
                                         std::to_string(log.raft.last_index.value) + "; " +
                                         DamageAdvice());
  }
  // KNOWN_BUGS 21.
  if ((*machine)->applied_at_open() < log.raft.base.index) {
    return Status(Code::kCorruption, "the data folder is damaged: the log is cut up to entry " +
                                         std::to_string(log.raft.base.index.value) +
                                         ", but only entry " +
                                         std::to_string((*machine)->applied_at_open().value) +
                                         " is applied; " + DamageAdvice());
  }
  return machine;
}

/// Raises the boot counter, durable in log and record; returns the record as it is now.
Result<Record> BeginBoot(const StoreOptions& options, Record record, LogDb& log, node::Boot& boot) {
  const LogContents& found = log.found();
  record.cluster = found.identity.cluster;
  record.boot = found.boot;
  record.batch_number = found.mark.number;
  record.durable_index = found.raft.hard_state.commit;
  record.term = found.raft.hard_state.term;
  record.vote = found.raft.hard_state.vote;
  record.machine_boot = options.machine_boot;
  // Before the first write, which may be torn, the record must not speak of a clean close any more.
  record.clean_close = false;
  if (Status s = WriteRecord(*options.env, options.dir, record); !s.ok()) return s;
  boot = node::Boot{found.boot.counter + 1, DrawId()};
  if (Status s = log.SaveBoot(boot); !s.ok()) return s;
  record.boot = boot;
  record.batch_number = log.mark().number;
  if (Status s = WriteRecord(*options.env, options.dir, record); !s.ok()) return s;
  return record;
}

node::Birth BirthOf(const LogContents& found, node::Boot boot, Index applied) {
  node::Birth birth;
  birth.name = found.identity.name;
  birth.member = found.identity.member;
  birth.cluster = found.identity.cluster;
  birth.boot = boot;
  birth.formation = found.formation;
  birth.peer_boots = found.peer_boots;
  birth.raft = found.raft;
  birth.raft.applied = applied;
  // The commit index on disk lags; what is applied was committed.
  birth.raft.hard_state.commit = std::max(birth.raft.hard_state.commit, applied);
  return birth;
}

}  // namespace

Store::Store(Executor executor) : completions_(std::move(executor)) {}

Store::~Store() {
  completions_.Stop();
  if (snapshots_) snapshots_->Stop();
  if (upkeep_) upkeep_->Stop();
}

node::LogStore& Store::log() { return *log_; }
node::MetaStore& Store::meta() { return *log_; }
node::StateMachine& Store::machine() { return *machine_; }
node::Snapshots& Store::snapshots() { return *snapshots_; }
std::shared_ptr<kv::Engine> Store::engine() { return machine_->engine(); }
std::uint64_t Store::replicated_time_at_open_ms() const {
  return machine_->replicated_time_at_open_ms();
}
std::uint64_t Store::sync_count() const { return log_->sync_count(); }

Status Store::Close() {
  completions_.Stop();
  snapshots_->Stop();
  upkeep_->Stop();
  const Status machine = machine_->Close(/*clean=*/true);
  const Status log = log_->Close(/*clean=*/machine.ok());
  lock_.reset();
  return machine.ok() ? log : machine;
}

Result<std::unique_ptr<Store>> Open(StoreOptions options) {
  RAFTKV_CHECK(options.executor != nullptr);
  if (options.dir.empty()) {
    return Status(Code::kInvalidArgument, "no data folder was named: name one");
  }
  if (options.name.empty()) return Status(Code::kInvalidArgument, "the member has no name");
  while (options.dir.size() > 1 && options.dir.back() == '/') options.dir.pop_back();
  if (options.env == nullptr) options.env = rocksdb::Env::Default();
  if (options.machine_boot.empty()) options.machine_boot = ReadMachineBoot();

  std::unique_ptr<Store> store(new Store(options.executor));
  Result<Record> record = TakeFolder(
      *options.env, options.dir, options.name,
      [&options] {
        return MakeMember(LogOptionsOf(options), KvOptionsOf(options, kFirstKvFolder), options.dir,
                          options.name, options.machine_boot);
      },
      store->lock_);
  if (!record.ok()) return record.status();
  Result<std::unique_ptr<LogDb>> log = OpenLog(options, *record);
  if (!log.ok()) return log.status();
  store->upkeep_ = std::make_unique<Worker>("raftkv-upkeep", kMaxQueuedUpkeep);
  Result<std::unique_ptr<KvStateMachine>> machine =
      OpenMachine(options, (*log)->found(), store->completions_, *store->upkeep_);
  if (!machine.ok()) return machine.status();
  store->machine_ = std::move(*machine);
  // The last checkpoint may have been sent to somebody when this member was killed.
  const Result<std::uint64_t> snapshot = LastSnapshotNumber(*options.env, options.dir);
  if (!snapshot.ok()) return snapshot.status();
  if (Status s = RemoveUnreferenced(*options.env, options.dir, (*log)->found().live_kv,
                                    SnapshotFolderName(*snapshot));
      !s.ok()) {
    return s;
  }
  node::Boot boot;
  Result<Record> begun = BeginBoot(options, std::move(*record), **log, boot);
  if (!begun.ok()) return begun.status();
  store->birth_ = BirthOf((*log)->found(), boot, store->machine_->applied_at_open());
  store->log_ = std::make_unique<LogStore>(
      LogStoreOptions{options.env, options.dir, options.log_sink, options.observer},
      std::move(*log), std::move(*begun), store->completions_);
  store->snapshots_ =
      std::make_unique<Snapshots>(SnapshotsOptions{options.dir, KvOptionsOf(options, ""),
                                                   options.kv, options.log_sink, *snapshot},
                                  *store->log_, *store->machine_, store->completions_);
  return store;
}

}  // namespace raftkv::storage
