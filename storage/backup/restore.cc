#include "storage/backup/restore.h"

#include <xxhash.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "lib/base/bytes.h"
#include "lib/base/check.h"
#include "lib/kv/restore.h"
#include "lib/raft/configuration.h"
#include "storage/backup/backup_reader.h"
#include "storage/disk/files.h"
#include "storage/folder/data_folder.h"
#include "storage/folder/folder_key.h"
#include "storage/kv/kv_engine.h"
#include "storage/log/log_db.h"

namespace raftkv::storage {

namespace {

/// Until the record takes its place.
constexpr std::string_view kMarkContent = "raftkv restore 1\n";
/// Where the database of a backup of format 1 stands while it is converted.
constexpr std::string_view kFormat1Folder = "kv-format-1";

/// Ids are never 0.
std::uint64_t IdOf(const std::string& text) {
  return std::max<std::uint64_t>(XXH3_64bits(text.data(), text.size()), 1);
}

void AppendText(std::string& out, const std::string& text) {
  AppendBigEndian32(out, static_cast<std::uint32_t>(text.size()));
  out.append(text);
}

/// What is in the folder that is to be restored.
struct Found {
  bool folder = false;     ///< it exists
  bool lock = false;       ///< and holds a LOCK
  bool cut_short = false;  ///< an earlier restore was not ended
};

/// Whether a restore leaves `name` when it is cut short.
bool IsOfRestore(std::string_view name) {
  return name == kRestoringName || name == kFirstKvFolder || name == kFormat1Folder ||
         name == kLogFolder || IsOfNoMember(name);
}

/// PermissionDenied: the folder is not missing, empty, or what an earlier restore left.
Result<Found> CheckVacant(rocksdb::Env& env, const std::string& dir) {
  const Result<std::optional<std::vector<std::string>>> names = ListFolder(env, dir);
  if (!names.ok()) return names.status();
  if (!names->has_value()) {
    const rocksdb::Status exists = env.FileExists(dir);
    if (exists.IsNotFound()) return Found{};
    return exists.ok() ? Status(Code::kPermissionDenied, dir + " is a file: name a new folder")
                       : ToStatus(exists, "look at " + dir);
  }
  const std::vector<std::string>& there = **names;
  const auto holds = [&](std::string_view name) {
    return std::find(there.begin(), there.end(), name) != there.end();
  };
  const Found found{.folder = true, .lock = holds(kLockName), .cut_short = holds(kRestoringName)};
  const auto other = std::find_if_not(there.begin(), there.end(), [&](const std::string& name) {
    return found.cut_short ? IsOfRestore(name) : IsOfNoMember(name);
  });
  if (other == there.end()) return found;
  return Status(Code::kPermissionDenied, "data folder " + dir + " holds '" + *other +
                                             "' already: name a new or empty folder");
}

/// Removes what a restore makes; the mark goes last.
Status RemoveRestored(rocksdb::Env& env, const std::string& dir) {
  for (const std::string& name :
       {std::string(kFirstKvFolder), std::string(kFormat1Folder), std::string(kLogFolder),
        TemporaryName(kRecordName), TemporaryName(kRestoringName)}) {
    if (Status s = RemoveTree(env, dir + "/" + name); !s.ok()) return s;
  }
  if (Status s = SyncFolder(env, dir); !s.ok()) return s;
  return RemoveTree(env, dir + "/" + kRestoringName);
}

/// Leaves `dir` as it was found, but for what an earlier restore had left.
void Undo(rocksdb::Env& env, const std::string& dir, const Found& found) {
  // Its last step was taken; only whether that is durable is open.
  if (env.FileExists(dir + "/" + kRecordName).ok()) return;
  if (!RemoveRestored(env, dir).ok()) return;
  if (!found.lock) env.DeleteFile(dir + "/" + kLockName).PermitUncheckedError();
  if (!found.folder) env.DeleteDir(dir).PermitUncheckedError();
}

/// Builds the folder out of what is read.
class FolderBuilder final : public BackupTaker {
 public:
  FolderBuilder(rocksdb::Env& env, const RestorePlan& plan, std::string folder)
      : env_(env), plan_(plan), folder_(std::move(folder)) {}

  Status Begin(const BackupManifest& manifest) override {
    base_ = {manifest.head.index, manifest.head.term};
    Result<raft::Configuration> cluster =
        NewCluster(manifest.backup_id, plan_.members, plan_.quorum);
    if (!cluster.ok()) return cluster.status();
    cluster_ = *std::move(cluster);
    return MakeFolder(env_, KvFolder());
  }

  Status BeginFile(const ManifestFile& file) override {
    Result<std::unique_ptr<ByteSink>> sink = OpenFileSink(env_, KvFolder() + "/" + file.name);
    if (!sink.ok()) return sink.status();
    sink_ = *std::move(sink);
    return Status::Ok();
  }
  Status Write(std::string_view bytes) override { return sink_->Write(bytes); }
  Status EndFile() override {
    const Status finished = sink_->Finish();
    sink_.reset();
    return finished;
  }

  /// All files are here, and the backup is whole. Ok: the folder is valid, and durable.
  Status Finish() {
    if (Status synced = SyncFolder(env_, KvFolder()); !synced.ok()) return synced;
    Result<std::shared_ptr<KvEngine>> engine = KvEngine::OpenReadOnly(KvOptions());
    const bool is_format_1 = engine.code() == Code::kVersionMismatch;
    if (is_format_1) engine = KvEngine::OpenFormat1(KvOptions());
    if (!engine.ok()) return engine.status();
    if (Status checked = CheckState(**engine); !checked.ok()) return checked;
    engine->reset();
    if (Status made = is_format_1 ? Convert() : Status::Ok(); !made.ok()) return made;
    if (Status begun = BeginStore(); !begun.ok()) return begun;
    const auto self = std::find_if(cluster_.members.begin(), cluster_.members.end(),
                                   [&](const raft::Member& m) { return m.name == plan_.name; });
    RAFTKV_CHECK(self != cluster_.members.end(), plan_.name);
    LogDbOptions log;
    log.folder = folder_ + "/" + kLogFolder;
    log.env = &env_;
    log.log_sink = plan_.log_sink;
    if (Status made = MakeFolder(env_, log.folder); !made.ok()) return made;
    const Bytes configuration = raft::EncodeConfiguration(cluster_);
    const LogStart start{{base_, base_.index, configuration}, configuration};
    const Identity identity{self->id, cluster_.cluster, plan_.name};
    if (Status made = LogDb::Create(log, identity, kFirstKvFolder, start); !made.ok()) return made;
    Record record;
    record.complete = true;
    record.clean_close = true;
    record.member = self->id;
    record.cluster = cluster_.cluster;
    record.name = plan_.name;
    record.batch_number = 1;
    record.durable_index = base_.index;
    record.has_peers = cluster_.members.size() > 1;
    record.term = base_.term;
    if (Status s = ReplaceFile(env_, folder_, kRestoringName, EncodeRecord(record)); !s.ok()) {
      return s;
    }
    const std::string mark = folder_ + "/" + kRestoringName;
    const rocksdb::Status renamed = env_.RenameFile(mark, folder_ + "/" + kRecordName);
    if (!renamed.ok()) return ToStatus(renamed, "rename " + mark);
    return SyncFolder(env_, folder_);
  }

 private:
  [[nodiscard]] std::string KvFolder() const { return folder_ + "/" + kFirstKvFolder; }

  [[nodiscard]] KvEngineOptions KvOptions() const {
    KvEngineOptions options;
    options.folder = KvFolder();
    options.env = &env_;
    options.log_sink = plan_.log_sink;
    return options;
  }

  /// Does the database hold what the manifest says?
  Status CheckState(KvEngine& engine) const {
    const Result<kv::Position> position = engine.Applied();
    if (!position.ok()) return position.status();
    if (position->index == base_.index && position->term == base_.term) return Status::Ok();
    return Status(Code::kCorruption, plan_.file + ": its database is at entry " +
                                         std::to_string(position->index.value) + " instead of " +
                                         std::to_string(base_.index.value));
  }

  /// Puts one of today in the place of a database of format 1.
  Status Convert() const {
    KvEngineOptions old = KvOptions();
    old.folder = folder_ + "/" + std::string(kFormat1Folder);
    const rocksdb::Status renamed = env_.RenameFile(KvFolder(), old.folder);
    if (!renamed.ok()) return ToStatus(renamed, "rename " + KvFolder());
    if (Status made = MakeFolder(env_, KvFolder()); !made.ok()) return made;
    if (Status made = KvEngine::Create(KvOptions()); !made.ok()) return made;
    const Result<std::shared_ptr<KvEngine>> engine = KvEngine::Open(KvOptions());
    if (!engine.ok()) return engine.status();
    const Result<std::shared_ptr<KvEngine>> from = KvEngine::OpenFormat1(old);
    if (!from.ok()) return from.status();
    Status converted = kv::ConvertFormat1(*(*from)->NewView(kv::ReadTier::kAll), **engine);
    if (converted.code() == Code::kCorruption) {
      converted = Status(Code::kCorruption, plan_.file + ": " + converted.message());
    }
    if (converted.ok()) converted = (*engine)->Close();
    return converted.ok() ? RemoveTree(env_, old.folder) : converted;
  }

  /// Makes it the beginning of a new store.
  Status BeginStore() const {
    const Result<std::shared_ptr<KvEngine>> engine = KvEngine::Open(KvOptions());
    if (!engine.ok()) return engine.status();
    if (Status begun = kv::BeginFromBackup(**engine); !begun.ok()) {
      if (begun.code() != Code::kCorruption) return begun;
      return Status(Code::kCorruption, plan_.file + ": " + begun.message());
    }
    return (*engine)->Close();
  }

  rocksdb::Env& env_;
  const RestorePlan& plan_;
  const std::string folder_;
  raft::LogBase base_;
  raft::Configuration cluster_;
  std::unique_ptr<ByteSink> sink_;
};

/// Builds `plan.dir`, which is locked and holds nothing but the mark.
Result<BackupInfo> Build(rocksdb::Env& env, rocksdb::Env& folder_env, const RestorePlan& plan) {
  FolderBuilder builder(folder_env, plan, plan.dir);
  Result<BackupInfo> info = ReadBackupFile(env, plan.file, plan.key_file, &builder, plan.progress);
  if (!info.ok()) return info;
  if (Status finished = builder.Finish(); !finished.ok()) return finished;
  return info;
}

}  // namespace

Result<raft::Configuration> NewCluster(std::uint64_t backup_id, std::vector<raft::Member> members,
                                       const raft::QuorumRule& quorum) {
  std::sort(members.begin(), members.end(),
            [](const raft::Member& a, const raft::Member& b) { return a.name < b.name; });
  std::string text = "raftkv restored cluster";
  AppendBigEndian64(text, backup_id);
  for (const std::uint64_t number :
       {std::uint64_t{static_cast<unsigned char>(quorum.kind)}, std::uint64_t{quorum.commit},
        std::uint64_t{quorum.election}}) {
    AppendBigEndian64(text, number);
  }
  for (const raft::Member& member : members) {
    AppendText(text, member.name);
    AppendText(text, member.address);
    AppendText(text, member.zone);
  }
  raft::Configuration configuration;
  configuration.cluster = ClusterId(IdOf(text));
  configuration.quorum = quorum;
  for (raft::Member& member : members) {
    std::string of_member = "raftkv restored member";
    AppendBigEndian64(of_member, configuration.cluster.value);
    AppendText(of_member, member.name);
    member.id = NodeId(IdOf(of_member));
  }
  std::sort(members.begin(), members.end(),
            [](const raft::Member& a, const raft::Member& b) { return a.id < b.id; });
  configuration.members = std::move(members);
  if (Status safe = raft::CheckConfiguration(configuration); !safe.ok()) return safe;
  return configuration;
}

Result<BackupInfo> RestoreMember(rocksdb::Env& env, RestorePlan plan) {
  while (plan.dir.size() > 1 && plan.dir.back() == '/') plan.dir.pop_back();
  const Result<Found> found = CheckVacant(env, plan.dir);
  if (!found.ok()) return found.status();
  // Before anything is made: a cluster that cannot be, and a file that is not there.
  const Result<raft::Configuration> possible = NewCluster(0, plan.members, plan.quorum);
  if (!possible.ok()) return possible.status();
  if (Status there = CheckFileSource(env, plan.file); !there.ok()) return there;
  const Result<std::unique_ptr<rocksdb::Env>> encrypted =
      EnvOfFolder(env, plan.dir, plan.key_file, plan.log_sink);
  if (!encrypted.ok()) return encrypted.status();

  if (Status made = MakeFolder(env, plan.dir); !made.ok()) return made;
  Result<std::unique_ptr<FolderLock>> lock = FolderLock::Take(env, plan.dir);
  if (!lock.ok()) return lock.status();
  // Somebody may have put something there before it was locked.
  if (const Result<Found> now = CheckVacant(env, plan.dir); !now.ok()) return now.status();
  if (Status removed = RemoveRestored(env, plan.dir); !removed.ok()) return removed;
  Status marked = ReplaceFile(env, plan.dir, kRestoringName, std::string(kMarkContent));
  Result<BackupInfo> info = marked;
  if (marked.ok()) info = Build(env, *encrypted ? **encrypted : env, plan);
  if (!info.ok()) Undo(env, plan.dir, *found);
  return info;
}

}  // namespace raftkv::storage
