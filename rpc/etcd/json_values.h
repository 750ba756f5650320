// Where does one JSON object of a request's body end, and the next begin?
//
// Only brackets and strings are looked at: whether it is JSON at all is for the decoder to say.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "rpc/etcd/outcome.h"

namespace raftkv::etcd {

class JsonValues {
 public:
  explicit JsonValues(std::size_t max_bytes) : max_bytes_(max_bytes) {}

  /// Calls `on_value` with each object that `bytes` completes, until it returns false; its argument
  /// is valid during the call only. Where something else begins, that is taken up to the end of
  /// `bytes`, for the decoder to refuse. Not ok: an object is too large.
  Outcome Read(std::string_view bytes, const std::function<bool(std::string_view)>& on_value);

  /// What has arrived of an incomplete object.
  [[nodiscard]] const std::string& unfinished() const { return partial_; }
  void Drop() { std::string().swap(partial_); }

 private:
  /// How many of `bytes` belong to the object that is open, its end included.
  std::size_t Scan(std::string_view bytes);

  const std::size_t max_bytes_;
  std::string partial_;
  std::size_t depth_ = 0;  ///< open brackets
  bool in_string_ = false;
  bool escaped_ = false;
};

}  // namespace raftkv::etcd
