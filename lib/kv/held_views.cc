#include "lib/kv/held_views.h"

#include <algorithm>
#include <utility>

#include "lib/base/check.h"

namespace raftkv::kv {

HeldViews::HeldViews(std::uint64_t table, std::function<MonoTime()> now, Options options)
    : table_(table), now_(std::move(now)), options_(options) {
  RAFTKV_CHECK(table_ != 0);
  RAFTKV_CHECK(options_.max_views > 0);
}

MonoTime HeldViews::ExpiresAt(const Held& held) const {
  const Duration idle = held.ended ? options_.max_idle_at_end : options_.max_idle;
  return std::min(held.made + options_.max_age, held.used + idle);
}

void HeldViews::Sweep() {
  const MonoTime now = now_();
  if (now < next_sweep_) return;
  next_sweep_ = kNever;
  for (auto it = held_.begin(); it != held_.end();) {
    const MonoTime expires_at = ExpiresAt(it->second);
    if (expires_at <= now) {
      it = held_.erase(it);
    } else {
      next_sweep_ = std::min(next_sweep_, expires_at);
      ++it;
    }
  }
}

ViewId HeldViews::Hold(std::shared_ptr<View> view) {
  RAFTKV_CHECK(view != nullptr);
  Sweep();
  if (held_.size() >= options_.max_views) {
    const auto by_use = [](const Map::value_type& a, const Map::value_type& b) {
      return std::pair(!a.second.ended, a.second.used) < std::pair(!b.second.ended, b.second.used);
    };
    held_.erase(std::min_element(held_.begin(), held_.end(), by_use));
  }
  const MonoTime now = now_();
  const Held& held =
      held_.emplace(++last_number_, Held{std::move(view), now, now, false}).first->second;
  next_sweep_ = std::min(next_sweep_, ExpiresAt(held));
  return {table_, last_number_};
}

std::shared_ptr<View> HeldViews::Find(ViewId id) {
  Sweep();
  if (id.table != table_) return nullptr;
  const auto found = held_.find(id.number);
  if (found == held_.end()) return nullptr;
  found->second.used = now_();
  return found->second.view;
}

void HeldViews::End(ViewId id) {
  const auto found = held_.find(id.number);
  if (id.table != table_ || found == held_.end()) return;
  found->second.ended = true;
  next_sweep_ = std::min(next_sweep_, ExpiresAt(found->second));
}

void HeldViews::Clear() {
  held_.clear();
  next_sweep_ = kNever;
}

}  // namespace raftkv::kv
