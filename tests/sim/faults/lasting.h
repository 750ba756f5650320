// What must still work while one fault lasts?
//
// After the faults of the safety phase have been undone, half of the seeds bring about one fault
// that lasts for 20 seconds. Where it leaves a member that works and hears a quorum that works,
// there must be such a leader, writes must go on, and there may be few elections: a cluster that is
// always electing is not one that works.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tests/sim/cluster/host.h"
#include "tests/sim/faults/plan.h"

namespace raftkv::sim {

class Lasting {
 public:
  explicit Lasting(World& world) : world_(world) {}

  /// All members are there, follow a leader, and have what it has.
  [[nodiscard]] bool MayBegin() const;
  /// False: the fault does not fit this cluster, or nothing could be asked for under it.
  bool Begin();
  /// To be called now and then until End(): fails the run where what is asked for does not hold.
  void Look();
  void End();
  /// A linearizable read ended that a client began then; `answered` or not.
  void NoteRead(Nanos begun, bool answered);

  static constexpr Nanos kTime = 20 * kSecond;
  static constexpr Nanos kLookEvery = 50 * kMillisecond;

 private:
  bool BringAbout();
  void Block(std::size_t from, std::size_t to);
  void BlockBoth(std::size_t a, std::size_t b);
  void Isolate(const Host& victim, bool hears, bool speaks);
  bool Bridge();
  bool Ring();
  bool CutSome();
  void SlowDisks(const std::vector<Host*>& slow, Nanos sync);
  void MoveApart();
  /// This member works and speaks both ways with `other`, which works.
  [[nodiscard]] bool WorksWith(const Host& host, const Host& other) const;
  /// It, and those that it works with, can commit, or elect as well.
  [[nodiscard]] bool CanCommit(const Host& host) const;
  [[nodiscard]] bool CanLead(const Host& host, const std::vector<Host*>& voters) const;
  /// Somebody must come to lead, whose log so ever is the longest.
  [[nodiscard]] bool AsksForLeader() const;
  [[nodiscard]] static bool Works(const Host& host);
  [[nodiscard]] Nanos LongestTimeout() const;
  [[nodiscard]] Nanos Patience() const;
  void CheckReads() const;

  World& world_;
  std::vector<Host*> members_;
  Host* leader_ = nullptr;  ///< when it began
  std::vector<std::function<void()>> undo_;
  Nanos began_ = 0;
  std::uint64_t elections_ = 0;
  Index committed_;
  Nanos progress_at_ = 0;
  Nanos led_at_ = 0;  ///< when a leader that works was seen last
  std::uint64_t reads_ok_ = 0;
  std::uint64_t reads_failed_ = 0;
  NetworkPlan far_;
};

}  // namespace raftkv::sim
