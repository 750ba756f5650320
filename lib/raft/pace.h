// How long does a thing take that is done over and over, and when does one look as if it would
// never end?
//
// For the write of the log that is under way, and for the batch that is being applied. Owned by one
// thread.
#pragma once

#include <algorithm>
#include <optional>

#include "lib/base/check.h"
#include "lib/base/time.h"

namespace raftkv::raft {

class Pace {
 public:
  void Begin(MonoTime now) {
    RAFTKV_CHECK(!began_.has_value());
    began_ = now;
  }
  void End(MonoTime now) {
    RAFTKV_CHECK(began_.has_value());
    RAFTKV_CHECK(now >= *began_);
    before_last_ = last_;
    last_ = now - *began_;
    began_.reset();
  }

  /// Nobody could see it end while this process did not run.
  void Resume(MonoTime now) {
    if (began_) began_ = now;
  }

  [[nodiscard]] bool under_way() const { return began_.has_value(); }
  /// The one under way, so far.
  [[nodiscard]] Duration Since(MonoTime now) const {
    return began_ ? now - *began_ : Duration::zero();
  }
  /// What the last one took that ended.
  [[nodiscard]] Duration last() const { return last_; }
  /// What each of the last two took at least: one that was slow for once says nothing.
  [[nodiscard]] Duration usual() const { return std::min(last_, before_last_); }
  /// When the one under way hangs: after `at_least`, or long after what is usual. kNever: none is.
  [[nodiscard]] MonoTime HangsAt(Duration at_least) const {
    return began_ ? *began_ + std::max(at_least, kUsualTimes * usual()) : kNever;
  }

 private:
  static constexpr int kUsualTimes = 4;

  std::optional<MonoTime> began_;
  Duration last_{};
  Duration before_last_{};
};

}  // namespace raftkv::raft
