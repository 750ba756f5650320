// How do bytes stand in the JSON of the gateway?
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace raftkv::etcd {

/// Appends `bytes` in the standard alphabet, padded.
void AppendBase64(std::string_view bytes, std::string& out);

/// As Go's decoder takes it: the standard alphabet, padded; line ends are skipped, and bits that
/// padding leaves over are ignored. Nothing: `text` is something else.
std::optional<std::string> DecodeBase64(std::string_view text);

}  // namespace raftkv::etcd
