// Which past states does a member keep for scans of more than one page, and for how long?
//
// A page that ends before its range does leaves its view here, and the answer names it; the request
// for the next page names it back, so that all pages of a scan show one state. What a view costs is
// the old values that the engine may not drop: so views are few, and they end with their scan, when
// nobody asks for them, and at an age. Whose view is gone begins its scan again.
//
// Safe from any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "lib/base/time.h"
#include "lib/kv/engine.h"
#include "lib/kv/request.h"

namespace raftkv::kv {

struct HeldViewsOptions {
  /// Beyond it the one that was not used for the longest time goes.
  std::size_t max_views = 256;
  Duration max_idle = std::chrono::seconds(30);
  Duration max_age = std::chrono::minutes(10);
  /// After the last page, whose answer may be lost and asked for again.
  Duration max_idle_at_end = std::chrono::seconds(5);
};

class HeldViews {
 public:
  using Options = HeldViewsOptions;

  /// `table` is random and not 0: no view of another member, or of an earlier open of this one, is
  /// taken for one of these.
  HeldViews(std::uint64_t table, std::function<MonoTime()> now, Options options = {});

  ViewId Hold(std::shared_ptr<View> view);
  /// Null: it is not held (any more).
  std::shared_ptr<View> Find(ViewId id);
  /// The last page was read.
  void End(ViewId id);
  /// Lets those go whose time is over. Cheap: whoever makes views cost something calls it often.
  void Sweep();
  void Clear();
  [[nodiscard]] std::size_t size() const;

 private:
  struct Held {
    std::shared_ptr<View> view;
    MonoTime made;
    MonoTime used;
    bool ended = false;
  };
  using Map = std::map<std::uint64_t, Held>;

  [[nodiscard]] MonoTime GoesAt(const Held& held) const;
  void SweepAt(MonoTime now, std::vector<std::shared_ptr<View>>& gone);

  const std::uint64_t table_;
  const std::function<MonoTime()> now_;
  const Options options_;

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  Map held_;
  std::uint64_t last_number_ = 0;
  /// Not after the first that goes.
  MonoTime next_sweep_ = kNever;
};

}  // namespace raftkv::kv
