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
  /// Takes all that is free.
  void Fill();
  void Free();

 private:
  const std::filesystem::path path_;
  std::string problem_;
};

}  // namespace raftkv::test
