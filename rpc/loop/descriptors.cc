#include "rpc/loop/descriptors.h"

#include <sys/resource.h>

#include <algorithm>

namespace raftkv::rpc {

std::uint32_t ConnectionsThatFit(std::uint32_t wanted) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return wanted;
  const auto half = static_cast<std::uint64_t>(limit.rlim_cur) / 2;
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(wanted, std::max<std::uint64_t>(half, 1)));
}

}  // namespace raftkv::rpc
