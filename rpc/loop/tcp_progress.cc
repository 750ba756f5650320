#include "rpc/loop/tcp_progress.h"

// Not <netinet/tcp.h>: its tcp_info is older and lacks the counter.
#include <linux/tcp.h>
#include <netinet/in.h>

#include <cstddef>

namespace raftkv::rpc {

std::uint64_t AcknowledgedBytes(kj::AsyncIoStream& stream) {
  tcp_info info = {};
  kj::uint size = sizeof info;
  auto failed =
      kj::runCatchingExceptions([&] { stream.getsockopt(IPPROTO_TCP, TCP_INFO, &info, &size); });
  constexpr std::size_t kEnd = offsetof(tcp_info, tcpi_bytes_acked) + sizeof info.tcpi_bytes_acked;
  return failed == nullptr && size >= kEnd ? info.tcpi_bytes_acked : 0;
}

}  // namespace raftkv::rpc
