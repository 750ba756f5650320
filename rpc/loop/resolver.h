// How is a name looked up without ever blocking the loop?
//
// The system's resolver blocks for an arbitrary time and cannot be stopped. Each name being looked
// up has a thread of its own, one lookup at a time; callers that ask in the meantime wait for the
// same answer, and may stop waiting. These threads are never joined: one that hangs holds up
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

/// On a loop. At least one address, in the system's order; numeric ones are immediate.
kj::Promise<std::vector<SocketAddress>> Resolve(const std::string& host, std::uint16_t port);

/// The same on any thread, which blocks. InvalidArgument: there is no such name; Unavailable: the
/// resolver did not answer in time, or there is no thread left to ask it.
Result<std::vector<SocketAddress>> ResolveWithin(const std::string& host, std::uint16_t port,
                                                 Duration timeout);

/// For tests: called instead of getaddrinfo(); null: not replaced.
using LookUp = int (*)(const char* host, const char* port, const addrinfo* hints, addrinfo** found);
void SetLookUp(LookUp look_up);

}  // namespace raftkv::rpc
