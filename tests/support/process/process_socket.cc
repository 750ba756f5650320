#include "tests/support/process/process_socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>

#include "lib/base/check.h"

namespace raftkv::test {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

sockaddr_in Parse(const std::string& address) {
  sockaddr_in parsed = {};
  parsed.sin_family = AF_INET;
  const auto colon = address.rfind(':');
  RAFTKV_CHECK(colon != std::string::npos, address);
  std::uint16_t port = 0;
  std::from_chars(address.data() + colon + 1, address.data() + address.size(), port);
  parsed.sin_port = htons(port);
  RAFTKV_CHECK(inet_pton(AF_INET, address.substr(0, colon).c_str(), &parsed.sin_addr) == 1,
               address);
  return parsed;
}

// Whether the socket is ready for `events` before the deadline.
bool Ready(int socket, short events, steady_clock::time_point deadline) {
  const auto left = std::chrono::ceil<milliseconds>(deadline - steady_clock::now());
  if (left.count() <= 0) return false;
  pollfd polled = {.fd = socket, .events = events, .revents = 0};
  return poll(&polled, 1, static_cast<int>(left.count())) > 0;
}

}  // namespace

RawConnection::RawConnection(const std::string& address) {
  const sockaddr_in parsed = Parse(address);
  socket_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  RAFTKV_CHECK(socket_ >= 0, errno);
  if (connect(socket_, reinterpret_cast<const sockaddr*>(&parsed), sizeof(parsed)) == 0) return;
  close(socket_);
  socket_ = -1;
}

RawConnection::~RawConnection() {
  if (socket_ >= 0) close(socket_);
}

bool RawConnection::Send(std::string_view bytes, milliseconds timeout) {
  const auto deadline = steady_clock::now() + timeout;
  while (!bytes.empty()) {
    if (!Ready(socket_, POLLOUT, deadline)) return false;
    const ssize_t sent = send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN) return false;
    if (sent > 0) bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

std::optional<std::string> RawConnection::ReadToEnd(milliseconds timeout) {
  const auto deadline = steady_clock::now() + timeout;
  std::string all;
  char buffer[4096];
  while (Ready(socket_, POLLIN, deadline)) {
    const ssize_t received = recv(socket_, buffer, sizeof(buffer), 0);
    if (received <= 0) return all;  // a reset is an end as well
    all.append(buffer, static_cast<std::size_t>(received));
  }
  return std::nullopt;
}

BusyPort::BusyPort() {
  socket_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  RAFTKV_CHECK(bind(socket_, generic, size) == 0, errno);
  RAFTKV_CHECK(listen(socket_, 1) == 0, errno);
  RAFTKV_CHECK(getsockname(socket_, generic, &size) == 0, errno);
  address_ = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
}

BusyPort::~BusyPort() { close(socket_); }

HttpAnswer HttpGet(const std::string& address, const std::string& path) {
  constexpr milliseconds kTimeout(5000);
  HttpAnswer answer;
  RawConnection connection(address);
  if (!connection.connected()) return answer;
  connection.Send("GET " + path + " HTTP/1.1\r\nHost: " + address + "\r\nConnection: close\r\n\r\n",
                  kTimeout);
  const std::string text = connection.ReadToEnd(kTimeout).value_or("");
  const auto blank = text.find("\r\n\r\n");
  if (!text.starts_with("HTTP/1.1 ") || blank == std::string::npos) return answer;
  std::from_chars(text.data() + 9, text.data() + text.size(), answer.status);
  answer.headers = text.substr(0, blank);
  answer.body = text.substr(blank + 4);
  return answer;
}

}  // namespace raftkv::test
