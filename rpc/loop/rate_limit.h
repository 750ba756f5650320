// How is a hostile or broken neighbour kept from filling the log? One line per second of each kind;
// the next one says how many were suppressed.
#pragma once

#include <cstdint>
#include <string>

#include "lib/base/time.h"
#include "lib/node/ports.h"

namespace raftkv::rpc {

class RateLimitedLog {
 public:
  explicit RateLimitedLog(Duration interval = std::chrono::seconds(1)) : interval_(interval) {}

  void Log(const node::LogSink& sink, MonoTime now, node::LogSeverity severity,
           const std::string& line) {
    if (!sink) return;
    if (last_ != MonoTime::min() && now - last_ < interval_) {
      ++left_out_;
      return;
    }
    const std::string more =
        left_out_ == 0 ? "" : " (and " + std::to_string(left_out_) + " more like it before)";
    last_ = now;
    left_out_ = 0;
    sink(severity, line + more);
  }

 private:
  const Duration interval_;
  MonoTime last_ = MonoTime::min();
  std::uint64_t left_out_ = 0;
};

}  // namespace raftkv::rpc
