// How is a name looked up without the loop ever waiting for it?
//
// The system's resolver blocks, for as long as it likes, and cannot be stopped. It runs on a thread
// of its own for each name that is being looked up, once at a time; whoever asks meanwhile waits
// for the same answer, and may stop waiting. Nobody joins these threads: one that hangs keeps
// neither the loop nor the end of the process.
#pragma once

#include <netdb.h>
#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <vector>

#include <kj/async-io.h>

#include <raftkv/status.h>

#include "lib/base/time.h"

namespace raftkv::rpc {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

/// On a loop. At least one address, in the order of the system's choice; numeric ones come at once.
kj::Promise<std::vector<SocketAddress>> Resolve(const std::string& host, std::uint16_t port);

/// The same on any thread, which waits. InvalidArgument: there is no such name; Unavailable: the
/// resolver did not answer in time, or has no thread to be asked on.
Result<std::vector<SocketAddress>> ResolveWithin(const std::string& host, std::uint16_t port,
                                                 Duration timeout);

/// For tests: what is called in place of getaddrinfo(); null: that.
using LookUp = int (*)(const char* host, const char* port, const addrinfo* hints, addrinfo** found);
void SetLookUp(LookUp look_up);

}  // namespace raftkv::rpc
