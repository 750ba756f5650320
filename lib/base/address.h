// How is the address of a member read?
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <raftkv/status.h>

namespace raftkv {

struct HostPort {
  std::string host;
  std::uint16_t port = 0;
};
/// "host:port", "[v6]:port" or ":port" (every address of the machine). InvalidArgument otherwise.
Result<HostPort> ParseHostPort(std::string_view address);

}  // namespace raftkv
