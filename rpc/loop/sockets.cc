#include "rpc/loop/sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

namespace raftkv::rpc {
namespace {

constexpr int kBacklog = 512;

void SetInt(kj::AsyncIoStream& stream, int level, int option, int value) {
  // A stream that is no TCP socket (tests) has no such option.
  auto ignored =
      kj::runCatchingExceptions([&] { stream.setsockopt(level, option, &value, sizeof value); });
  (void)ignored;
}

std::string TextOf(const sockaddr* address, socklen_t size) {
  char host[NI_MAXHOST];
  char port[NI_MAXSERV];
  if (getnameinfo(address, size, host, sizeof host, port, sizeof port,
                  NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "an unknown address";
  }
  const bool v6 = address->sa_family == AF_INET6;
  return (v6 ? "[" : "") + std::string(host) + (v6 ? "]:" : ":") + port;
}

std::uint16_t BoundPort(int fd) {
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size) != 0) return 0;
  if (bound.ss_family == AF_INET6) {
    return ntohs(reinterpret_cast<sockaddr_in6*>(&bound)->sin6_port);
  }
  return ntohs(reinterpret_cast<sockaddr_in*>(&bound)->sin_port);
}

Status CannotListen(const std::string& address, int error, std::string_view option) {
  const std::string start = "cannot listen on " + address + ": ";
  const std::string end = "; choose another " + std::string(option);
  switch (error) {
    case EADDRINUSE:
      return {Code::kUnavailable, start + "address already in use by another program" + end};
    case EADDRNOTAVAIL:
      return {Code::kInvalidArgument, start + "not an address of this machine" + end};
    case EACCES:
      return {Code::kPermissionDenied, start + "not permitted (ports below 1024 need root)" + end};
    default: return {Code::kUnavailable, start + strerror(error) + end};
  }
}

}  // namespace

Result<Listener> Listen(const std::string& address, std::string_view option) {
  const Result<HostPort> parsed = ParseHostPort(address);
  if (!parsed.ok()) return parsed.status();
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int failed = getaddrinfo(parsed->host.empty() ? nullptr : parsed->host.c_str(),
                                 std::to_string(parsed->port).c_str(), &hints, &found);
  if (failed != 0) {
    return Status(Code::kInvalidArgument, "cannot listen on " + address + ": " +
                                              gai_strerror(failed) + "; choose another " +
                                              std::string(option));
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owned(found, freeaddrinfo);
  int error = EADDRNOTAVAIL;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    kj::AutoCloseFd fd(
        socket(one->ai_family, one->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, one->ai_protocol));
    if (fd.get() < 0) {
      error = errno;
      continue;
    }
    const int on = 1;
    // A restarted member takes its port back though old connections linger.
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, one->ai_addr, one->ai_addrlen) != 0 || listen(fd, kBacklog) != 0) {
      error = errno;
      continue;
    }
    const std::size_t colon = address.rfind(':');
    std::string bound = address.substr(0, colon + 1) + std::to_string(BoundPort(fd));
    return Listener{kj::mv(fd), std::move(bound)};
  }
  return CannotListen(address, error, option);
}

void ConfigureSocket(kj::AsyncIoStream& stream) {
  SetInt(stream, IPPROTO_TCP, TCP_NODELAY, 1);
  SetInt(stream, SOL_SOCKET, SO_KEEPALIVE, 1);
  SetInt(stream, IPPROTO_TCP, TCP_KEEPIDLE, 5);
  SetInt(stream, IPPROTO_TCP, TCP_KEEPINTVL, 2);
  SetInt(stream, IPPROTO_TCP, TCP_KEEPCNT, 3);
  SetInt(stream, IPPROTO_TCP, TCP_USER_TIMEOUT, 10'000);
}

std::string PeerAddressOf(kj::AsyncIoStream& stream) {
  sockaddr_storage address{};
  kj::uint size = sizeof address;
  auto failed = kj::runCatchingExceptions(
      [&] { stream.getpeername(reinterpret_cast<sockaddr*>(&address), &size); });
  if (failed != nullptr) return "an unknown address";
  return TextOf(reinterpret_cast<sockaddr*>(&address), size);
}

std::string ShortReason(const kj::Exception& exception) {
  std::string text = exception.getDescription().cStr();
  // KJ's own details, "; name = value". Our own sentences have semicolons as well.
  const std::size_t details = text.find("; ");
  if (details != std::string::npos && text.find(" = ", details) != std::string::npos) {
    text.resize(details);
  }
  if (const std::size_t call = text.rfind("): "); call != std::string::npos) {
    text = text.substr(call + 3);
  }
  constexpr std::string_view kRemote = "remote exception: ";
  if (const std::size_t remote = text.find(kRemote); remote != std::string::npos) {
    text = text.substr(remote + kRemote.size());
  }
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text.empty() ? "unknown failure" : text.substr(0, 300);
}

}  // namespace raftkv::rpc
