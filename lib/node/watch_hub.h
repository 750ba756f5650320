// Which watcher is to be told of what, and where do its events come from?
//
// A client asks for a page of events, and asks again for the next one; what waits here in between
// is a position, never a queue. The newest changes are in a ring, as they were applied; a watcher
// that is behind it, or wants to know what its keys were before, is answered from the log of
// events, by a reader thread. So whoever takes its events slowly asks less often, and costs nobody
// anything.
//
// A watcher here is in one of three states:
//   idle     nothing that it wants has been applied yet; a change that it wants makes it due
//   due      in line: pages are made in steps, between which the loop has time for everything else
//   reading  a page of the log is being read for it
//
// Pumped by the loop, and knows no other thread.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "lib/kv/revisions.h"
#include "lib/kv/watch.h"
#include "lib/node/ports.h"

namespace raftkv::node {

struct WatchHubOptions {
  /// Watchers that wait here, and the bytes of their keys; more are refused.
  std::size_t max_watchers = 16 * 1024;
  std::size_t max_watcher_bytes = 64 << 20;
  /// Work of one step, in about 10 ns, and how long after one the next may begin: half of the
  /// loop's time at most.
  std::uint64_t work_a_step = 50'000;
  Duration step = std::chrono::milliseconds(1);
  /// For the ring, until the store says what is set.
  std::uint64_t event_bytes = 32 << 20;
};

class WatchHub {
 public:
  struct Ports {
    Clock& clock;
    /// See StateMachine::ReadEvents. One at a time.
    std::function<void(kv::WatchOp op, std::uint64_t last, Done<kv::WatchLogPage> done)> read_log;
    /// Not ok: this member cannot say that there were no events, since it may be cut off, or
    /// refilled.
    std::function<Status()> may_say_nothing_came;
    std::function<void()> wakeup;
  };
  WatchHub(const WatchHubOptions& options, kv::Revisions revisions, Ports ports);
  WatchHub(const WatchHub&) = delete;
  WatchHub& operator=(const WatchHub&) = delete;

  /// Answers with the events at the position of `op`, which is known, as soon as there are any; at
  /// `deadline` with the position that it has come to by then, which is the progress of the watch.
  /// Compacted, Unavailable. May answer before it returns.
  void Add(kv::WatchOp op, MonoTime deadline, Done<Bytes> done);
  /// Where a watch begins now: behind everything that is applied.
  [[nodiscard]] Bytes Begin() const;

  /// What was applied, each revision with all its changes.
  void OnApplied(std::vector<kv::ChangesPtr> changes, kv::Revisions revisions,
                 std::uint64_t event_bytes);
  /// Another state took the place of what was applied, with a log of its own.
  void OnInstalled(kv::Revisions revisions);

  void Pump(MonoTime now);
  [[nodiscard]] MonoTime NextDeadline() const;
  void FailAll(const Status& why);

  [[nodiscard]] std::size_t watchers() const { return watchers_.size(); }
  [[nodiscard]] std::size_t ring_bytes() const { return ring_bytes_; }
  /// The lowest revision whose changes are in memory; they all are from there on.
  [[nodiscard]] std::uint64_t ring_begin() const { return ring_begin_; }

 private:
  enum class State : std::uint8_t { kIdle, kDue, kReading };
  struct Watcher {
    std::uint64_t number = 0;
    kv::WatchOp op;
    MonoTime deadline;
    Done<Bytes> done;
    std::size_t bytes = 0;
    State state = State::kIdle;
  };
  /// In the order in which they came, not of their addresses: a run is the same each time.
  struct Earlier {
    bool operator()(const Watcher* a, const Watcher* b) const { return a->number < b->number; }
  };
  using WatcherSet = std::set<Watcher*, Earlier>;
  /// Begin and end of a range; without an end it has no upper bound.
  using Bounds = std::pair<std::string, std::string>;

  void BecomeIdle(Watcher& watcher);
  void BecomeDue(Watcher& watcher);
  void Unlist(Watcher& watcher);
  void Wake(const kv::Change& change, std::uint64_t before);
  /// Returns the work that it was.
  std::uint64_t Serve(Watcher& watcher);
  std::uint64_t ServeFromRing(Watcher& watcher);
  void StartRead();
  void OnRead(std::uint64_t number, Result<kv::WatchLogPage> page);
  void Expire(MonoTime now);
  void AnswerNothing(Watcher& watcher);
  void Answer(Watcher& watcher, Result<Bytes> answer);
  void Trim();
  [[nodiscard]] bool IsInRing(const Watcher& watcher) const;

  const WatchHubOptions options_;
  const Ports ports_;

  // --- What is applied.
  std::uint64_t revision_;
  std::uint64_t compacted_;
  std::deque<kv::ChangesPtr> ring_;  ///< by revision
  std::uint64_t ring_begin_;
  std::size_t ring_bytes_ = 0;
  std::uint64_t event_bytes_;

  // --- Who waits.
  std::uint64_t next_number_ = 1;
  std::map<std::uint64_t, std::unique_ptr<Watcher>> watchers_;
  std::size_t watcher_bytes_ = 0;
  std::set<std::pair<MonoTime, std::uint64_t>> deadlines_;
  std::map<std::string, WatcherSet, std::less<>> idle_by_key_;
  std::map<Bounds, WatcherSet> idle_by_range_;
  std::deque<std::uint64_t> due_;
  std::deque<std::uint64_t> to_read_;  ///< in state kReading; the first is being read, if one is
  bool is_reading_ = false;
  MonoTime next_step_{};
};

}  // namespace raftkv::node
