// The archive of a backup (tar in zstd, and a trailer): whatever the bytes, reading them ends, with
// little memory; what is read as whole has the trailer of its bytes.
#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "storage/backup/archive.h"
#include "storage/backup/archive_trailer.h"
#include "tests/fuzz/fuzz.h"

namespace raftkv::fuzz {
namespace {

/// Hands out `bytes` in pieces.
class PieceSource final : public storage::ByteSource {
 public:
  PieceSource(std::string_view bytes, std::size_t piece) : left_(bytes), piece_(piece) {}
  Result<std::size_t> Read(char* to, std::size_t size) override {
    const std::size_t count = std::min({size, piece_, left_.size()});
    if (count > 0) std::memcpy(to, left_.data(), count);
    left_.remove_prefix(count);
    return count;
  }
  [[nodiscard]] std::size_t left() const { return left_.size(); }

 private:
  std::string_view left_;
  const std::size_t piece_;
};

/// Reads files until it ends or fails, though not more than kMostBytes of content: a few bytes of
/// zstd can be very many zeros.
Status ReadAll(storage::ArchiveReader& archive) {
  constexpr std::size_t kMostBytes = 4 << 20;
  std::string buffer(64 << 10, '\0');
  std::size_t total = 0;
  while (total < kMostBytes) {
    const Result<std::optional<storage::ArchiveReader::File>> file = archive.NextFile();
    if (!file.ok()) return file.status();
    if (!file->has_value()) return Status::Ok();
    std::uint64_t read = 0;
    while (total < kMostBytes) {
      const Result<std::size_t> got = archive.Read(buffer.data(), buffer.size());
      if (!got.ok()) return got.status();
      if (*got == 0) break;
      read += *got;
      total += *got;
      RAFTKV_CHECK(read <= (*file)->size, read, (*file)->size);
    }
    ++total;  // so that empty files come to an end as well
  }
  return {Code::kCancelled, "more than is read here"};
}

Status CheckOne(std::string_view bytes, std::size_t piece) {
  PieceSource source(bytes, piece);
  const Result<std::unique_ptr<storage::ArchiveReader>> archive =
      storage::ArchiveReader::Open(source);
  const Status read = archive.ok() ? ReadAll(**archive) : archive.status();
  if (!read.ok()) {
    CheckRefusal(read, {Code::kCorruption, Code::kVersionMismatch, Code::kCancelled});
    return read;
  }
  // All of it was looked at, and the trailer is of all of it.
  RAFTKV_CHECK(source.left() == 0, source.left());
  RAFTKV_CHECK(bytes.size() >= storage::kTrailerBytes, bytes.size());
  const std::string_view before = bytes.substr(0, bytes.size() - storage::kTrailerBytes);
  const std::uint64_t checksum = XXH3_64bits(before.data(), before.size());
  RAFTKV_CHECK(bytes.ends_with(storage::EncodeTrailer(before.size(), checksum)));
  return read;
}

}  // namespace
}  // namespace raftkv::fuzz

RAFTKV_FUZZ_TARGET(archive) {
  const Status whole = CheckOne(input, 1 << 20);
  RAFTKV_CHECK(CheckOne(input, 7).code() == whole.code(), whole.ToString());
  // With the right trailer, which chance would not find.
  std::string sealed(input);
  sealed += storage::EncodeTrailer(input.size(), XXH3_64bits(input.data(), input.size()));
  static_cast<void>(CheckOne(sealed, 1 << 20));
}
