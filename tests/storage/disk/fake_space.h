// How does a test say how much of a disk is free?
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "storage/disk/disk_space.h"

namespace raftkv::test {

/// Safe from any thread.
class FakeSpace final : public storage::DiskSpace {
 public:
  static constexpr std::uint64_t kReserve = 1000;

  std::optional<std::uint64_t> Free() override {
    const std::lock_guard lock(mutex_);
    return free_;
  }
  bool TakeReserve() override {
    const std::lock_guard lock(mutex_);
    if (held_) return true;
    if (free_ < kReserve || quota_) {
      refused_.push_back(std::chrono::steady_clock::now());
      return false;
    }
    free_ -= kReserve;
    return held_ = true;
  }
  void ReleaseReserve() override {
    const std::lock_guard lock(mutex_);
    if (std::exchange(held_, false)) free_ += kReserve;
  }
  void SetFree(std::uint64_t free) {
    const std::lock_guard lock(mutex_);
    free_ = free;
  }
  /// What is free is not for this member.
  void SetQuota(bool quota) {
    const std::lock_guard lock(mutex_);
    quota_ = quota;
  }
  /// When the reserve was refused.
  std::vector<std::chrono::steady_clock::time_point> refused() {
    const std::lock_guard lock(mutex_);
    return refused_;
  }
  bool held() {
    const std::lock_guard lock(mutex_);
    return held_;
  }

 private:
  std::mutex mutex_;
  std::uint64_t free_ = 10'000;
  bool held_ = false;
  bool quota_ = false;
  std::vector<std::chrono::steady_clock::time_point> refused_;
};

}  // namespace raftkv::test
