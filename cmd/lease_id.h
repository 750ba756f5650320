// How is the number of a lease written on the command line?
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace raftkv::cmd {

/// Hexadecimal, as etcdctl and `lease grant` print it, with or without leading zeros and 0x;
/// nothing if it is not such a number. 0 stands for no lease.
inline std::optional<std::uint64_t> ParseLeaseId(std::string_view text) {
  if (text.starts_with("0x") || text.starts_with("0X")) text.remove_prefix(2);
  std::uint64_t id = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, id, 16);
  if (text.empty() || error != std::errc() || rest != end) return std::nullopt;
  return id;
}

/// What is wrong with a number of a lease.
inline std::string NoLeaseId(const std::string& text) {
  return "'" + text + "' is not the ID of a lease: up to 16 hexadecimal digits, as lease grant " +
         "and lease list print them";
}

}  // namespace raftkv::cmd
