#include "storage/backup/archive_trailer.h"

#include <algorithm>
#include <cstring>

#include "lib/base/bytes.h"
#include "lib/base/check.h"
#include "storage/backup/archive.h"

namespace raftkv::storage {

namespace {

constexpr std::string_view kTrailerMagic = "raftkvbk";
/// The magic number of a zstd frame that is skipped, and the length of what follows, both as zstd
/// has them: little-endian.
constexpr std::string_view kFrame("\x50\x2a\x4d\x18\x1c\x00\x00\x00", 8);

Status DamagedTrailer() {
  return Status(Code::kCorruption, "it is damaged, truncated, or not a raftkv backup");
}

}  // namespace

std::string EncodeTrailer(std::uint64_t length, std::uint64_t checksum) {
  std::string out(kFrame);
  out.append(kTrailerMagic);
  AppendBigEndian32(out, kArchiveFormatVersion);
  AppendBigEndian64(out, length);
  AppendBigEndian64(out, checksum);
  RAFTKV_CHECK(out.size() == kTrailerBytes, out.size());
  return out;
}

Status CheckTrailer(std::string_view trailer, std::uint64_t length, std::uint64_t checksum) {
  if (trailer.size() != kTrailerBytes || !trailer.starts_with(kFrame)) return DamagedTrailer();
  std::string_view in = trailer.substr(kFrame.size());
  if (!in.starts_with(kTrailerMagic)) return DamagedTrailer();
  in.remove_prefix(kTrailerMagic.size());
  const std::uint32_t version = *TakeBigEndian32(in);
  if (*TakeBigEndian64(in) != length || *TakeBigEndian64(in) != checksum) return DamagedTrailer();
  if (version == kArchiveFormatVersion) return Status::Ok();
  if (version < kArchiveFormatVersion) return DamagedTrailer();
  return Status(Code::kVersionMismatch, "the backup has format version " + std::to_string(version) +
                                            ", this program knows " +
                                            std::to_string(kArchiveFormatVersion) +
                                            ": use the newer program");
}

Status TrailerSink::Write(std::string_view bytes) {
  checksum_.Add(bytes);
  bytes_ += bytes.size();
  return sink_.Write(bytes);
}

Status TrailerSink::Finish() {
  const std::string trailer = EncodeTrailer(bytes_, checksum_.Value());
  bytes_ += trailer.size();
  const Status written = sink_.Write(trailer);
  return written.ok() ? sink_.Finish() : written;
}

Result<std::string_view> TrailerSource::Next() {
  if (!failure_.ok()) return failure_;
  if (ended_) return std::string_view();
  // What was held back may be the trailer, or the beginning of more.
  buffer_.resize(kPieceBytes + kTrailerBytes);
  std::memmove(buffer_.data(), buffer_.data() + given_, filled_ - given_);
  filled_ -= given_;
  given_ = 0;
  while (filled_ <= kTrailerBytes) {
    const Result<std::size_t> read =
        source_.Read(buffer_.data() + filled_, buffer_.size() - filled_);
    if (!read.ok()) {
      failure_ = read.status();
      return failure_;
    }
    filled_ += *read;
    came_ += *read;
    if (*read > 0) continue;
    ended_ = true;
    failure_ = CheckTrailer({buffer_.data(), filled_}, came_ - filled_, checksum_.Value());
    if (!failure_.ok()) return failure_;
    return std::string_view();
  }
  given_ = filled_ - kTrailerBytes;
  const std::string_view piece(buffer_.data(), given_);
  checksum_.Add(piece);
  return piece;
}

}  // namespace raftkv::storage
