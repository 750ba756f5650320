#include "lib/kv/held_views.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "lib/base/check.h"

namespace raftkv::kv {

HeldViews::HeldViews(std::uint64_t table, std::function<MonoTime()> now, Options options)
    : table_(table), now_(std::move(now)), options_(options) {
  RAFTKV_CHECK(table_ != 0);
  RAFTKV_CHECK(options_.max_views > 0);
}

MonoTime HeldViews::GoesAt(const Held& held) const {
  const Duration idle = held.ended ? options_.max_idle_at_end : options_.max_idle;
  return std::min(held.made + options_.max_age, held.used + idle);
}

/// The views end in `gone`, outside of the lock.
void HeldViews::SweepAt(MonoTime now, std::vector<std::shared_ptr<View>>& gone) {
  if (now < next_sweep_) return;
  next_sweep_ = kNever;
  for (auto it = held_.begin(); it != held_.end();) {
    const MonoTime goes_at = GoesAt(it->second);
    if (goes_at <= now) {
      gone.push_back(std::move(it->second.view));
      it = held_.erase(it);
    } else {
      next_sweep_ = std::min(next_sweep_, goes_at);
      ++it;
    }
  }
}

ViewId HeldViews::Hold(std::shared_ptr<View> view) {
  std::vector<std::shared_ptr<View>> gone;
  const MonoTime now = now_();
  const std::lock_guard lock(mutex_);
  SweepAt(now, gone);
  if (held_.size() >= options_.max_views) {
    const auto by_use = [](const Map::value_type& a, const Map::value_type& b) {
      return std::pair(!a.second.ended, a.second.used) < std::pair(!b.second.ended, b.second.used);
    };
    const auto oldest = std::min_element(held_.begin(), held_.end(), by_use);
    gone.push_back(std::move(oldest->second.view));
    held_.erase(oldest);
  }
  const Held& held =
      held_.emplace(++last_number_, Held{std::move(view), now, now, false}).first->second;
  next_sweep_ = std::min(next_sweep_, GoesAt(held));
  return {table_, last_number_};
}

std::shared_ptr<View> HeldViews::Find(ViewId id) {
  std::vector<std::shared_ptr<View>> gone;
  const MonoTime now = now_();
  const std::lock_guard lock(mutex_);
  SweepAt(now, gone);
  if (id.table != table_) return nullptr;
  const auto found = held_.find(id.number);
  if (found == held_.end()) return nullptr;
  found->second.used = now;
  return found->second.view;
}

void HeldViews::End(ViewId id) {
  const std::lock_guard lock(mutex_);
  const auto found = held_.find(id.number);
  if (id.table != table_ || found == held_.end()) return;
  found->second.ended = true;
  next_sweep_ = std::min(next_sweep_, GoesAt(found->second));
}

void HeldViews::Sweep() {
  std::vector<std::shared_ptr<View>> gone;
  const MonoTime now = now_();
  const std::lock_guard lock(mutex_);
  SweepAt(now, gone);
}

void HeldViews::Clear() {
  Map gone;
  const std::lock_guard lock(mutex_);
  gone.swap(held_);
  next_sweep_ = kNever;
}

std::size_t HeldViews::size() const {
  const std::lock_guard lock(mutex_);
  return held_.size();
}

}  // namespace raftkv::kv
