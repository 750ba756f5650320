// How do reader threads share the views that are kept for scans of more than one page?
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <random>
#include <utility>

#include "lib/base/mutex.h"
#include "lib/base/time.h"
#include "lib/kv/held_views.h"

namespace raftkv::storage {

/// kv::HeldViews behind a lock. Safe from any thread.
class SharedViews final : public kv::ViewKeeper {
 public:
  SharedViews() : views_(RandomTable(), Now) {}

  kv::ViewId Hold(std::shared_ptr<kv::View> view) override {
    const MutexLock lock(mutex_);
    return views_.Hold(std::move(view));
  }
  std::shared_ptr<kv::View> Find(kv::ViewId id) override {
    const MutexLock lock(mutex_);
    return views_.Find(id);
  }
  void End(kv::ViewId id) override {
    const MutexLock lock(mutex_);
    views_.End(id);
  }
  void Sweep() {
    const MutexLock lock(mutex_);
    views_.Sweep();
  }
  void Clear() {
    const MutexLock lock(mutex_);
    views_.Clear();
  }

 private:
  static std::uint64_t RandomTable() {
    std::random_device device;
    return (std::uint64_t{device()} << 32 | device()) | 1;
  }
  static MonoTime Now() { return MonoTime(std::chrono::steady_clock::now().time_since_epoch()); }

  Mutex mutex_;
  kv::HeldViews views_ RAFTKV_GUARDED_BY(mutex_);
};

}  // namespace raftkv::storage
