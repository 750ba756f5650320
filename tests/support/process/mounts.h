// How does a test give a process a disk that is small, and can be full?
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace raftkv::test {

/// From here on this thread, and the processes it starts, have mounts of their own, which end with
/// them. Empty, or why it is not possible.
std::string MakeMountsPrivate();

/// A file system of `bytes` in memory, mounted at `path`, which is made. Unmounted by whoever is
/// last: needs MakeMountsPrivate() before.
class SmallDisk {
 public:
  SmallDisk(std::filesystem::path path, std::uint64_t bytes);
  ~SmallDisk();
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  /// Empty, or why it could not be mounted.
  [[nodiscard]] const std::string& problem() const { return problem_; }
  /// Takes what is free now but `left` bytes, which are for who writes meanwhile; false: that was
  /// too little. In one step: one that is too large would take all for a moment, and a later one
  /// what a member has given up by then.
  [[nodiscard]] bool Fill(std::uint64_t left = 64 << 10);
  void Free();

 private:
  const std::filesystem::path path_;
  std::string problem_;
};

}  // namespace raftkv::test
