// How is every byte of an archive known to be what was written, and none to be missing?
//
// By its last bytes: a frame that zstd skips, with the length and the checksum of all that stands
// before (docs/disk-format.md). It has to be the end: nothing stands behind it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "storage/backup/byte_stream.h"
#include "storage/disk/checksums.h"
#include "storage/snapshot/snapshot_manifest.h"

namespace raftkv::storage {

inline constexpr std::size_t kTrailerBytes = 36;

/// The trailer behind so many bytes with this checksum (XXH3-64).
std::string EncodeTrailer(std::uint64_t length, std::uint64_t checksum);
/// Corruption: it is another one's, or none. VersionMismatch: a newer version wrote it.
Status CheckTrailer(std::string_view trailer, std::uint64_t length, std::uint64_t checksum);

/// Passes on what comes, and puts the trailer behind it.
class TrailerSink final : public ByteSink {
 public:
  /// Borrowed.
  explicit TrailerSink(ByteSink& sink) : sink_(sink) {}
  Status Write(std::string_view bytes) override;
  Status Finish() override;
  /// With the trailer, once it is there.
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

 private:
  ByteSink& sink_;
  RunningChecksum checksum_;
  std::uint64_t bytes_ = 0;
};

/// All but the trailer, in pieces that stay valid until the next call.
class TrailerSource {
 public:
  /// Borrowed.
  explicit TrailerSource(ByteSource& source) : source_(source) {}
  /// Empty: the end, and the trailer is right. A failure comes again and again.
  Result<std::string_view> Next();
  /// As it came from the source so far.
  [[nodiscard]] std::uint64_t bytes() const { return came_; }

 private:
  ByteSource& source_;
  RunningChecksum checksum_;
  std::string buffer_;
  /// Of buffer_: what stands there, and what of it was given out.
  std::size_t filled_ = 0;
  std::size_t given_ = 0;
  std::uint64_t came_ = 0;
  bool ended_ = false;
  Status failure_;
};

}  // namespace raftkv::storage
