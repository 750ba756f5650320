// How is an id shown in a message?
#pragma once

#include <cstdio>
#include <string>

#include "lib/base/ids.h"

namespace raftkv::node {

/// 16 hexadecimal digits.
template <class Tag>
std::string Hex(StrongId<Tag> id) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(id.value));
  return text;
}

}  // namespace raftkv::node
