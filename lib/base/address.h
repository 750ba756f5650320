// Which names and addresses can a member have, and how are they parsed? (the one check for every
// place where they enter: flags, options, requests, hellos)
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <raftkv/status.h>

namespace raftkv {

inline constexpr std::size_t kMaxMemberNameBytes = 256;

struct HostPort {
  std::string host;  ///< without brackets; empty: every address of this machine
  std::uint16_t port = 0;
};

/// "host:port", "[v6]:port" or ":port". Names in lower case, IP addresses as inet_ntop writes them
/// (a mapped IPv4 address as IPv4), so that one address has one spelling. InvalidArgument
/// otherwise.
Result<HostPort> ParseHostPort(std::string_view address);

/// As ParseHostPort reads it: "[::1]:7001".
std::string ToText(const HostPort& address);

/// "", "0.0.0.0" or "::": every address of this machine, so not one that others can connect to.
bool IsWildcard(const HostPort& address);

/// An address to listen on: any that can be parsed. `what` begins the error.
Result<HostPort> ParseListenAddress(const std::string& what, std::string_view address);

/// An address that others connect to: no wildcard, no port 0. `what` begins the error.
Result<HostPort> ParseRemoteAddress(const std::string& what, std::string_view address);

/// 1 to 256 bytes that "--cluster NAME=HOST:PORT,..." and a log line can carry: no '=' or ',', no
/// control character, no space at either end. `what` begins the error: "the name of this member".
Status CheckMemberName(const std::string& what, std::string_view name);

/// For messages: in quotation marks, control characters as \x0a, truncated after 200 bytes.
std::string Quoted(std::string_view text);

}  // namespace raftkv
