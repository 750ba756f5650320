// Is this text? protobuf and JSON both ask for UTF-8.
#pragma once

#include <string_view>

namespace raftkv::etcd {

/// Well-formed UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF.
bool IsUtf8(std::string_view text);

}  // namespace raftkv::etcd
