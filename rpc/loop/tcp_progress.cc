#include "rpc/loop/tcp_progress.h"

// Not <netinet/tcp.h>: its tcp_info is older and lacks the counters.
#include <linux/tcp.h>
#include <netinet/in.h>

#include <cstddef>

namespace raftkv::rpc {

TcpProgress ProgressOf(kj::AsyncIoStream& stream) {
  tcp_info info = {};
  kj::uint size = sizeof info;
  auto failed =
      kj::runCatchingExceptions([&] { stream.getsockopt(IPPROTO_TCP, TCP_INFO, &info, &size); });
  constexpr std::size_t kEnd =
      offsetof(tcp_info, tcpi_notsent_bytes) + sizeof info.tcpi_notsent_bytes;
  if (failed != nullptr || size < kEnd) return {};
  return {.acknowledged = info.tcpi_bytes_acked,
          .received = info.tcpi_bytes_received,
          .unacknowledged = info.tcpi_unacked > 0 || info.tcpi_notsent_bytes > 0};
}

}  // namespace raftkv::rpc
