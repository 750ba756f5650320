// How are addresses listened on, and TCP sockets set up?
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <kj/async-io.h>
#include <kj/io.h>

#include <raftkv/status.h>

#include "lib/base/address.h"
#include "lib/base/time.h"

namespace raftkv::rpc {

/// For a name to listen on. The system's resolver asks each of its servers for 5 s, twice.
inline constexpr Duration kLookUpPatience = std::chrono::seconds(20);

struct Listener {
  kj::AutoCloseFd fd;
  /// The same port on the other addresses of the name: "localhost" has two.
  std::vector<kj::AutoCloseFd> more;
  /// "host:port" as requested, with the port that was chosen.
  std::string address;
};
/// Binds and listens on each address of the name that this machine has. `option`
/// names what the user would change, for example "--listen". Unavailable: the port is taken,
/// or the name could not be looked up in time; InvalidArgument: not an address of this machine.
Result<Listener> Listen(const std::string& address, std::string_view option,
                        Duration look_up = kLookUpPatience);

/// Whether only programs on this machine can connect to it.
[[nodiscard]] bool IsLoopback(const Listener& listener);

/// TCP_NODELAY; keepalive and TCP_USER_TIMEOUT, so that a peer that vanished silently is noticed
/// within about ten seconds.
void ConfigureSocket(kj::AsyncIoStream& stream);

/// "127.0.0.1:40312", or "an unknown address".
std::string PeerAddressOf(kj::AsyncIoStream& stream);

/// A kj exception as a few words for a log line: "Connection refused".
std::string ShortReason(const kj::Exception& exception);

}  // namespace raftkv::rpc
