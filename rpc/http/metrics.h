// What can be measured about a node? (docs/metrics.md names every metric)
//
// One registry per node, nothing global. Counters and histograms are updated as things happen,
// gauges are set from a snapshot at each scrape.
#pragma once

#include <array>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <raftkv/node.h>

#include "lib/node/ports.h"
#include "rpc/http/tls_metrics.h"

namespace raftkv::rpc {

/// Taken on the loop at each scrape.
struct MetricsSnapshot {
  NodeStatus node;
  /// The leader's view of the others; empty elsewhere.
  std::vector<std::pair<std::string, std::uint64_t>> peer_match;
  std::uint64_t connections = 0;
  std::uint64_t etcd_connections = 0;
  std::uint64_t dropped_peer_messages = 0;
  bool failed = false;
  // About the data folder, since it was last opened.
  std::uint64_t scrubbed_bytes = 0;
  std::uint64_t scrub_passes = 0;
  std::uint64_t damage_found = 0;
  raft::Space space = raft::Space::kEnough;
  bool disk_hangs = false;
  TlsSnapshot tls = {};
};

/// Used on the loop only.
class Metrics final : public node::Observer {
 public:
  Metrics(const std::string& name, const std::string& version);

  void Observe(node::Stage stage, Duration took) override;
  void CountProposal(Code outcome) override;
  void CountLogSync(std::size_t entries, std::size_t bytes) override;
  void CountElection() override;
  void CountSnapshotSent(std::size_t bytes) override;
  void CountSnapshotReceived(std::size_t bytes) override;

  /// The Prometheus text format.
  std::string Serialize(const MetricsSnapshot& snapshot);

 private:
  static constexpr std::size_t kStages = 5;
  static constexpr std::size_t kCodes = 16;
  static constexpr std::size_t kRoles = 5;

  prometheus::Gauge& AddGauge(const std::string& name, const std::string& help);
  prometheus::Counter& AddCounter(const std::string& name, const std::string& help);
  /// Those with a fixed set of labels.
  void AddLabelled(const std::string& name, const std::string& version);

  prometheus::Registry registry_;
  TlsMetrics tls_{registry_};
  std::array<prometheus::Histogram*, kStages> stages_{};
  prometheus::Histogram& wal_sync_seconds_;
  prometheus::Counter& wal_syncs_;
  prometheus::Counter& wal_entries_;
  prometheus::Counter& wal_bytes_;
  prometheus::Counter& elections_;
  prometheus::Counter& snapshot_sent_;
  prometheus::Counter& snapshot_received_;
  std::array<prometheus::Counter*, kCodes> proposals_{};

  std::array<prometheus::Gauge*, kRoles> roles_{};
  prometheus::Gauge& is_leader_;
  prometheus::Gauge& has_leader_;
  prometheus::Gauge& term_;
  prometheus::Gauge& commit_index_;
  prometheus::Gauge& applied_index_;
  prometheus::Gauge& revision_;
  prometheus::Gauge& compacted_revision_;
  prometheus::Gauge& log_first_index_;
  prometheus::Gauge& log_last_index_;
  prometheus::Gauge& connections_;
  prometheus::Gauge& etcd_connections_;
  prometheus::Gauge& dropped_;
  prometheus::Gauge& failed_;
  prometheus::Gauge& suspect_;
  prometheus::Gauge& scrubbed_;
  prometheus::Gauge& scrub_passes_;
  prometheus::Gauge& damage_found_;
  prometheus::Gauge& disk_full_;
  prometheus::Gauge& disk_hangs_;
  prometheus::Family<prometheus::Gauge>& leader_;
  prometheus::Family<prometheus::Gauge>& peer_match_;
  std::map<std::string, prometheus::Gauge*> leader_gauges_;
  std::map<std::string, prometheus::Gauge*> peer_match_gauges_;
};

}  // namespace raftkv::rpc
