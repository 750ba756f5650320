// What is a machine of the simulated cluster: its disk and clocks, and the process on it, if it
// runs?
//
// A Process is the production class Member with simulated ports around it. It can be told to die at
// its n-th call of a port, so that a crash falls between any two effects: from then on no port does
// anything, and the world buries it once the event at hand is over.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/kv/retention.h"
#include "lib/kv/store.h"
#include "lib/node/member.h"
#include "tests/sim/cluster/clock.h"
#include "tests/sim/cluster/disk.h"
#include "tests/sim/cluster/scheduler.h"

namespace raftkv::sim {

class World;
struct Host;

class Process final : public node::Clock,
                      public node::LogStore,
                      public node::StateMachine,
                      public node::Transport,
                      public node::MetaStore,
                      public node::Snapshots,
                      public node::Observer {
 public:
  /// The host's disk is opened: a new boot.
  Process(World& world, Host& host);

  node::Member& member() { return *member_; }
  [[nodiscard]] const node::Member& member() const { return *member_; }
  [[nodiscard]] bool dead() const { return dead_; }
  void DieAfterPortCalls(int calls) { calls_left_ = calls; }
  void Die() { dead_ = true; }
  /// Just before it is destroyed: what of the writes under way reaches the disk?
  void LoseOrKeepWrites();

  void FailNextWrite(Status status) { next_write_fails_ = std::move(status); }
  void FailNextRead(Status status) { next_read_fails_ = std::move(status); }

  /// The disk takes writes again, those that wait first.
  void ContinueWrites();
  /// What it applies, or reads, goes on.
  void ContinueApply();
  void ContinueReads();
  /// How long a write has been waiting for the disk.
  [[nodiscard]] Nanos StalledFor() const;

  /// It was told that its disk failed.
  [[nodiscard]] bool disk_failed() const { return disk_failed_; }
  [[nodiscard]] Index applied() const { return store_->applied(); }
  /// What its log, or its state machine, said was committed when it started; 0: it may have lost
  /// that.
  [[nodiscard]] Index committed_at_start() const { return committed_at_start_; }

  // --- The ports.
  MonoTime Now() override;
  std::uint64_t WallTimeMs() override;
  void Write(node::LogWrite write, node::DoneStatus done) override;
  void Read(Index first, Index last, std::size_t max_bytes,
            node::Done<std::vector<raft::Entry>> done) override;
  void Apply(std::vector<raft::Entry> entries, node::Done<node::Applied> done) override;
  void Read(Bytes request, std::size_t max_bytes, std::uint64_t clock_ms,
            node::Done<Bytes> done) override;
  [[nodiscard]] kv::LeaseStatus leases() const override { return store_->leases(); }
  void ReadEvents(kv::WatchOp op, std::uint64_t last, node::Done<kv::WatchLogPage> done) override;
  [[nodiscard]] kv::Revisions revisions() const override { return store_->revisions(); }
  [[nodiscard]] std::uint64_t CompactDue(std::uint64_t now_ms, bool space_is_short) const override {
    return retention_.Due(now_ms, store_->revisions().compacted, space_is_short);
  }
  void Send(NodeId to, node::PeerMessage message) override;
  void SetPeers(std::vector<Peer> peers) override;
  void SaveFormation(ClusterId cluster, Bytes payload, node::DoneStatus done) override;
  void SavePeerBoot(NodeId peer, node::PeerBoot boot, node::DoneStatus done) override;
  void Make(node::Done<Made> done) override;
  void Receive(const raft::SnapshotMeta& snapshot, std::uint64_t id, std::uint64_t offset,
               Bytes data, bool last, node::Done<std::uint64_t> done) override;
  void Install(const raft::SnapshotMeta& snapshot, node::LogWrite write,
               node::Done<std::uint64_t> done) override;
  void DropUnfinished() override;
  void Compact(Index through) override;
  Index Beyond(std::uint64_t /*bytes*/) override { return Index{}; }
  void Observe(node::Stage, Duration) override {}
  void CountProposal(Code) override {}
  void CountLogSync(std::size_t, std::size_t) override {}
  void CountElection() override;
  void CountSnapshotSent(std::size_t) override {}
  void CountSnapshotReceived(std::size_t) override {}

 private:
  /// False: the process is dead, the call has no effect.
  bool PortCall();
  node::MemberOptions Options() const;
  Nanos WriteTime();
  void OpenStore();
  void PutInPlace(const raft::SnapshotMeta& snapshot, const node::LogWrite& write);
  void FinishWrite();
  void FinishInstall();
  [[nodiscard]] bool Stalls();
  void FinishApply();
  /// Runs `work` once the disk has been read.
  void AfterRead(Nanos time, OnceFunction<void()> work);
  Result<Bytes> Answer(std::string_view request, std::size_t max_bytes, std::uint64_t clock_ms);
  void CheckChanges(const kv::Revisions& revisions);
  Status ApplyEntries(const std::vector<raft::Entry>& entries, node::Applied& applied);
  Result<std::vector<raft::Entry>> ReadEntries(Index first, Index last, std::size_t max_bytes);

  World& world_;
  Host& host_;
  Index committed_at_start_;
  bool dead_ = false;
  int calls_left_ = -1;  ///< below 0: it lives on
  std::unique_ptr<kv::Store> store_;
  kv::Retention retention_;
  std::unique_ptr<node::Member> member_;

  // --- Under way; at most one each.
  bool writing_ = false;
  std::optional<Nanos> stalled_since_;
  node::LogWrite write_;
  node::DoneStatus write_done_;
  node::Done<std::uint64_t> install_done_;
  Status next_write_fails_;
  Status next_read_fails_;
  bool disk_failed_ = false;
  std::optional<raft::SnapshotMeta> installing_;
  bool apply_stalled_ = false;
  std::vector<OnceFunction<void()>> hung_reads_;
  std::vector<raft::Entry> applying_;
  node::Done<node::Applied> apply_done_;
};

struct Host {
  static constexpr Nanos kNoTick = INT64_MAX;

  std::uint16_t index = 0;
  std::string name;  ///< and address
  SimDisk disk;
  HostClock clock;
  Duration election_timeout{};
  Duration heartbeat{};
  bool lease_reads = false;
  Nanos write_factor = 1;  ///< a slow disk
  Nanos least_write = 0;   ///< no write takes less
  raft::Space space = raft::Space::kEnough;
  bool disk_hangs = false;
  bool apply_stalls = false;
  bool reads_hang = false;
  /// What waits for the disk waits on.
  [[nodiscard]] bool stalls() const { return disk_hangs || space == raft::Space::kNone; }

  std::unique_ptr<Process> process;
  std::uint32_t epoch = 0;  ///< of the process; raised at each start and crash
  bool needs_pump = false;
  bool pump_scheduled = false;
  Nanos tick_at = kNoTick;
  bool paused = false;
  std::vector<Event> deferred;  ///< came while it was paused
  std::string zone;
  /// Its disk was lost or rolled back: never again a member under this identity.
  bool gone = false;
  /// Not empty: its disk is a copy of this member's, which runs as well.
  std::string plays;
  /// A copy of its disk runs.
  bool twinned = false;
  /// Its boots were set back, and nobody has told the others to trust it yet.
  bool distrusted = false;
  std::uint64_t set_back_at = 0;  ///< the incarnation it had then; 0: they never were
  /// No member: a spare, or removed.
  bool out = false;
  /// Is started to be taken into the cluster.
  bool joining = false;

  [[nodiscard]] bool running() const { return process != nullptr && !process->dead(); }
};

}  // namespace raftkv::sim
