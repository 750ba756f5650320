// How does a cluster of Members behave on virtual time, with disks and links that a test controls?
//
// A small world for tests of lib/node: every port is in memory, every effect is an event on one
// queue, and a crash loses what was not written. Deterministic.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <raftkv/kv.h>

#include "lib/kv/request.h"
#include "lib/kv/retention.h"
#include "lib/kv/store.h"
#include "lib/node/member.h"
#include "tests/support/node/fake_engine.h"

namespace raftkv::test {

/// What survives a crash of a member.
struct WorldDisk {
  node::Birth birth;
  std::vector<raft::Entry> log;
  raft::HardState hard_state;
  bool suspect = false;
  std::shared_ptr<FakeEngine> engine = std::make_shared<FakeEngine>();
};

class NodeWorld;

/// One member, between its start and its crash, and all its ports.
class WorldMember final : public node::Clock,
                          public node::LogStore,
                          public node::StateMachine,
                          public node::Transport,
                          public node::MetaStore,
                          public node::Observer {
 public:
  WorldMember(NodeWorld& world, std::string name, std::string address, WorldDisk& disk,
              std::vector<MemberAddress> cluster, bool join);

  node::Member& member() { return *member_; }
  const std::string& name() const { return name_; }
  int log_writes() const { return log_writes_; }
  /// The next write of the log fails with this.
  void FailNextWrite(Status status) { next_write_fails_ = std::move(status); }
  /// Writes of the log do not end until this is over.
  void HangDisk(bool hangs);
  /// The next `count` reads of the log are answered with this.
  void FailReads(int count, Status status) {
    reads_to_fail_ = count;
    read_failure_ = std::move(status);
  }
  int reads_to_fail() const { return reads_to_fail_; }

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
  kv::Revisions revisions() const override { return store_->revisions(); }
  std::uint64_t CompactDue(std::uint64_t now_ms, bool space_is_short) const override {
    return retention_.Due(now_ms, store_->revisions().compacted, space_is_short);
  }
  void Send(NodeId to, node::PeerMessage message) override;
  void SetPeers(std::vector<Peer> peers) override;
  void SaveFormation(ClusterId cluster, Bytes payload, node::DoneStatus done) override;
  void SavePeerBoot(NodeId peer, node::PeerBoot boot, node::DoneStatus done) override;
  void Observe(node::Stage, Duration) override {}
  void CountProposal(Code) override {}
  void CountLogSync(std::size_t, std::size_t) override {}
  void CountElection() override {}
  void CountSnapshotSent(std::size_t) override {}
  void CountSnapshotReceived(std::size_t) override {}

 private:
  friend class NodeWorld;
  void SayHello(const Peer& peer, std::size_t at);
  void Later(Duration delay, OnceFunction<void()> work);

  NodeWorld& world_;
  const std::string name_;
  const std::string address_;
  WorldDisk& disk_;
  std::unique_ptr<kv::Store> store_;
  kv::Retention retention_;
  std::vector<Peer> peers_;
  std::uint64_t peers_version_ = 0;
  std::set<NodeId> connected_;  ///< to whom messages may be sent
  Status next_write_fails_;
  bool disk_hangs_ = false;
  OnceFunction<void()> hung_write_;
  int reads_to_fail_ = 0;
  Status read_failure_;
  int log_writes_ = 0;
  std::unique_ptr<node::Member> member_;
};

class NodeWorld {
 public:
  explicit NodeWorld(std::uint64_t seed = 1) : random_(seed) {}
  ~NodeWorld();

  /// Starts `name` on its disk, as it is or new; its address is its name. An empty list: alone.
  WorldMember& Start(const std::string& name, const std::vector<std::string>& cluster) {
    return Start(name, cluster, false);
  }
  /// Starts `name` where the others do not know it.
  WorldMember& StartAt(const std::string& address, const std::string& name,
                       const std::vector<std::string>& cluster) {
    return Start(name, cluster, false, address);
  }
  /// Starts `name` to be taken into the cluster of `cluster`.
  WorldMember& Join(const std::string& name, const std::vector<std::string>& cluster) {
    return Start(name, cluster, true);
  }
  void Crash(const std::string& name);
  /// Puts a copy of the disk of `name` aside, to be put back by Disk(name) = ...
  WorldDisk CopyDisk(const std::string& name);
  WorldDisk& Disk(const std::string& name) { return disks_[name]; }
  WorldMember* Find(const std::string& name);
  void Cut(const std::string& a, const std::string& b) { cut_.insert({a, b}), cut_.insert({b, a}); }
  void Heal() { cut_.clear(); }
  /// A network that loses and doubles messages: how many copies of each are delivered. Before the
  /// first start, so that members know that messages may be lost.
  using Copies = std::function<int(const std::string& from, const node::PeerMessage& message)>;
  void SetCopies(Copies copies) { copies_ = std::move(copies); }

  /// What a write of the log takes from now on, and what a message between members.
  void SetDiskDelay(Duration delay) { disk_delay_ = delay; }
  void SetLinkDelay(Duration delay) { link_delay_ = delay; }
  /// Time goes by, and no member runs: as if all their processes were stopped.
  void StandStill(Duration time);

  void RunFor(Duration time);
  /// False if `condition` did not come true within `limit` of virtual time.
  bool RunUntil(const std::function<bool()>& condition, Duration limit = std::chrono::seconds(20));
  WorldMember* Leader();
  /// A put through `at`, retried like a client does; true once it is acknowledged.
  bool Put(const std::string& at, const std::string& key, const std::string& value);
  /// A linearizable get: nullopt if it was not answered within `limit`; "" for no such key.
  std::optional<std::string> Get(const std::string& at, const std::string& key,
                                 Duration limit = std::chrono::seconds(10));

  /// As Get, but local.
  Result<std::string> GetLocal(const std::string& at, const std::string& key);
  /// A get of the past, asked once.
  Result<std::string> GetAt(const std::string& at, const std::string& key, std::uint64_t revision,
                            Consistency consistency, Duration limit = std::chrono::seconds(10)) {
    return Read(at, key, consistency, limit, revision);
  }

  [[nodiscard]] const std::vector<std::string>& lines() const { return lines_; }
  [[nodiscard]] bool Logged(const std::string& text) const;
  MonoTime now() const { return now_; }
  /// Every member's wall clock jumps.
  void SetWallClockBack(Duration by) { wall_clock_behind_ += by; }

 private:
  friend class WorldMember;
  WorldMember& Start(const std::string& name, const std::vector<std::string>& cluster, bool join,
                     const std::string& address = {});
  WorldMember* FindAt(const std::string& address);
  /// A get, asked once: "" for no such key.
  Result<std::string> Read(const std::string& at, const std::string& key, Consistency consistency,
                           Duration limit, std::uint64_t revision = 0);
  void At(MonoTime when, OnceFunction<void()> work);
  bool Step(MonoTime until);
  void PumpAll();

  static constexpr Duration kDiskDelay = std::chrono::microseconds(300);
  static constexpr Duration kLinkDelay = std::chrono::milliseconds(1);

  Random random_;
  Duration disk_delay_ = kDiskDelay;
  Duration link_delay_ = kLinkDelay;
  MonoTime now_{std::chrono::seconds(1)};
  std::multimap<MonoTime, OnceFunction<void()>> events_;
  std::map<std::string, WorldDisk> disks_;
  std::map<std::string, std::shared_ptr<WorldMember>> running_;
  std::set<std::pair<std::string, std::string>> cut_;
  Copies copies_;
  std::vector<std::string> lines_;
  std::uint64_t sequence_ = 0;
  Duration wall_clock_behind_{};
};

}  // namespace raftkv::test
