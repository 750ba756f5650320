#include "storage/member/open.h"

#include <algorithm>
#include <optional>
#include <utility>

#include <rocksdb/env.h>

#include "lib/base/check.h"
#include "storage/disk/disk_space.h"
#include "storage/disk/disk_watch.h"
#include "storage/disk/files.h"
#include "storage/disk/machine.h"
#include "storage/disk/real_fs.h"
#include "storage/folder/data_folder.h"
#include "storage/folder/folder_key.h"
#include "storage/folder/torn_manifest.h"
#include "storage/kv/kv_state_machine.h"
#include "storage/log/log_recovery.h"
#include "storage/log/log_store.h"
#include "storage/member/repair.h"
#include "storage/member/scrubber.h"
#include "storage/snapshot/snapshots.h"

namespace raftkv::storage {

namespace {

constexpr std::size_t kMaxQueuedUpkeep = 256;

constexpr std::string_view kSuspectNow =
    "this member neither votes nor counts until the others have refilled it";
constexpr std::string_view kNobodyMends =
    "there is no other member to refill it: restore a backup into a new folder, or restore the "
    "disk from a copy that is not older";

std::string DamageLine(const Status& damage, std::string_view what_now) {
  std::string line = "the data folder is damaged: ";
  line.append(damage.message()).append("; ").append(what_now);
  return line;
}

LogDbOptions LogOptionsOf(const StoreOptions& options) {
  LogDbOptions log;
  log.folder = options.dir + "/" + kLogFolder;
  log.env = options.env;
  log.sync = options.sync;
  log.log_sink = options.log_sink;
  // What is not in a file of its own yet cannot be given back.
  constexpr std::uint64_t kLeast = 1 << 20;
  log.write_buffer_bytes =
      std::clamp<std::uint64_t>(options.log_keep_bytes / 4, kLeast, log.write_buffer_bytes);
  return log;
}

KvStateMachineOptions MachineOptionsOf(const StoreOptions& options, const DiskWatch& disk) {
  KvStateMachineOptions out;
  out.disk = &disk;
  out.kv = options.kv;
  out.flush_after_bytes = std::max<std::uint64_t>(options.log_keep_bytes / 2, 256 << 10);
  out.flush_after_entries = std::max<std::uint64_t>(options.log_keep_entries / 2, 64);
  return out;
}

Status MendManifest(const StoreOptions& options, const std::string& folder, const Record& record) {
  const Result<std::optional<std::string>> cut =
      CutTornManifest(*options.env, folder, record, options.machine_boot);
  if (!cut.ok()) return cut.status();
  if (cut->has_value() && options.log_sink) options.log_sink(node::LogSeverity::kWarn, **cut);
  return Status::Ok();
}

Result<std::unique_ptr<LogDb>> OpenLog(const StoreOptions& options, const Record& record) {
  const bool rebooted = WasRebooted(record.machine_boot, options.machine_boot);
  const LogDbOptions log_options = LogOptionsOf(options);
  if (Status s = MendManifest(options, log_options.folder, record); !s.ok()) return s;
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
                     std::string(record.tail_may_be_torn ? "a write to the log had failed"
                                                         : "the machine stopped during a write to "
                                                           "the log") +
                         ": that write, which was never acknowledged, is cut off");
  }
  Result<std::unique_ptr<LogDb>> log = LogDb::Open(log_options, *recovery);
  if (!log.ok()) return log.status();
  if (Status s = CheckAgainstRecord((*log)->found(), record); !s.ok()) return s;
  return log;
}

/// What the log may keep on the disk of `folder`. What is not flushed yet is in the log as well, so
/// a log that may be larger than the disk would leave no room to flush, and to give back its space.
std::uint64_t FittingLog(const std::string& folder, std::uint64_t log_keep_bytes) {
  constexpr std::uint64_t kShare = 8;
  constexpr std::uint64_t kLeast = 1 << 20;
  const std::optional<std::uint64_t> disk = DiskBytes(folder);
  if (!disk) return log_keep_bytes;
  return std::min(log_keep_bytes, std::max(*disk / kShare, kLeast));
}

/// Whether the state machine fits the log.
Status CheckApplied(Index applied, const LogContents& log) {
  if (applied > log.raft.last_index) {
    return Status(Code::kCorruption, "entry " + std::to_string(applied.value) +
                                         " is applied, but the log ends at " +
                                         std::to_string(log.raft.last_index.value));
  }
  // Known bug 21.
  if (applied < log.raft.base.index) {
    return Status(Code::kCorruption,
                  "the log is compacted up to entry " + std::to_string(log.raft.base.index.value) +
                      ", but only entry " + std::to_string(applied.value) + " is applied");
  }
  return Status::Ok();
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
  record.has_peers = log.has_peers();
  record.machine_boot = options.machine_boot;
  // Before the first write, which may be torn, the record must not speak of a clean close any more.
  record.clean_close = false;
  record.tail_may_be_torn = false;
  if (Status s = WriteRecord(*options.env, options.dir, record); !s.ok()) return s;
  boot = node::Boot{.counter = found.boot.counter + 1, .nonce = DrawId()};
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
  if (found.suspect) birth.raft.suspect = boot.nonce;
  // The commit index on disk lags; what is applied was committed.
  birth.raft.hard_state.commit = std::max(birth.raft.hard_state.commit, applied);
  return birth;
}

/// Makes the databases of a new member with a new random id; the folder exists and is locked.
Result<Record> MakeMember(const LogDbOptions& log, const KvEngineOptions& kv,
                          const std::string& folder, const std::string& name,
                          const std::string& machine_boot) {
  return MakeNew(*log.env, folder, name, machine_boot, [&](const Record& record) {
    if (Status s = MakeFolder(*log.env, kv.folder); !s.ok()) return s;
    const Identity identity{record.member, ClusterId(), name};
    if (Status s = LogDb::Create(log, identity, kFirstKvFolder); !s.ok()) return s;
    return KvEngine::Create(kv);
  });
}

}  // namespace

Store::Store(const StoreOptions& options)
    : log_keep_bytes_(options.log_keep_bytes),
      completions_(options.executor),
      notices_(options.executor) {
  DiskWatchOptions disk;
  disk.env = options.env;
  disk.reserve_bytes = options.reserve_bytes;
  if (options.reserve_bytes > 0) {
    disk.space = options.space ? options.space
                               : std::make_shared<FolderSpace>(options.dir, options.reserve_bytes);
  }
  if (options.on_disk) {
    disk.tell = [notices = notices_,
                 on_disk = options.on_disk](const node::DiskHealth& health) mutable {
      notices.Post([on_disk, health] { on_disk(health); });
    };
  }
  disk_ = std::make_shared<DiskWatch>(std::move(disk));
}

Store::~Store() { Abandon(); }

node::LogStore& Store::log() { return *log_; }
node::MetaStore& Store::meta() { return *log_; }
node::StateMachine& Store::machine() { return *machine_; }
node::Snapshots& Store::snapshots() { return *snapshots_; }
void Store::MakeBackup(node::Done<std::shared_ptr<CheckpointBackup>> done) {
  snapshots_->MakeBackup(std::move(done));
}
std::shared_ptr<kv::Engine> Store::engine() { return machine_->engine(); }
std::uint64_t Store::replicated_time_at_open_ms() const {
  return machine_->replicated_time_at_open_ms();
}
std::uint64_t Store::sync_count() const { return log_->sync_count(); }

std::vector<std::string> Store::damage() const {
  const MutexLock lock(mutex_);
  return damage_;
}

Store::ScrubCounts Store::scrub_counts() const {
  ScrubCounts counts;
  counts.damaged = damaged_.load();
  if (!scrubber_) return counts;
  counts.bytes = scrubber_->bytes();
  counts.passes = scrubber_->passes();
  return counts;
}

void Store::Found(Damaged which, const Status& what) {
  ++damaged_;
  const bool mends = on_damage_ != nullptr && log_->has_peers();
  {
    const MutexLock lock(mutex_);
    constexpr std::size_t kMaxLines = 8;
    const bool said = std::find(damage_.begin(), damage_.end(), what.message()) != damage_.end();
    const bool full = damage_.size() == kMaxLines;
    // What a member found while it was alone is mended once it is not.
    if (told_ || (!mends && (said || full))) return;
    if (!said && !full) damage_.push_back(what.message());
    told_ = mends;
    // Before anybody can hand out what failed: another thread may have met the same damage.
    if (mends) completions_.Stop();
  }
  if (log_sink_) {
    log_sink_(
        node::LogSeverity::kError,
        DamageLine(what, mends ? "the member starts from nothing, to be refilled by the others"
                               : kNobodyMends));
  }
  if (!mends) return;
  // A mark that cannot be written is found out by the next open, or scrub.
  static_cast<void>(log_->MarkDamaged(which));
  notices_.Post([tell = on_damage_, what] { tell(what); });
}

void Store::Mended() {
  const MutexLock lock(mutex_);
  damage_.clear();
}

void Store::StartScrubber(const StoreOptions& options) {
  if (options.scrub_bytes_per_second == 0) return;
  ScrubberOptions scrub;
  scrub.env = options.env;
  scrub.bytes_per_second = options.scrub_bytes_per_second;
  scrub.pause = options.scrub_pause;
  scrub.log_sink = options.log_sink;
  scrubber_ = std::make_unique<Scrubber>(
      scrub,
      std::vector<Scrubber::Subject>{
          {Damaged::kLog, [this] { return log_->Tables(); }},
          {Damaged::kKv, [this] { return machine_->engine()->Tables(); }},
      },
      [this](Damaged which, const Status& what) { Found(which, what); });
}

void Store::Abandon() {
  StopCompletions();
  cancel_.Cancel();
  if (scrubber_) scrubber_->Stop();
  if (disk_) disk_->Stop();
  if (snapshots_) snapshots_->Stop();
  if (upkeep_) upkeep_->Stop();
  if (machine_) static_cast<void>(machine_->Close(/*clean=*/false));
  if (log_) static_cast<void>(log_->Close(/*clean=*/false));
  lock_.reset();
}

/// The log can be cut further once more is flushed.
void Store::Reclaim() {
  snapshots_->Reclaim();
  if (reclaiming_.exchange(true)) return;
  const bool posted = upkeep_->Post([this] {
    disk_->SetReclaims(true);
    // It is tried again as long as space is short.
    static_cast<void>(machine_->engine()->GiveUpLowestRevision());
    static_cast<void>(machine_->engine()->Reclaim(cancel_));
    disk_->SetReclaims(false);
    log_->Reclaim();
    reclaiming_.store(false);
  });
  if (!posted) reclaiming_.store(false);
}

void Store::FlushIfIdle() {
  if (!idle_flush_.Look(machine_->engine()->UnflushedBytes() + log_->UnflushedBytes())) return;
  // If it cannot be posted there is other work: it was not idle.
  static_cast<void>(upkeep_->Post([this] {
    static_cast<void>(machine_->engine()->FlushIfFits());
    log_->Reclaim();
  }));
}

Status Store::Close() {
  StopCompletions();
  cancel_.Cancel();
  if (scrubber_) scrubber_->Stop();
  disk_->Stop();
  snapshots_->Stop();
  upkeep_->Stop();
  const Status machine = machine_->Close(/*clean=*/true);
  const Status log = log_->Close(/*clean=*/machine.ok());
  lock_.reset();
  return machine.ok() ? log : machine;
}

/// The steps of an open.
class Opener {
 public:
  explicit Opener(StoreOptions options) : options_(std::move(options)) {}

  Result<std::unique_ptr<Store>> Open() {
    store_.reset(new Store(options_));
    options_.env = &store_->disk_->env();
    const Status opened = OpenAll();
    if (opened.ok()) return std::move(store_);
    if (!store_->disk_->starved() || opened.code() == Code::kUnavailable) return opened;
    return Status(Code::kNoSpace,
                  "no space is left on the disk of the data folder: free some and start again; "
                  "nothing was lost: " +
                      opened.message());
  }

 private:
  Status OpenAll() {
    const DiskWatch::NoWaiting no_waiting;
    store_->upkeep_ = std::make_unique<Worker>("raftkv-upkeep", kMaxQueuedUpkeep);
    store_->log_sink_ = options_.log_sink;
    store_->on_damage_ = options_.on_damage;
    Result<std::unique_ptr<rocksdb::Env>> encrypted =
        EnvOfFolder(*options_.env, options_.dir, options_.encryption_key_file, options_.log_sink);
    if (!encrypted.ok()) return encrypted.status();
    store_->encrypted_ = *std::move(encrypted);
    if (store_->encrypted_ != nullptr) options_.env = store_->encrypted_.get();
    const auto make = [this] {
      return MakeMember(LogOptionsOf(options_), KvOptions(kFirstKvFolder), options_.dir,
                        options_.name, options_.machine_boot);
    };
    Result<Record> record =
        TakeFolder(*options_.env, options_.dir, options_.name, make, store_->lock_);
    if (!record.ok()) return record.status();
    record_ = *std::move(record);
    const std::optional<std::string> wide = WiderModeOf(*options_.env, options_.dir);
    if (wide && options_.log_sink) options_.log_sink(node::LogSeverity::kWarn, *wide);
    if (Status s = FinishRepair(*options_.env, options_.dir); !s.ok()) return s;
    Status opened = record_.damaged == Damaged::kNothing
                        ? OpenDatabases()
                        : Status(Code::kCorruption, "damage was found while it was open");
    if (opened.code() == Code::kCorruption) opened = OpenRepaired(opened);
    if (!opened.ok()) return opened;
    if (Status s = RemoveLeftovers(); !s.ok()) return s;
    return Assemble();
  }

  Status OpenDatabases() {
    Result<std::unique_ptr<LogDb>> log = OpenLog(options_, record_);
    if (!log.ok()) return log.status();
    kv_is_next_ = true;
    const KvEngineOptions kv = KvOptions((*log)->found().live_kv);
    if (Status s = MendManifest(options_, kv.folder, record_); !s.ok()) return s;
    Result<std::shared_ptr<KvEngine>> engine = KvEngine::Open(kv);
    if (!engine.ok()) return engine.status();
    if (Status s = CheckApplied((*engine)->flushed(), (*log)->found()); !s.ok()) return s;
    KvStateMachineOptions machine_options = MachineOptionsOf(options_, *store_->disk_);
    machine_options.on_damage = [store = store_.get()](const Status& what) {
      store->Found(Damaged::kKv, what);
    };
    Result<std::unique_ptr<KvStateMachine>> machine = KvStateMachine::Open(
        *std::move(engine), machine_options, store_->completions_, *store_->upkeep_);
    if (!machine.ok()) return machine.status();
    store_->machine_ = *std::move(machine);
    log_ = *std::move(log);
    return Status::Ok();
  }

  /// Repairs keep what looks sound; what then does not open is not.
  Status OpenRepaired(const Status& damage) {
    Status opened = RepairAfter(damage);
    if (opened.code() != Code::kCorruption || !record_.has_peers) return opened;
    record_.damaged = Damaged::kKv;
    return RepairAfter(opened);
  }

  /// Nothing is open.
  Status RepairAfter(const Status& damage) {
    if (!record_.has_peers) {
      return Status(Code::kCorruption, DamageLine(damage, kNobodyMends));
    }
    if (kv_is_next_) record_.damaged = Damaged::kKv;
    std::string keeps;
    RepairOptions repair{options_.dir, LogOptionsOf(options_), KvOptions("")};
    Result<Record> repaired = Repair(repair, record_, keeps);
    if (!repaired.ok()) return repaired.status();
    record_ = *std::move(repaired);
    Say(DamageLine(damage, keeps.append(", and ").append(kSuspectNow)));
    return OpenDatabases();
  }

  [[nodiscard]] KvEngineOptions KvOptions(const std::string& kv_folder) const {
    KvEngineOptions kv;
    kv.folder = options_.dir + "/" + kv_folder;
    kv.env = options_.env;
    kv.cache_bytes = options_.kv_cache_bytes;
    kv.log_sink = options_.log_sink;
    // Of a pair the second goes first: it stands on the first.
    kv.env_owner =
        std::make_shared<std::pair<std::shared_ptr<DiskWatch>, std::shared_ptr<rocksdb::Env>>>(
            store_->disk_, store_->encrypted_);
    return kv;
  }

  void Say(const std::string& line) {
    ++store_->damaged_;
    Remember(line);
    if (options_.log_sink) options_.log_sink(node::LogSeverity::kError, line);
  }

  void Remember(std::string line) {
    const MutexLock lock(store_->mutex_);
    store_->damage_.push_back(std::move(line));
  }

  Status RemoveLeftovers() {
    // The last checkpoint may have been sent to somebody when this member was killed.
    const Result<std::uint64_t> snapshot =
        LastNumber(*options_.env, options_.dir, kSnapshotFolderPrefix);
    if (!snapshot.ok()) return snapshot.status();
    left_snapshot_ = *snapshot;
    // And this member may have been killed while it received one: it will be sent the rest.
    const std::string& live = log_->found().live_kv;
    const Result<std::uint64_t> last = LastNumber(*options_.env, options_.dir, kKvFolderPrefix);
    if (!last.ok()) return last.status();
    left_intake_ = *last > KvFolderNumber(live) ? *last : 0;
    if (!log_->found().suspect) {
      if (Status s = RemoveSetAside(*options_.env, options_.dir); !s.ok()) return s;
    } else if (store_->damage().empty()) {
      Remember(DamageLine(Status(Code::kCorruption, "an earlier start found that"), kSuspectNow));
    }
    return RemoveUnreferenced(
        *options_.env, options_.dir,
        {live, SnapshotFolderName(left_snapshot_), KvFolderName(left_intake_)});
  }

  Status Assemble() {
    Store& store = *store_;
    node::Boot boot;
    Result<Record> begun = BeginBoot(options_, record_, *log_, boot);
    if (!begun.ok()) return begun.status();
    store.birth_ = BirthOf(log_->found(), boot, store.machine_->applied_at_open());
    LogStoreOptions log_options;
    log_options.env = options_.env;
    log_options.folder = options_.dir;
    log_options.log_sink = options_.log_sink;
    log_options.record_idle = options_.record_idle;
    log_options.observer = options_.observer;
    log_options.on_damage = [&store](const Status& what) { store.Found(Damaged::kLog, what); };
    log_options.on_refilled = [&store] { store.Mended(); };
    log_options.disk = store.disk_.get();
    store.log_ = std::make_unique<LogStore>(std::move(log_options), std::move(log_),
                                            std::move(*begun), store.completions_);
    SnapshotsOptions snapshots{options_.dir,
                               KvOptions(""),
                               options_.kv,
                               options_.log_sink,
                               [&store](const Status& what) { store.Found(Damaged::kKv, what); },
                               left_snapshot_,
                               left_intake_};
    store.snapshots_ = std::make_unique<Snapshots>(std::move(snapshots), *store.log_,
                                                   *store.machine_, store.completions_);
    store.disk_->Start([&store] { store.Reclaim(); },
                       [&store] {
                         store.FlushIfIdle();
                         Status there = store.lock_->CheckInPlace();
                         return there.ok() ? store.log_->CheckRecordInPlace() : there;
                       });
    store.StartScrubber(options_);
    return Status::Ok();
  }

  StoreOptions options_;
  std::unique_ptr<Store> store_;
  Record record_;
  std::unique_ptr<LogDb> log_;
  /// The log database was found to be sound.
  bool kv_is_next_ = false;
  std::uint64_t left_snapshot_ = 0;
  std::uint64_t left_intake_ = 0;
};

Result<std::unique_ptr<Store>> Open(StoreOptions options) {
  RAFTKV_CHECK(options.executor != nullptr);
  if (options.dir.empty()) {
    return Status(Code::kInvalidArgument, "no data folder was named: name one");
  }
  if (options.name.empty()) return Status(Code::kInvalidArgument, "the member has no name");
  while (options.dir.size() > 1 && options.dir.back() == '/') options.dir.pop_back();
  if (options.reserve_bytes > 0 && options.space == nullptr) {
    if (Status s = CheckReserve(options.dir, options.reserve_bytes); !s.ok()) return s;
  }
  if (options.env == nullptr) {
    options.log_keep_bytes = FittingLog(options.dir, options.log_keep_bytes);
    options.env = &RealEnv();
  }
  if (options.machine_boot.empty()) options.machine_boot = ReadMachineBoot();
  return Opener(std::move(options)).Open();
}

}  // namespace raftkv::storage
