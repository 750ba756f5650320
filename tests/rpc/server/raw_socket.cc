#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "lib/base/check.h"
#include "rpc/loop/sockets.h"
#include "tests/rpc/server/rpc_fixture.h"

namespace raftkv::rpc {

RawSocket::RawSocket(const std::string& address) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
  const auto parsed = ParseHostPort(address);
  RAFTKV_CHECK(parsed.ok(), address);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(parsed->port);
  inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
  RAFTKV_CHECK(connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0, address);
}

bool RawSocket::Write(const std::string& bytes) {
  std::size_t sent = 0;
  while (sent < bytes.size()) {
    const ssize_t n = send(fd_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) return false;
    sent += static_cast<std::size_t>(n);
  }
  return true;
}

std::optional<std::string> RawSocket::ReadToEnd(std::chrono::milliseconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  std::string all;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    pollfd wanted{fd_, POLLIN, 0};
    if (left.count() <= 0 || poll(&wanted, 1, static_cast<int>(left.count())) <= 0) {
      return std::nullopt;
    }
    char buffer[4096];
    const ssize_t n = recv(fd_, buffer, sizeof buffer, 0);
    if (n <= 0) return all;
    all.append(buffer, static_cast<std::size_t>(n));
  }
}

}  // namespace raftkv::rpc
