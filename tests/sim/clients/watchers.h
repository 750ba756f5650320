// Who follows the changes of keys, whatever happens to the cluster?
//
// Each watcher is the production client code (NewSessionKv, WatchPages) over a simulated channel of
// its own: it asks for one page after the other, keeps the position, and resumes wherever somebody
// answers. What it is told is judged in judges/watched.h. Beside them somebody lets the past go,
// often up to where they read.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <raftkv/watch.h>

#include "lib/base/random.h"
#include "lib/blocking/watch_pages.h"
#include "tests/sim/clients/channel.h"
#include "tests/sim/faults/plan.h"
#include "tests/sim/judges/watched.h"
#include "tests/sim/program/stats.h"

namespace raftkv::sim {

class Watchers {
 public:
  explicit Watchers(World& world);
  ~Watchers();

  void Start();
  void RunPosted() { loop_.RunPosted(); }
  void HostDown(const Host& host);
  /// Nothing is called back afterwards.
  void Stop();

  // --- Faults.
  /// About half of them, by number.
  [[nodiscard]] std::vector<std::size_t> DrawSome();
  void Block(std::size_t watcher, std::size_t host) { watchers_[watcher]->channel.Block(host); }
  void Unblock(std::size_t watcher, std::size_t host) { watchers_[watcher]->channel.Unblock(host); }

  // --- The liveness phase.
  /// They take their time no more.
  void Hurry();
  /// Each has been told everything that any member has come to.
  [[nodiscard]] bool CaughtUp() const;
  [[nodiscard]] std::string WhoIsBehind() const;
  /// Nothing is asked for any more.
  void End() { ended_ = true; }
  [[nodiscard]] bool AllAnswered() const;

 private:
  struct Watcher {
    Watcher(World& world, std::uint32_t its_number);
    const std::uint32_t number;
    Random chance;
    SimChannel channel;
    std::unique_ptr<KV> kv;
    std::uint64_t asked = 0;  ///< pages; the last one is open, unless it was answered
    // --- The watch at hand.
    std::size_t watch = 0;  ///< its number at the judge
    KeyRange range;
    WatchPageOptions ask;  ///< but for the position
    std::optional<WatchPages> pages;
    std::uint64_t pages_left = 0;
  };

  [[nodiscard]] const WatchPlan& plan() const;
  void Open(Watcher& watcher);
  void Begin(Watcher& watcher);
  [[nodiscard]] KeyRange DrawRange(Random& random) const;
  [[nodiscard]] std::uint64_t DrawStart(Random& random) const;
  void Ask(Watcher& watcher);
  void ReconnectSometimes(Watcher& watcher);
  void OnAnswer(Watcher& watcher, const WatchPosition& asked, Result<WatchPage> page);
  void Take(Watcher& watcher, const WatchPosition& asked, WatchPage page);
  void Next(Watcher& watcher);
  void CompactNext();
  void Compact();
  void Count(WatchCount what);

  World& world_;
  SimLoop loop_;
  std::vector<std::unique_ptr<Watcher>> watchers_;
  /// Only lets the past go.
  std::unique_ptr<Watcher> compactor_;
  bool compacts_ = false;  ///< a call of it is open
  bool hurries_ = false;
  bool ended_ = false;
  bool stopped_ = false;
};

}  // namespace raftkv::sim
