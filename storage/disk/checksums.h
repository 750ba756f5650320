// What is the checksum of bytes that arrive in pieces? (XXH3-64)
#pragma once

#include <cstdint>
#include <string_view>

namespace raftkv::storage {

/// XXH3-64 of all bytes added so far. For one thread.
class RunningChecksum {
 public:
  RunningChecksum();
  ~RunningChecksum();
  RunningChecksum(const RunningChecksum&) = delete;
  RunningChecksum& operator=(const RunningChecksum&) = delete;
  void Add(std::string_view bytes);
  [[nodiscard]] std::uint64_t Value() const;

 private:
  void* const state_;
};

}  // namespace raftkv::storage
