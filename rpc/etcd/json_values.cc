#include "rpc/etcd/json_values.h"

#include <algorithm>

namespace raftkv::etcd {

std::size_t JsonValues::Scan(std::string_view bytes) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const char c = bytes[i];
    if (in_string_) {
      if (escaped_) {
        escaped_ = false;
      } else if (c == '\\') {
        escaped_ = true;
      } else if (c == '"') {
        in_string_ = false;
      }
    } else if (c == '"') {
      in_string_ = true;
    } else if (c == '{' || c == '[') {
      ++depth_;
    } else if (c == '}' || c == ']') {
      if (--depth_ == 0) return i + 1;
    }
  }
  return bytes.size();
}

Outcome JsonValues::Read(std::string_view bytes,
                         const std::function<bool(std::string_view)>& on_value) {
  while (true) {
    if (depth_ == 0) {
      const std::size_t begin = bytes.find_first_not_of(" \t\r\n");
      if (begin == std::string_view::npos) return {};
      bytes.remove_prefix(begin);
      if (bytes[0] != '{') {
        static_cast<void>(on_value(bytes));
        return {};
      }
    }
    const std::size_t size = Scan(bytes);
    const std::string_view part = bytes.substr(0, size);
    bytes.remove_prefix(size);
    if (partial_.size() + size > max_bytes_) {
      return {GrpcCode::kResourceExhausted,
              "the request is larger than " + std::to_string(max_bytes_) + " bytes of JSON"};
    }
    if (depth_ > 0) {
      partial_ += part;
      return {};
    }
    bool more = true;
    if (partial_.empty()) {
      more = on_value(part);
    } else {
      partial_ += part;
      const std::string complete = std::move(partial_);
      partial_.clear();
      more = on_value(complete);
    }
    if (!more) return {};
  }
}

}  // namespace raftkv::etcd
