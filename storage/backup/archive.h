// How do many files become one stream of bytes that ordinary tools can list, and of which no byte
// can change without being noticed?
//
// A tar archive inside zstd, and behind it a trailer: a frame that zstd skips, with the length and
// the checksum of all that stands before it (docs/disk-format.md). Each is used by one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <raftkv/status.h>

#include "storage/backup/byte_stream.h"

namespace raftkv::storage {

inline constexpr std::uint32_t kArchiveFormatVersion = 1;

/// A failure is final.
class ArchiveWriter {
 public:
  /// `sink` is borrowed. `modified_s`: of all files in it, since 1970.
  static Result<std::unique_ptr<ArchiveWriter>> Open(ByteSink& sink, std::int64_t modified_s);
  virtual ~ArchiveWriter() = default;

  /// The next file; all of the one before was written.
  virtual Status BeginFile(const std::string& name, std::uint64_t size) = 0;
  virtual Status Write(std::string_view bytes) = 0;
  /// Writes the end, and finishes the sink.
  virtual Status Finish() = 0;
  /// Of the whole archive, once it is finished.
  [[nodiscard]] virtual std::uint64_t bytes() const = 0;
};

/// A failure is final. Corruption: damaged, cut off, or no such archive.
class ArchiveReader {
 public:
  /// `source` is borrowed.
  static Result<std::unique_ptr<ArchiveReader>> Open(ByteSource& source);
  virtual ~ArchiveReader() = default;

  struct File {
    std::string name;
    std::uint64_t size = 0;
  };
  /// What is left of the file before is passed over. nullopt: there are no more, and all that was
  /// read is what was written.
  virtual Result<std::optional<File>> NextFile() = 0;
  /// Up to `size` bytes of the file; 0: its end.
  virtual Result<std::size_t> Read(char* to, std::size_t size) = 0;
  /// Of the archive, as it came from the source so far.
  [[nodiscard]] virtual std::uint64_t bytes() const = 0;
};

}  // namespace raftkv::storage
