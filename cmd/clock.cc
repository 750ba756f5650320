#include "cmd/clock.h"

#include <chrono>

namespace raftkv::cmd {

Status CheckClock() {
  const auto since_1970 = std::chrono::system_clock::now().time_since_epoch();
  if (since_1970.count() >= 0) return Status::Ok();
  return {Code::kInvalidArgument,
          "the clock of this machine stands before the year 1970: set it, and try again"};
}

}  // namespace raftkv::cmd
