// How does a snapshot arrive, part by part? (the follower's side, §7)
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "lib/node/ports.h"
#include "lib/raft/raft.h"

namespace raftkv::node {

class SnapshotReceiver {
 public:
  /// All are borrowed and outlive it; `wakeup` as in Node.
  SnapshotReceiver(Snapshots& snapshots, Transport& transport, raft::Raft& core,
                   std::function<MonoTime()> tick, std::function<void()> wakeup);

  void OnChunk(NodeId from, const SnapshotChunk& chunk);
  /// The core installed what was offered.
  void OnInstalled();
  /// This member has applied its log up to `index`, so it needs no snapshot for that.
  void OnApplied(Index index);

 private:
  struct Incoming {
    NodeId from;
    Term term;
    std::shared_ptr<const raft::SnapshotMeta> snapshot;
    std::uint64_t id = 0;
    std::uint64_t next_offset = 0;
    bool writing = false;
    bool offered = false;
  };

  void OnRefused(Index at);
  void OnWritten(const std::shared_ptr<const raft::SnapshotMeta>& snapshot, std::uint64_t end,
                 bool last, const Result<std::uint64_t>& next);
  void Answer(bool installed);

  Snapshots& snapshots_;
  Transport& transport_;
  raft::Raft& core_;
  const std::function<MonoTime()> tick_;
  const std::function<void()> wakeup_;
  std::optional<Incoming> incoming_;
  /// Part of a snapshot may still be present, for example from before the start. It is of no use
  /// once entries arrive that continue the log as it was then.
  bool may_have_left_ = true;
  Index log_end_then_;
  const std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace raftkv::node
