#include "lib/base/address.h"

#include <arpa/inet.h>   // check:allow include: only computes
#include <netinet/in.h>  // check:allow include: only computes

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>

namespace raftkv {

namespace {

constexpr std::size_t kMaxAddressBytes = 300;
/// Length of a DNS name (RFC 1035), and of each part of it.
constexpr std::size_t kMaxHostBytes = 253;
constexpr std::size_t kMaxLabelBytes = 63;

Status Invalid(const std::string& what) { return {Code::kInvalidArgument, what}; }

bool IsControl(unsigned char c) { return c < ' ' || c == 0x7f; }

bool IsDigit(unsigned char c) { return c >= '0' && c <= '9'; }

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

/// The canonical form of an IPv4 address; nothing if it is not one.
std::optional<std::string> CanonicalV4(const std::string& host) {
  in_addr bytes{};
  char text[INET_ADDRSTRLEN];
  if (inet_pton(AF_INET, host.c_str(), &bytes) != 1) return std::nullopt;
  if (inet_ntop(AF_INET, &bytes, text, sizeof text) == nullptr) return std::nullopt;
  return text;
}

/// The same for an IPv6 address, with its zone ("fe80::1%eth0") if it has one.
std::optional<std::string> CanonicalV6(const std::string& host) {
  const std::size_t percent = host.find('%');
  const std::string zone = percent == std::string::npos ? "" : host.substr(percent);
  const bool plain = std::all_of(zone.begin() + (zone.empty() ? 0 : 1), zone.end(), [](char c) {
    return IsDigit(c) || (Lower(c) >= 'a' && Lower(c) <= 'z') || c == '-' || c == '_' || c == '.';
  });
  if (zone.size() == 1 || !plain) return std::nullopt;
  in6_addr bytes{};
  if (inet_pton(AF_INET6, host.substr(0, percent).c_str(), &bytes) != 1) return std::nullopt;
  if (zone.empty() && IN6_IS_ADDR_V4MAPPED(&bytes)) {
    char v4[INET_ADDRSTRLEN];
    if (inet_ntop(AF_INET, bytes.s6_addr + 12, v4, sizeof v4) == nullptr) return std::nullopt;
    return v4;
  }
  char text[INET6_ADDRSTRLEN];
  if (inet_ntop(AF_INET6, &bytes, text, sizeof text) == nullptr) return std::nullopt;
  return text + zone;
}

/// A DNS name, with what container networks also use ('_').
bool IsHostName(std::string_view host) {
  if (host.ends_with('.')) host.remove_suffix(1);
  if (host.empty() || host.size() > kMaxHostBytes) return false;
  std::size_t label = 0;
  for (const char c : host) {
    if (c == '.') {
      if (label == 0) return false;
      label = 0;
      continue;
    }
    const bool known = IsDigit(c) || (Lower(c) >= 'a' && Lower(c) <= 'z') || c == '-' || c == '_';
    if (!known || ++label > kMaxLabelBytes) return false;
  }
  return label > 0;
}

/// Resolvers take "127.1", "010.0.0.1" (octal) and "0x7f000001" for IPv4 addresses.
bool LooksLikeV4(std::string_view host) {
  if (host.ends_with('.')) host.remove_suffix(1);
  const std::string_view last = host.substr(host.rfind('.') + 1);
  if (last.empty()) return false;
  if (last.size() > 1 && last[0] == '0' && Lower(last[1]) == 'x') return true;
  return std::all_of(last.begin(), last.end(), IsDigit);
}

}  // namespace

std::string Quoted(std::string_view text) {
  static constexpr char kDigits[] = "0123456789abcdef";
  constexpr std::size_t kMost = 200;
  std::string out = "'";
  for (const char c : text.substr(0, kMost)) {
    if (!IsControl(c)) {
      out += c;
      continue;
    }
    out += "\\x";
    out += kDigits[static_cast<unsigned char>(c) >> 4];
    out += kDigits[static_cast<unsigned char>(c) & 15];
  }
  return out + (text.size() > kMost ? "...'" : "'");
}

Result<HostPort> ParseHostPort(std::string_view address) {
  const auto bad = [address](const std::string& why) {
    return Invalid(Quoted(address) + " is no address" + why +
                   "; write host:port, for example 127.0.0.1:7001 or [::1]:7001");
  };
  if (address.size() > kMaxAddressBytes) return bad(": it is too long");
  if (address.find("://") != std::string_view::npos) return bad(": leave out the scheme");
  const auto space = [](unsigned char c) { return c == ' ' || IsControl(c); };
  if (std::any_of(address.begin(), address.end(), space)) {
    return bad(": it contains a space or a control character");
  }
  const std::size_t colon = address.rfind(':');
  if (colon == std::string_view::npos) return bad(": it has no port");
  HostPort result;
  std::string host(address.substr(0, colon));
  const std::string_view port = address.substr(colon + 1);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), result.port);
  if (port.empty() || error != std::errc() || end != port.data() + port.size()) {
    return bad(": its port is not a number from 0 to 65535");
  }
  if (host.empty()) return result;
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    const auto v6 = CanonicalV6(host.substr(1, host.size() - 2));
    if (!v6) return bad(": the text in brackets is not an IPv6 address");
    result.host = *v6;
    return result;
  }
  if (host.find(':') != std::string::npos) {
    const bool v6 = CanonicalV6(host).has_value() || CanonicalV6(std::string(address)).has_value();
    return bad(v6 ? ": an IPv6 address needs brackets" : ": it has more than one colon");
  }
  if (const auto v4 = CanonicalV4(host)) {
    result.host = *v4;
    return result;
  }
  if (LooksLikeV4(host)) {
    return bad(": an IPv4 address has four numbers from 0 to 255, without leading zeros");
  }
  if (!IsHostName(host)) return bad(": its host is not a valid host name");
  // The dot at the end is kept: it stops the resolver from trying the search domains.
  std::transform(host.begin(), host.end(), host.begin(), Lower);
  result.host = std::move(host);
  return result;
}

std::string ToText(const HostPort& address) {
  const bool v6 = address.host.find(':') != std::string::npos;
  return (v6 ? "[" + address.host + "]" : address.host) + ":" + std::to_string(address.port);
}

bool IsWildcard(const HostPort& address) {
  return address.host.empty() || address.host == "0.0.0.0" || address.host == "::";
}

Result<HostPort> ParseListenAddress(const std::string& what, std::string_view address) {
  Result<HostPort> parsed = ParseHostPort(address);
  if (!parsed.ok()) return Invalid(what + ": " + parsed.status().message());
  return parsed;
}

Result<HostPort> ParseRemoteAddress(const std::string& what, std::string_view address) {
  Result<HostPort> parsed = ParseListenAddress(what, address);
  if (!parsed.ok()) return parsed;
  if (IsWildcard(*parsed)) {
    return Invalid(what + ": " + Quoted(address) +
                   " means every address of a machine and cannot be connected to; name the host");
  }
  if (parsed->port == 0) {
    return Invalid(what + ": " + Quoted(address) +
                   " has port 0 and cannot be connected to; name a port from 1 to 65535");
  }
  return parsed;
}

Status CheckMemberName(const std::string& what, std::string_view name) {
  if (name.empty() || name.size() > kMaxMemberNameBytes) {
    return Invalid(what + " must have 1 to " + std::to_string(kMaxMemberNameBytes) + " bytes");
  }
  if (name.find_first_of("=,") != std::string_view::npos) {
    return Invalid(what + ", " + Quoted(name) + ", must not contain '=' or ','");
  }
  if (std::any_of(name.begin(), name.end(), IsControl)) {
    return Invalid(what + ", " + Quoted(name) + ", must not contain a control character");
  }
  if (name.front() == ' ' || name.back() == ' ') {
    return Invalid(what + ", " + Quoted(name) + ", must not begin or end with a space");
  }
  return Status::Ok();
}

}  // namespace raftkv
