// Which links are cut and which nodes are killed, when, and for how long?
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "lib/base/random.h"
#include "tests/support/maelstrom/maelstrom_network.h"

namespace raftkv::test::maelstrom {

enum class PartitionKind : std::uint8_t {
  kHalves,        ///< as few as can be more than the others, and these
  kMajorityRing,  ///< each hears a majority, no two the same one
  kOneNode,
  kOneWay,  ///< one node is not heard any more, or hears nobody
  kLeader,  ///< one node, which logged last that it leads; any, if none did
};
inline constexpr std::size_t kPartitionKinds = 5;

/// What a node logs that has won an election.
inline constexpr const char* kLeads = "role leader,";

struct Partition {
  PartitionKind kind = PartitionKind::kHalves;
  std::set<Link> cut;
  /// A majority of which each still hears each other and nobody else needs to; none in a ring.
  std::vector<std::size_t> majority;
};

const char* Name(PartitionKind kind);
Partition DrawPartition(PartitionKind kind, std::size_t nodes, std::size_t leader, Random& random);

struct NemesisOptions {
  /// A partition begins so often (0: never) and lasts so long.
  Milliseconds partition_every{0};
  Milliseconds partition_for{0};
  /// Of these kinds; none: all.
  std::vector<PartitionKind> kinds;
  /// A node, now and then all of them, is killed so often (0: never), and started soon afterwards.
  Milliseconds restart_every{0};
  /// After all the above, so often: a voter is killed right after an election, and then all nodes
  /// are asked for everything: see VoterRestarts.
  int voter_restarts = 0;
  std::uint64_t seed = 1;
};

/// Draws all that from its seed. Events of the network's scheduler point to it.
class Nemesis {
 public:
  /// `partition`: one begins; null: it is over.
  using Observe = std::function<void(const Partition* partition)>;

  Nemesis(NemesisOptions options, Network& network);

  void set_observe(Observe observe) { observe_ = std::move(observe); }
  void Start();
  /// All links are whole, and all nodes run: at once, or soon for those that were just killed.
  void Stop();

 private:
  void BeginPartition();
  void Heal();
  void RestartSome();
  void Restart(std::size_t node);

  const NemesisOptions options_;
  Network& network_;
  Random random_;
  Observe observe_;
  std::size_t leader_ = 0;
  bool active_ = false;
};

/// Is a vote forgotten by a restart? Three nodes; what must be remembered is shown nowhere but in
/// who leads, so the schedule follows what the nodes log about that.
///
/// Two nodes, a and b, do not hear each other, so that whoever leads has the vote of the third, c.
/// When one of them does, c is killed before it can hear from the new leader, and is heard by the
/// other one only from then on: which c must not help to lead in the same term. If it did, the
/// first one's log has entries that look like those of the other one; clients see that best if they
/// stop and look at everything as soon as the two hear each other.
class VoterRestarts {
 public:
  /// `pause` keeps clients from asking anything new, or no longer.
  VoterRestarts(Network& network, std::function<void(bool)> pause, std::uint64_t seed)
      : network_(network), pause_(std::move(pause)), random_(seed) {}

  void Start();
  void Stop();
  /// Both have led since Start().
  [[nodiscard]] bool Done() const { return done_; }

 private:
  enum class Step : std::uint8_t { kIdle, kVoterDown, kElection, kOtherElection };

  void BeginRound();
  void CutAndKill();
  void StartVoter();
  void OnLog(std::size_t node, const std::string& line);
  void EndRound();
  void Later(Milliseconds delay, std::function<void()> action);

  Network& network_;
  const std::function<void(bool)> pause_;
  Random random_;
  Step step_ = Step::kIdle;
  bool active_ = false;
  std::uint64_t round_ = 0;  ///< what is due later is of a round, or out of date
  bool done_ = false;
  std::size_t voter_ = 0;
};

}  // namespace raftkv::test::maelstrom
