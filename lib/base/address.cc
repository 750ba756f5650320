#include "lib/base/address.h"

#include <algorithm>
#include <charconv>

namespace raftkv {

Result<HostPort> ParseHostPort(std::string_view address) {
  const Status bad(Code::kInvalidArgument, "'" + std::string(address.substr(0, 200)) +
                                               "' is no address; write host:port, for example "
                                               "127.0.0.1:7001");
  const std::size_t colon = address.rfind(':');
  if (colon == std::string_view::npos || address.size() > 300) return bad;
  HostPort result;
  std::string_view host = address.substr(0, colon);
  const std::string_view port = address.substr(colon + 1);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return bad;
  }
  const bool odd = std::any_of(host.begin(), host.end(), [](unsigned char c) {
    return c <= ' ' || c == ',' || c == '=' || c == '/' || c == '[' || c == ']' || c >= 0x7f;
  });
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), result.port);
  if (odd || port.empty() || error != std::errc() || end != port.data() + port.size()) return bad;
  result.host = host;
  return result;
}

}  // namespace raftkv
