// Which past states does a member keep for scans of more than one page, and for how long?
//
// A page that ends before its range does leaves its view here, and the answer names it; the request
// for the next page names it again, so that all pages of a scan show one state. What a view costs
// is the overwritten and deleted values that the engine may not drop: so views are few, and each
// ends with its scan, when nobody asks for it, and at a maximum age. A scan whose view is gone has
// to begin again.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>

#include "lib/base/time.h"
#include "lib/kv/engine.h"
#include "lib/kv/request.h"

namespace raftkv::kv {

/// What Read() needs of whoever keeps views (a port: storage/ implements it for several threads).
class ViewKeeper {
 public:
  virtual ~ViewKeeper() = default;
  virtual ViewId Hold(std::shared_ptr<View> view) = 0;
  /// Null: it is not held, or no longer.
  virtual std::shared_ptr<View> Find(ViewId id) = 0;
  /// The last page was read.
  virtual void End(ViewId id) = 0;
};

struct HeldViewsOptions {
  /// Beyond it the least recently used one goes.
  std::size_t max_views = 256;
  Duration max_idle = std::chrono::seconds(30);
  Duration max_age = std::chrono::minutes(10);
  /// After the last page, whose answer may be lost and asked for again.
  Duration max_idle_at_end = std::chrono::seconds(5);
};

/// Used from one thread at a time.
class HeldViews final : public ViewKeeper {
 public:
  using Options = HeldViewsOptions;

  /// `table` is random and not 0: no view of another member, or of an earlier open of this one, is
  /// taken for one of these.
  HeldViews(std::uint64_t table, std::function<MonoTime()> now, Options options = {});

  ViewId Hold(std::shared_ptr<View> view) override;
  std::shared_ptr<View> Find(ViewId id) override;
  void End(ViewId id) override;
  /// Drops the views whose time is over. Cheap: call it often, whenever something was written.
  void Sweep();
  void Clear();
  [[nodiscard]] std::size_t size() const { return held_.size(); }

 private:
  struct Held {
    std::shared_ptr<View> view;
    MonoTime made;
    MonoTime used;
    bool ended = false;
  };
  using Map = std::map<std::uint64_t, Held>;

  [[nodiscard]] MonoTime ExpiresAt(const Held& held) const;

  const std::uint64_t table_;
  const std::function<MonoTime()> now_;
  const Options options_;
  Map held_;
  std::uint64_t last_number_ = 0;
  /// Not after the first one that expires.
  MonoTime next_sweep_ = kNever;
};

}  // namespace raftkv::kv
