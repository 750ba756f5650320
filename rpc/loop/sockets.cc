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

#include "rpc/loop/resolver.h"

namespace raftkv::rpc {
namespace {

constexpr int kBacklog = 512;

void SetInt(kj::AsyncIoStream& stream, int level, int option, int value) {
  // A stream that is not a TCP socket (tests) has no such option.
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

void SetPort(sockaddr* address, std::uint16_t port) {
  if (address->sa_family == AF_INET6) {
    reinterpret_cast<sockaddr_in6*>(address)->sin6_port = htons(port);
  } else {
    reinterpret_cast<sockaddr_in*>(address)->sin_port = htons(port);
  }
}

bool IsLoopbackSocket(int fd) {
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size) != 0) return false;
  if (bound.ss_family == AF_INET6) {
    const in6_addr& address = reinterpret_cast<sockaddr_in6*>(&bound)->sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(&address);
  }
  constexpr std::uint32_t kLoopbackNet = 127;
  return ntohl(reinterpret_cast<sockaddr_in*>(&bound)->sin_addr.s_addr) >> 24 == kLoopbackNet;
}

struct Bound {
  std::vector<kj::AutoCloseFd> fds;
  int error = 0;  ///< without a socket, or with a port that another program has
};

/// A socket for each address of the list, on one port: that of the first one, if it was chosen by
/// the system. Addresses that this machine does not have are skipped, as long as there is another.
Bound BindEach(const std::vector<SocketAddress>& list) {
  Bound bound;
  int missing = EADDRNOTAVAIL;
  for (const SocketAddress& one : list) {
    const int family = one.storage.ss_family;
    kj::AutoCloseFd fd(socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (fd.get() < 0) {
      missing = errno;
      continue;
    }
    const int on = 1;
    // A restarted member gets its port back although old connections linger.
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    // Otherwise "::" would also take the port of 0.0.0.0, which has a socket of its own.
    if (list.size() > 1 && family == AF_INET6) {
      setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    }
    sockaddr_storage address = one.storage;
    auto* const to = reinterpret_cast<sockaddr*>(&address);
    if (!bound.fds.empty()) SetPort(to, BoundPort(bound.fds.front()));
    if (bind(fd, to, one.size) == 0 && listen(fd, kBacklog) == 0) {
      bound.fds.push_back(kj::mv(fd));
    } else if (errno == EADDRNOTAVAIL || errno == EAFNOSUPPORT) {
      missing = errno;
    } else {
      bound.error = errno;
      return bound;
    }
  }
  if (bound.fds.empty()) bound.error = missing;
  return bound;
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

Result<Listener> Listen(const std::string& address, std::string_view option, Duration look_up) {
  const Result<HostPort> parsed = ParseHostPort(address);
  if (!parsed.ok()) return parsed.status();
  const auto found = ResolveWithin(parsed->host, parsed->port, look_up);
  if (!found.ok()) {
    return Status(found.code(), "cannot listen on " + address + ": " + found.status().message() +
                                    "; choose another " + std::string(option));
  }
  // With port 0 the first socket gets one, which another program may hold on the next address.
  constexpr int kDraws = 8;
  Bound bound;
  for (int draw = 0; draw < kDraws; ++draw) {
    bound = BindEach(*found);
    if (bound.error != EADDRINUSE || parsed->port != 0) break;
  }
  if (bound.error != 0) return CannotListen(address, bound.error, option);
  Listener listener;
  listener.address = ToText({parsed->host, BoundPort(bound.fds.front())});
  listener.fd = kj::mv(bound.fds.front());
  for (std::size_t i = 1; i < bound.fds.size(); ++i) listener.more.push_back(kj::mv(bound.fds[i]));
  return listener;
}

bool IsLoopback(const Listener& listener) {
  return IsLoopbackSocket(listener.fd.get()) &&
         std::all_of(listener.more.begin(), listener.more.end(),
                     [](const kj::AutoCloseFd& fd) { return IsLoopbackSocket(fd.get()); });
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
