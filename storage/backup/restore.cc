#include "storage/backup/restore.h"

#include <xxhash.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "lib/base/bytes.h"
#include "lib/base/check.h"
#include "lib/raft/configuration.h"
#include "storage/backup/backup_reader.h"
#include "storage/disk/files.h"
#include "storage/folder/data_folder.h"
#include "storage/folder/folder_key.h"
#include "storage/kv/kv_engine.h"
#include "storage/log/log_db.h"

namespace raftkv::storage {

namespace {

/// Ids are never 0.
std::uint64_t IdOf(const std::string& text) {
  return std::max<std::uint64_t>(XXH3_64bits(text.data(), text.size()), 1);
}

void AppendText(std::string& out, const std::string& text) {
  AppendBigEndian32(out, static_cast<std::uint32_t>(text.size()));
  out.append(text);
}

/// Missing, or empty but for what file systems put into their roots.
Status CheckVacant(rocksdb::Env& env, const std::string& dir) {
  const Result<std::optional<std::vector<std::string>>> names = ListFolder(env, dir);
  if (!names.ok()) return names.status();
  if (!names->has_value()) {
    const rocksdb::Status exists = env.FileExists(dir);
    if (exists.IsNotFound()) return Status::Ok();
    return exists.ok() ? Status(Code::kPermissionDenied, dir + " is a file: name a new folder")
                       : ToStatus(exists, "look at " + dir);
  }
  if ((*names)->empty()) return Status::Ok();
  return Status(Code::kPermissionDenied, "data folder " + dir + " holds '" + (*names)->front() +
                                             "' already: name a new or empty folder");
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

  /// All files are here, and the backup is whole.
  Status Finish() {
    if (Status synced = SyncFolder(env_, KvFolder()); !synced.ok()) return synced;
    if (Status checked = CheckState(); !checked.ok()) return checked;
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
    return WriteRecord(env_, folder_, record);
  }

 private:
  [[nodiscard]] std::string KvFolder() const { return folder_ + "/" + kFirstKvFolder; }

  /// Does the database hold what the manifest says?
  Status CheckState() const {
    KvEngineOptions options;
    options.folder = KvFolder();
    options.env = &env_;
    options.log_sink = plan_.log_sink;
    const Result<kv::Position> position = KvEngine::AppliedOf(options);
    if (!position.ok()) return position.status();
    if (position->index == base_.index && position->term == base_.term) return Status::Ok();
    return Status(Code::kCorruption, plan_.file + ": its database is at entry " +
                                         std::to_string(position->index.value) + " instead of " +
                                         std::to_string(base_.index.value));
  }

  rocksdb::Env& env_;
  const RestorePlan& plan_;
  const std::string folder_;
  raft::LogBase base_;
  raft::Configuration cluster_;
  std::unique_ptr<ByteSink> sink_;
};

/// Takes `folder`, which is nobody else's, and removes what an earlier attempt left in it.
Result<std::unique_ptr<FolderLock>> TakeEmptied(rocksdb::Env& env, const std::string& folder) {
  if (Status made = MakeFolder(env, folder); !made.ok()) return made;
  Result<std::unique_ptr<FolderLock>> lock = FolderLock::Take(env, folder);
  if (!lock.ok()) return lock.status();
  const Result<std::optional<std::vector<std::string>>> names = ListFolder(env, folder);
  if (!names.ok()) return names.status();
  for (const std::string& name : names->value_or(std::vector<std::string>())) {
    if (name == kLockName) continue;
    const std::string path = folder + "/" + name;
    bool is_folder = false;
    const rocksdb::Status looked = env.IsDirectory(path, &is_folder);
    if (!looked.ok()) return ToStatus(looked, "look at " + path);
    const Status removed =
        is_folder ? RemoveTree(env, path) : ToStatus(env.DeleteFile(path), "remove " + path);
    if (!removed.ok()) return removed;
  }
  return lock;
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

std::string RestoringFolder(const std::string& dir) { return dir + ".restoring"; }

Result<BackupInfo> RestoreMember(rocksdb::Env& env, RestorePlan plan) {
  while (plan.dir.size() > 1 && plan.dir.back() == '/') plan.dir.pop_back();
  if (Status vacant = CheckVacant(env, plan.dir); !vacant.ok()) return vacant;
  // Before anything is made: a cluster that cannot be, and a file that is not there.
  const Result<raft::Configuration> possible = NewCluster(0, plan.members, plan.quorum);
  if (!possible.ok()) return possible.status();
  if (Status there = CheckFileSource(env, plan.file); !there.ok()) return there;
  const Result<std::unique_ptr<rocksdb::Env>> encrypted =
      EnvOfFolder(env, plan.dir, plan.key_file, plan.log_sink);
  if (!encrypted.ok()) return encrypted.status();

  const std::string building = RestoringFolder(plan.dir);
  Result<std::unique_ptr<FolderLock>> lock = TakeEmptied(env, building);
  if (!lock.ok()) return lock.status();
  FolderBuilder builder(*encrypted ? **encrypted : env, plan, building);
  Result<BackupInfo> info = ReadBackupFile(env, plan.file, plan.key_file, &builder, plan.progress);
  Status status = info.status();
  if (status.ok()) status = builder.Finish();
  // Somebody may have put something there meanwhile.
  if (status.ok()) status = CheckVacant(env, plan.dir);
  if (status.ok()) status = ToStatus(env.RenameFile(building, plan.dir), "rename " + building);
  if (!status.ok()) {
    static_cast<void>(RemoveTree(env, building));
    return status;
  }
  if (Status synced = SyncFolder(env, ParentOf(plan.dir)); !synced.ok()) return synced;
  return info;
}

}  // namespace raftkv::storage
