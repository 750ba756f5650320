// The verbs that keep a cluster's content in a file, and begin a new cluster with it: snapshot
// save, status, restore.
#include <malloc.h>
#include <signal.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <raftkv/backup.h>

#include "cmd/flags.h"
#include "cmd/output.h"
#include "cmd/progress.h"
#include "storage/disk/machine.h"

namespace raftkv::cmd {
namespace {

struct SnapshotFlags {
  std::string file;
  // Of restore.
  std::string data_dir;
  std::string name;
  std::string cluster;
  std::string quorum = "majority";
  std::string zones;
  std::string encryption_key_file;
};

Json InfoJson(const BackupInfo& info) {
  Json members = Json::array();
  for (const ClusterMember& member : info.members) {
    members.push_back({{"id", member.id},
                       {"name", member.name},
                       {"address", member.address},
                       {"zone", member.zone},
                       {"role", MemberRoleName(member.role)}});
  }
  return {{"index", info.index},
          {"term", info.term},
          {"keys", info.keys},
          {"content_hash", info.content_hash},
          {"data_bytes", info.data_bytes},
          {"file_bytes", info.file_bytes},
          {"backup_id", info.backup_id},
          {"created_ms", info.created_ms},
          {"cluster_id", info.cluster_id},
          {"member_id", info.member_id},
          {"member", info.member},
          {"members", std::move(members)}};
}

Exit ShowInfo(const BackupInfo& info, const ClientFlags& flags) {
  const std::vector<std::string> cells = {std::to_string(info.index),
                                          std::to_string(info.term),
                                          std::to_string(info.keys),
                                          ShowBytesOf(info.data_bytes),
                                          ShowBytesOf(info.file_bytes),
                                          fmt::format("{:016x}", info.content_hash),
                                          info.member,
                                          fmt::format("{:016x}", info.cluster_id)};
  switch (flags.format()) {
    case Format::kSimple: PrintLine(fmt::format("{}", fmt::join(cells, ", "))); break;
    case Format::kJson: PrintLine(Dump(InfoJson(info))); break;
    case Format::kTable:
      PrintTable(
          {"INDEX", "TERM", "KEYS", "DATA SIZE", "FILE SIZE", "CONTENT HASH", "MEMBER", "CLUSTER"},
          {cells});
      break;
  }
  return FinishOutput();
}

// What was done, or in JSON what the backup is.
Exit ShowDone(const std::string& done, const BackupInfo& info, const ClientFlags& flags) {
  if (flags.format() != Format::kSimple) return ShowInfo(info, flags);
  PrintLine(done);
  return FinishOutput();
}

// Of a file, or a folder, here.
Exit FailFile(const Status& status) {
  if (StopFlag::Stopped()) return Fail(Exit::kError, "stopped; nothing is left behind");
  return Fail(Exit::kFileError, status.message());
}

Exit FailSave(const Status& status) {
  switch (status.code()) {
    case Code::kIOError:
    case Code::kNoSpace: return FailFile(status);
    // A member answered.
    case Code::kCancelled:
    case Code::kUnavailable:
    case Code::kCorruption:
      if (StopFlag::Stopped()) return FailFile(status);
      return Fail(Exit::kServerRefused, status.message());
    default: return Fail(status);
  }
}

/// The parts of a backup are larger than what malloc would give back to the system at once: getting
/// that memory again and again costs a page fault every 4 KiB, a fifth of all work here.
void KeepFreedMemory() {
  constexpr int kPartBytes = 4 << 20;
  constexpr int kKeptBytes = 64 << 20;
  mallopt(M_MMAP_THRESHOLD, kPartBytes);
  mallopt(M_TRIM_THRESHOLD, kKeptBytes);
}

Exit RunSave(const ClientFlags& flags, const SnapshotFlags& snapshot) {
  KeepFreedMemory();
  if (const Status clock = storage::CheckWallClock(); !clock.ok())
    return Fail(Exit::kError, clock.message());
  signal(SIGPIPE, SIG_IGN);  // whoever reads FILE may go away, which is an error like a full disk
  auto client = Connect(flags);
  if (!client.ok()) return Fail(Exit::kBadArguments, client.status().message());
  const StopFlag stop;
  BackupOptions options;
  options.timeout = flags.timeout.value;
  options.encryption_key_file = snapshot.encryption_key_file;
  const auto saved = [&] {
    ProgressBar bar("saving");
    options.progress = bar.Callback();
    return (*client)->Backup(snapshot.file, options);
  }();
  if (!saved.ok()) return FailSave(saved.status());
  if (snapshot.file == "-") return Exit::kOk;  // stdout is the backup
  return ShowDone(
      fmt::format("Snapshot of {} at index {} saved at {}: {} keys, {}", saved->member,
                  saved->index, snapshot.file, saved->keys, ShowBytesOf(saved->file_bytes)),
      *saved, flags);
}

Exit RunStatus(const ClientFlags& flags, const SnapshotFlags& snapshot) {
  const StopFlag stop;
  const auto info = [&] {
    ProgressBar bar("verifying");
    return ReadBackup(snapshot.file, bar.Callback(), snapshot.encryption_key_file);
  }();
  return info.ok() ? ShowInfo(*info, flags) : FailFile(info.status());
}

Result<std::map<std::string, std::string>> ParseZones(const std::string& text) {
  std::map<std::string, std::string> zones;
  if (text.empty()) return zones;
  for (const std::string& part : CLI::detail::split(text, ',')) {
    const auto equals = part.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == part.size()) {
      return Status(Code::kInvalidArgument, fmt::format("--zones: '{}' is not NAME=ZONE", part));
    }
    zones[part.substr(0, equals)] = part.substr(equals + 1);
  }
  return zones;
}

Exit RunRestore(const ClientFlags& flags, const SnapshotFlags& snapshot) {
  RestoreOptions options;
  options.file = snapshot.file;
  options.data_dir = snapshot.data_dir;
  options.encryption_key_file = snapshot.encryption_key_file;
  options.name = snapshot.name;
  auto cluster = ParseCluster(snapshot.cluster);
  if (!cluster.ok()) return Fail(Exit::kBadArguments, cluster.status().message());
  options.cluster = *std::move(cluster);
  const auto quorum = ParseQuorum(snapshot.quorum);
  if (!quorum.ok()) return Fail(Exit::kBadArguments, quorum.status().message());
  options.quorum = *quorum;
  auto zones = ParseZones(snapshot.zones);
  if (!zones.ok()) return Fail(Exit::kBadArguments, zones.status().message());
  options.zones = *std::move(zones);
  const StopFlag stop;
  const auto restored = [&] {
    ProgressBar bar("restoring");
    options.progress = bar.Callback();
    return Restore(options);
  }();
  if (restored.code() == Code::kInvalidArgument) {
    return Fail(Exit::kBadArguments, restored.status().message());
  }
  if (!restored.ok()) return FailFile(restored.status());
  return ShowDone(
      fmt::format("Restored {} keys at index {} for {} to {}; once all members are restored start "
                  "it: raftkv serve --name {} --data-dir {} --listen HOST:PORT",
                  restored->keys, restored->index, snapshot.name, snapshot.data_dir, snapshot.name,
                  snapshot.data_dir),
      *restored, flags);
}

using RunWithFile = Exit (*)(const ClientFlags&, const SnapshotFlags&);

CLI::App* AddVerb(Program& program, CLI::App& parent, const std::string& verb_name,
                  const std::string& help, const std::shared_ptr<SnapshotFlags>& flags,
                  RunWithFile run) {
  CLI::App* verb = program.AddClientVerb(parent, verb_name, help);
  verb->add_option("FILE", flags->file, "backup file (.tar.zst)")->required();
  verb->add_option("--encryption-key-file", flags->encryption_key_file,
                   "key that encrypts the backup and whatever is restored from it")
      ->envname("RAFTKV_ENCRYPTION_KEY_FILE")
      ->type_name("FILE");
  verb->callback([&program, flags, run] {
    program.run = [&client = program.client, flags, run] { return run(client, *flags); };
  });
  return verb;
}

}  // namespace

void AddSnapshotVerbs(Program& program) {
  CLI::App* snapshot = program.AddClientVerb(
      program.app, "snapshot", "save and verify backups, and restore them as new clusters");
  snapshot->require_subcommand(0, 1);
  auto flags = std::make_shared<SnapshotFlags>();
  AddVerb(program, *snapshot, "save",
          "save a backup to FILE (-: stdout), from the first of --endpoints that answers", flags,
          RunSave);
  AddVerb(program, *snapshot, "status", "verify a backup and show what it holds", flags, RunStatus);
  CLI::App* restore = AddVerb(program, *snapshot, "restore",
                              "create the data folder of one member of a new cluster from a backup",
                              flags, RunRestore);
  restore
      ->add_option("--data-dir", flags->data_dir,
                   "data folder to create; must be empty or not exist")
      ->required();
  restore->add_option("--name", flags->name, "name of the member of --cluster to restore")
      ->required();
  restore
      ->add_option(
          "--cluster", flags->cluster,
          "all members of the new cluster, n1=HOST:PORT,...; the same list for every member")
      ->required();
  restore
      ->add_option("--quorum", flags->quorum,
                   "quorum of the new cluster, as for serve; the same for every member")
      ->capture_default_str();
  restore->add_option(
      "--zones", flags->zones,
      "zones of all members, n1=ZONE,..., for --quorum zones; the same list for every member");
}

}  // namespace raftkv::cmd
