// How do a member and a client make a backup, and how does a new cluster start from one?
// (raftkv::Node::Backup, raftkv::Client::Backup, ReadBackup, Restore)
#include <future>
#include <set>
#include <utility>

#include <raftkv/backup.h>
#include <raftkv/client.h>

#include "lib/base/address.h"
#include "lib/base/check.h"
#include "lib/base/host_code.h"
#include "lib/node/formation.h"
#include "lib/open/open_node.h"
#include "rpc/client/backup_feed.h"
#include "storage/backup/backup_reader.h"
#include "storage/backup/backup_writer.h"
#include "storage/backup/restore.h"
#include "storage/disk/machine.h"
#include "storage/disk/open_rocksdb.h"
#include "storage/disk/real_fs.h"
#include "storage/snapshot/backup_source.h"

namespace raftkv {

namespace {

using Source = std::shared_ptr<node::BackupSource>;

/// Each keeps the space of what is deleted in the meantime, and reads everything.
constexpr int kMaxBackups = 2;

/// One more backup, for as long as the returned object is held.
std::shared_ptr<void> CountIn(std::shared_ptr<std::atomic<int>> count) {
  ++*count;
  return {nullptr, [count = std::move(count)](auto) { --*count; }};
}

/// `source`, with `counted` for as long as it is held.
Source With(std::shared_ptr<void> counted, Source source) {
  node::BackupSource* const raw = source.get();
  return {raw, [source = std::move(source), counted = std::move(counted)](auto*) mutable {
            source.reset();
            counted.reset();
          }};
}

/// By the rules for host code: one that throws cancels.
BackupProgressCallback ContainedProgress(const BackupProgressCallback& progress) {
  if (!progress) return nullptr;
  return [progress](const BackupProgress& now) {
    bool go_on = false;
    RunHostCode("progress", nullptr, [&] { go_on = progress(now); });
    return go_on;
  };
}

Status InvalidRestore(const std::string& what) { return {Code::kInvalidArgument, what}; }

/// The addresses are normalized.
Status CheckRestore(RestoreOptions& options) {
  if (options.file.empty()) return InvalidRestore("a backup file is needed");
  if (options.data_dir.empty()) return InvalidRestore("a data folder is needed");
  if (options.name.empty()) return InvalidRestore("the name of the member to restore is needed");
  if (options.cluster.empty()) return InvalidRestore("the members of the new cluster are needed");
  for (MemberAddress& member : options.cluster) {
    const Status named = CheckMemberName("a name in the cluster list", member.name);
    if (!named.ok()) return named;
    const Result<HostPort> parsed =
        ParseRemoteAddress("the address of " + Quoted(member.name), member.address);
    if (!parsed.ok()) return parsed.status();
    member.address = ToText(*parsed);
  }
  if (Status listed = node::CheckCluster(options.cluster, options.name); !listed.ok()) {
    return listed;
  }
  std::set<std::string> names;
  for (const MemberAddress& member : options.cluster) {
    names.insert(member.name);
    const bool zones = options.quorum.kind == QuorumOptions::Kind::kZones;
    if (zones && !options.zones.contains(member.name)) {
      return InvalidRestore("zone quorums need the zone of '" + member.name + "': name it");
    }
  }
  for (const auto& [name, zone] : options.zones) {
    if (!names.contains(name))
      return InvalidRestore("the zone of '" + name + "', which is not in the cluster list");
    if (Status bad = CheckMemberName("the zone of '" + name + "'", zone); !bad.ok()) return bad;
  }
  return Status::Ok();
}

}  // namespace

// --- From a member.

void OpenNode::Backup(node::Done<Source> done) {
  const auto refuse = [&](const std::string& why) {
    loop_->RunLater(
        [done = std::move(done), why]() mutable { done(raftkv::Status(Code::kUnavailable, why)); });
  };
  if (!member_) return refuse("this member is starting; try again, or ask another member");
  // Safety: what is left on a damaged disk is not a backup of this cluster.
  if (const auto may = member_->MayAnswerAlone(); !may.ok()) return refuse(may.message());
  if (member_->core()->applied_index() == Index()) return refuse("nothing is applied yet");
  if (*backups_ >= kMaxBackups) {
    return refuse("this member is already serving " + std::to_string(kMaxBackups) +
                  " backups: wait for them, or ask another member");
  }
  // Even if it is dropped unanswered: reopening the store waits for the last one.
  auto made = [this, done = std::move(done), counted = CountIn(backups_)](
                  Result<std::shared_ptr<storage::CheckpointBackup>> made) mutable {
    if (!made.ok()) return done(made.status());
    const Source source = With(counted, *made);
    if (!member_) return done(raftkv::Status(Code::kUnavailable, "this member is shutting down"));
    const NodeStatus status = member_->status();
    node::BackupHead& head = (*made)->head();
    head.cluster = ClusterId(status.cluster_id);
    head.member = NodeId(status.member_id);
    head.member_name = status.name;
    if (auto members = Members(); members.ok()) head.members = *std::move(members);
    done(source);
  };
  store_->MakeBackup(std::move(made));
}

Result<BackupInfo> OpenNode::Backup(const std::string& file, const BackupOptions& options) {
  std::promise<Result<Source>> made;
  auto future = made.get_future();
  loop_->Post([this, made = std::move(made)]() mutable {
    Backup([made = std::move(made)](Result<Source> source) mutable {
      made.set_value(std::move(source));
    });
  });
  Result<Source> source = raftkv::Status(Code::kCancelled, "the member was closed");
  try {
    source = future.get();
  } catch (const std::future_error&) {  // the loop has ended
  }
  if (!source.ok()) return source.status();
  rpc::LoopBackupFeed feed(*loop_, *std::move(source), [this, opened = opens_.load()] {
    return closing_.load() || opens_.load() != opened;
  });
  rocksdb::Env* const env = internals_.env == nullptr ? &storage::RealEnv() : internals_.env;
  const std::string& key_file = options.encryption_key_file.empty() ? options_.encryption_key_file
                                                                    : options.encryption_key_file;
  return storage::WriteBackup(*env, file, feed, key_file, ContainedProgress(options.progress));
}

// --- From a client.

Result<BackupInfo> Client::Backup(const std::string& file, const BackupOptions& options) {
  if (auto clock = storage::CheckWallClock(); !clock.ok()) return clock;
  const auto feed = BeginBackup(options.timeout);
  if (!feed.ok()) return feed.status();
  return storage::WriteBackup(storage::RealEnv(), file, **feed, options.encryption_key_file,
                              ContainedProgress(options.progress));
}

// --- Without a member.

Result<BackupInfo> ReadBackup(const std::string& file, const BackupProgressCallback& progress,
                              const std::string& encryption_key_file) {
  if (Status may = MayBlock("ReadBackup"); !may.ok()) return may;
  return storage::ReadBackupFile(storage::RealEnv(), file, encryption_key_file, nullptr,
                                 ContainedProgress(progress));
}

Result<BackupInfo> Restore(const RestoreOptions& given) {
  if (Status may = MayBlock("Restore"); !may.ok()) return may;
  RestoreOptions options = given;
  if (Status status = CheckRestore(options); !status.ok()) return status;
  storage::RestorePlan plan;
  plan.file = options.file;
  plan.dir = options.data_dir;
  plan.name = options.name;
  for (const MemberAddress& member : options.cluster) {
    const auto zone = options.zones.find(member.name);
    raft::Member voter;
    voter.name = member.name;
    voter.address = member.address;
    if (zone != options.zones.end()) voter.zone = zone->second;
    plan.members.push_back(std::move(voter));
  }
  plan.quorum = RuleOf(options.quorum);
  plan.progress = ContainedProgress(options.progress);
  plan.key_file = options.encryption_key_file;
  // On this thread, which gets the progress callbacks.
  return OpenOrUnavailable([&]() -> Result<BackupInfo> {
    if (Status ready = storage::PrepareRocksdb(); !ready.ok()) return ready;
    return storage::RestoreMember(storage::RealEnv(), std::move(plan));
  });
}

}  // namespace raftkv
