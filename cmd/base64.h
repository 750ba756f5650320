// How do bytes stand in JSON?
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace raftkv::cmd {

std::string EncodeBase64(std::string_view bytes);
/// Nothing if `text` is no base64 as EncodeBase64 writes it (with its padding).
std::optional<std::string> DecodeBase64(std::string_view text);

}  // namespace raftkv::cmd
