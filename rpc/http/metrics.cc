#include "rpc/http/metrics.h"

#include <sstream>

#include <prometheus/text_serializer.h>

#include "lib/base/check.h"

namespace raftkv::rpc {
namespace {

const prometheus::Histogram::BucketBoundaries kSeconds = {
    0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5};

constexpr std::array<const char*, 5> kStageNames = {"log_sync", "replicate", "apply", "total",
                                                    "read_index"};
constexpr std::array<const char*, 5> kRoleNames = {"forming", "follower", "pre_candidate",
                                                   "candidate", "leader"};

double Seconds(Duration took) { return std::chrono::duration<double>(took).count(); }

// Sets the gauges that `now` names and removes all others of the family.
void Replace(prometheus::Family<prometheus::Gauge>& family, const char* label,
             std::map<std::string, prometheus::Gauge*>& gauges,
             const std::map<std::string, double>& now) {
  for (auto it = gauges.begin(); it != gauges.end();) {
    if (now.count(it->first) != 0) {
      ++it;
    } else {
      family.Remove(it->second);
      it = gauges.erase(it);
    }
  }
  for (const auto& [name, value] : now) {
    prometheus::Gauge*& gauge = gauges[name];
    if (gauge == nullptr) gauge = &family.Add({{label, name}});
    gauge->Set(value);
  }
}

}  // namespace

prometheus::Gauge& Metrics::AddGauge(const std::string& name, const std::string& help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry_).Add({});
}

prometheus::Counter& Metrics::AddCounter(const std::string& name, const std::string& help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry_).Add({});
}

Metrics::Metrics(const std::string& name, const std::string& version)
    : wal_sync_seconds_(prometheus::BuildHistogram()
                            .Name("raftkv_wal_sync_seconds")
                            .Help("Duration of one synced write of the log database")
                            .Register(registry_)
                            .Add({}, kSeconds)),
      wal_syncs_(AddCounter("raftkv_wal_syncs_total", "Synced writes of the log database")),
      wal_entries_(AddCounter("raftkv_wal_entries_total", "Log entries in synced writes")),
      wal_bytes_(AddCounter("raftkv_wal_bytes_total", "Bytes of log entries in synced writes")),
      elections_(AddCounter("raftkv_elections_total", "Elections that this member started")),
      snapshot_sent_(AddCounter("raftkv_snapshot_sent_bytes_total",
                                "Bytes of snapshots sent to other members")),
      snapshot_received_(AddCounter("raftkv_snapshot_received_bytes_total",
                                    "Bytes of snapshots received from other members")),
      is_leader_(AddGauge("raftkv_is_leader", "1 if this member is the leader")),
      has_leader_(AddGauge("raftkv_has_leader", "1 if this member knows a leader")),
      term_(AddGauge("raftkv_term", "The current term")),
      commit_index_(AddGauge("raftkv_commit_index", "The highest committed log index")),
      applied_index_(AddGauge("raftkv_applied_index", "The highest applied log index")),
      revision_(AddGauge("raftkv_revision", "The revision of the store")),
      compacted_revision_(
          AddGauge("raftkv_compacted_revision", "Revisions below it are no longer available")),
      log_first_index_(AddGauge("raftkv_log_first_index", "The first index in the log")),
      log_last_index_(AddGauge("raftkv_log_last_index", "The last index in the log")),
      connections_(AddGauge("raftkv_connections", "Open connections from peers and clients")),
      etcd_connections_(
          AddGauge("raftkv_etcd_connections", "Open connections from clients of the etcd API")),
      dropped_(
          AddGauge("raftkv_dropped_peer_messages", "Messages to peers dropped since the start")),
      failed_(AddGauge("raftkv_failed", "1 if this member has stopped for good")),
      suspect_(AddGauge("raftkv_suspect",
                        "1 if the disk of this member was damaged and is being refilled")),
      scrubbed_(
          AddGauge("raftkv_scrubbed_bytes", "Bytes read by the scrubber since the last open")),
      scrub_passes_(
          AddGauge("raftkv_scrub_passes", "Passes completed by the scrubber since the last open")),
      damage_found_(AddGauge("raftkv_damage_found",
                             "How often damage was found on the disk since the last open")),
      disk_full_(AddGauge("raftkv_disk_full",
                          "0: there is space; 1: the disk accepts deletes only; 2: nothing")),
      disk_hangs_(AddGauge("raftkv_disk_hangs", "1 while a write of the log hangs")),
      leader_(prometheus::BuildGauge()
                  .Name("raftkv_leader")
                  .Help("1 for the leader that this member knows")
                  .Register(registry_)),
      peer_match_(prometheus::BuildGauge()
                      .Name("raftkv_peer_match_index")
                      .Help("On the leader: the highest log index known to be durable at a peer")
                      .Register(registry_)) {
  AddLabelled(name, version);
}

void Metrics::AddLabelled(const std::string& name, const std::string& version) {
  auto& stages = prometheus::BuildHistogram()
                     .Name("raftkv_write_stage_seconds")
                     .Help("Time that requests spend in each stage")
                     .Register(registry_);
  for (std::size_t i = 0; i < kStages; ++i) {
    stages_[i] = &stages.Add({{"stage", kStageNames[i]}}, kSeconds);
  }
  auto& proposals = prometheus::BuildCounter()
                        .Name("raftkv_proposals_total")
                        .Help("Write requests completed at this member, by outcome")
                        .Register(registry_);
  for (std::size_t i = 0; i < kCodes; ++i) {
    proposals_[i] = &proposals.Add({{"outcome", std::string(CodeName(static_cast<Code>(i)))}});
  }
  auto& roles = prometheus::BuildGauge()
                    .Name("raftkv_role")
                    .Help("1 for the current role, 0 for the others")
                    .Register(registry_);
  for (std::size_t i = 0; i < kRoles; ++i) {
    roles_[i] = &roles.Add({{"role", kRoleNames[i]}});
  }
  prometheus::BuildGauge()
      .Name("raftkv_info")
      .Help("Always 1; the name and version of this member")
      .Register(registry_)
      .Add({{"name", name}, {"version", version}})
      .Set(1);
}

void Metrics::Observe(node::Stage stage, Duration took) {
  const auto at = static_cast<std::size_t>(stage);
  RAFTKV_CHECK(at < kStages, at);
  const double seconds = Seconds(took);
  stages_[at]->Observe(seconds);
  if (stage == node::Stage::kLogSync) wal_sync_seconds_.Observe(seconds);
}

void Metrics::CountProposal(Code outcome) {
  const auto at = static_cast<std::size_t>(outcome);
  RAFTKV_CHECK(at < kCodes, at);
  proposals_[at]->Increment();
}

void Metrics::CountLogSync(std::size_t entries, std::size_t bytes) {
  wal_syncs_.Increment();
  wal_entries_.Increment(static_cast<double>(entries));
  wal_bytes_.Increment(static_cast<double>(bytes));
}

void Metrics::CountElection() { elections_.Increment(); }

void Metrics::CountSnapshotSent(std::size_t bytes) {
  snapshot_sent_.Increment(static_cast<double>(bytes));
}

void Metrics::CountSnapshotReceived(std::size_t bytes) {
  snapshot_received_.Increment(static_cast<double>(bytes));
}

std::string Metrics::Serialize(const MetricsSnapshot& snapshot) {
  const NodeStatus& node = snapshot.node;
  for (std::size_t i = 0; i < kRoles; ++i) {
    roles_[i]->Set(static_cast<std::size_t>(node.role) == i ? 1 : 0);
  }
  is_leader_.Set(node.role == Role::kLeader ? 1 : 0);
  has_leader_.Set(node.leader.empty() ? 0 : 1);
  term_.Set(static_cast<double>(node.term));
  commit_index_.Set(static_cast<double>(node.commit_index));
  applied_index_.Set(static_cast<double>(node.applied_index));
  revision_.Set(static_cast<double>(node.revision));
  compacted_revision_.Set(static_cast<double>(node.compacted_revision));
  log_first_index_.Set(static_cast<double>(node.log_first_index));
  log_last_index_.Set(static_cast<double>(node.log_last_index));
  connections_.Set(static_cast<double>(snapshot.connections));
  etcd_connections_.Set(static_cast<double>(snapshot.etcd_connections));
  dropped_.Set(static_cast<double>(snapshot.dropped_peer_messages));
  failed_.Set(snapshot.failed ? 1 : 0);
  suspect_.Set(node.suspect ? 1 : 0);
  scrubbed_.Set(static_cast<double>(snapshot.scrubbed_bytes));
  scrub_passes_.Set(static_cast<double>(snapshot.scrub_passes));
  damage_found_.Set(static_cast<double>(snapshot.damage_found));
  disk_full_.Set(static_cast<double>(snapshot.space));
  disk_hangs_.Set(snapshot.disk_hangs ? 1 : 0);
  tls_.Show(snapshot.tls);
  std::map<std::string, double> leader;
  if (!node.leader.empty()) leader[node.leader] = 1;
  Replace(leader_, "leader", leader_gauges_, leader);
  std::map<std::string, double> match;
  for (const auto& [peer, index] : snapshot.peer_match) match[peer] = static_cast<double>(index);
  Replace(peer_match_, "peer", peer_match_gauges_, match);
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, registry_.Collect());
  return out.str();
}

}  // namespace raftkv::rpc
