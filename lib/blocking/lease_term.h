// Until when does a lease surely last, by the clock of the client that keeps it alive?
#pragma once

#include <algorithm>
#include <chrono>

#include "lib/base/time.h"

namespace raftkv {

/// Monotonic, and continues while the machine is suspended, as the lease's own clock does.
MonoTime LeaseNow();

/// The cluster counts the TTL from a moment between the sending of a renewal and its answer, so the
/// client counts from the sending. Once the end was reached nothing prolongs it: what was not sure
/// for a moment never becomes sure again.
class LeaseTerm {
 public:
  LeaseTerm(MonoTime sent, std::chrono::milliseconds ttl) : ttl_(ttl), end_(sent + ttl) {}

  [[nodiscard]] MonoTime end() const { return end_; }
  [[nodiscard]] bool IsSure(MonoTime now) const { return now < end_; }
  [[nodiscard]] Duration Left(MonoTime now) const { return std::max(end_ - now, Duration::zero()); }

  /// A renewal that was sent at `sent` has been acknowledged.
  void Renew(MonoTime sent, MonoTime now) {
    if (IsSure(now)) end_ = std::max(end_, sent + ttl_);
  }

 private:
  const std::chrono::milliseconds ttl_;
  MonoTime end_;
};

}  // namespace raftkv
