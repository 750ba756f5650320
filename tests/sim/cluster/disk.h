// What of a member survives a crash?
//
// Writes that are not synced are kept with what they replaced, so that a crash can take them back.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "lib/base/random.h"
#include "lib/node/member.h"
#include "lib/node/ports.h"
#include "lib/raft/types.h"
#include "tests/sim/cluster/engine.h"

namespace raftkv::sim {

class SimDisk {
 public:
  // --- Identity; each of its writes is synced.
  NodeId member;
  ClusterId cluster;
  Bytes formation;
  node::Boot boot;
  std::map<NodeId, node::PeerBoot> peer_boots;

  // --- The state machine.
  SimEngine engine;
  /// What of it survives a crash.
  Index flushed;
  void Flush(Index applied) {
    engine.Flush();
    flushed = applied;
  }

  /// What has been received of a snapshot.
  struct Unfinished {
    raft::SnapshotMeta snapshot;
    std::uint64_t id = 0;
    std::string bytes;
  };
  Unfinished unfinished;

  /// Entries that cannot be read any more.
  std::set<Index> damaged;
  /// Something that was durable was lost, but not term and vote.
  bool suspect = false;
  /// Opens what is damaged: cuts the log before it, or begins anew where that was applied, and the
  /// store is suspect.
  void CutDamage();

  /// `durable`: it was synced, and so is everything before it.
  void Write(const node::LogWrite& write, bool durable);
  void Form(ClusterId id, Bytes payload);
  /// The log begins anew after the snapshot; the caller replaces the engine's content.
  void Install(const raft::SnapshotMeta& snapshot, const node::LogWrite& write);
  /// Entries up to `through` go.
  void Compact(Index through);
  /// A crash; true if something was lost.
  bool LoseUnsynced(Random& random);

  [[nodiscard]] const raft::HardState& hard_state() const { return hard_state_; }
  [[nodiscard]] const raft::LogBase& base() const { return base_; }
  [[nodiscard]] Index first_index() const { return base_.index.Next(); }
  [[nodiscard]] Index last_index() const { return base_.index + log_.size(); }
  /// `index` must be in the log.
  [[nodiscard]] const raft::Entry& At(Index index) const { return log_.at(index - first_index()); }
  /// 0 for what is not there; known at the base as well.
  [[nodiscard]] Term TermAt(Index index) const {
    if (index == base_.index) return base_.term;
    return index < first_index() || index > last_index() ? Term{} : At(index).term;
  }
  /// (index, configuration): in force at the base, and of the entries in the log.
  [[nodiscard]] std::vector<std::pair<Index, raft::Configuration>> Configurations() const;

  // --- What would be there after a crash right now.
  [[nodiscard]] const raft::HardState& durable_hard_state() const {
    return unsynced_.empty() ? hard_state_ : unsynced_.front().hard_state;
  }
  [[nodiscard]] Index durable_last() const;
  [[nodiscard]] Term DurableTermAt(Index index) const;
  /// What lies before the base is in the state machine.
  [[nodiscard]] bool HasDurably(Index index, Term term) const {
    return index < base_.index || DurableTermAt(index) == term;
  }

  [[nodiscard]] raft::InitialState Initial() const;

 private:
  struct Replaced {
    raft::HardState hard_state;
    Index kept;  ///< up to here the write left the log as it was
    std::vector<raft::Entry> cut;
  };
  void Resize(Index last) { log_.resize(last - base_.index); }

  raft::HardState hard_state_;
  raft::LogBase base_;
  std::pair<Index, raft::Configuration> base_configuration_;
  std::vector<raft::Entry> log_;
  std::vector<Replaced> unsynced_;
};

}  // namespace raftkv::sim
