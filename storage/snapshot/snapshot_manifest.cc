#include "storage/snapshot/snapshot_manifest.h"

#include <limits>
#include <memory>
#include <set>

#include "lib/base/bytes.h"
#include "lib/base/check.h"
#include "lib/base/xxh3.h"
#include "storage/disk/checksums.h"
#include "storage/disk/files.h"

namespace raftkv::storage {

namespace {

constexpr std::string_view kManifestMagic = "raftkvsm";
constexpr std::size_t kChecksumBytes = 8;
// magic, version, length, applied, number of files
constexpr std::size_t kManifestHeaderBytes = 8 + 4 + 4 + 8 + 4;

Status DamagedManifest() {
  return Status(Code::kCorruption, "the manifest of a snapshot is damaged");
}

bool TakeFile(std::string_view& in, ManifestFile& file) {
  const std::optional<std::uint64_t> size = TakeBigEndian64(in);
  const std::optional<std::uint64_t> checksum = TakeBigEndian64(in);
  const std::optional<std::uint32_t> length = TakeBigEndian32(in);
  if (!size || !checksum || !length || *length > in.size()) return false;
  file = {std::string(in.substr(0, *length)), *size, *checksum};
  in.remove_prefix(*length);
  return IsPlainName(file.name);
}

}  // namespace

bool IsPlainName(std::string_view name) {
  return !name.empty() && name.size() <= 255 && name.front() != '.' &&
         name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

Result<ManifestFile> ChecksumFile(rocksdb::Env& env, const std::string& folder,
                                  const std::string& name, const CancelToken& token) {
  constexpr std::size_t kPieceBytes = 1 << 20;
  const std::string path = folder + "/" + name;
  std::unique_ptr<rocksdb::SequentialFile> file;
  const rocksdb::Status opened = env.NewSequentialFile(path, &file, rocksdb::EnvOptions());
  if (!opened.ok()) return ToStatus(opened, "open " + path);
  const std::unique_ptr<char[]> piece(new char[kPieceBytes]);
  RunningChecksum checksum;
  ManifestFile found{.name = name};
  while (true) {
    if (token.cancelled()) return Status(Code::kCancelled, "reading " + path + " was stopped");
    rocksdb::Slice read;
    const rocksdb::Status status = file->Read(kPieceBytes, &read, piece.get());
    if (!status.ok()) return ToStatus(status, "read " + path);
    if (read.empty()) break;
    checksum.Add({read.data(), read.size()});
    found.size += read.size();
  }
  found.checksum = checksum.Value();
  return found;
}

std::string EncodeManifest(const Manifest& manifest) {
  std::string files;
  for (const ManifestFile& file : manifest.files) {
    RAFTKV_CHECK(IsPlainName(file.name), file.name);
    AppendBigEndian64(files, file.size);
    AppendBigEndian64(files, file.checksum);
    AppendBigEndian32(files, static_cast<std::uint32_t>(file.name.size()));
    files.append(file.name);
  }
  const std::size_t length = kManifestHeaderBytes + files.size() + kChecksumBytes;
  RAFTKV_CHECK(length <= kMaxManifestBytes, length);
  std::string out(kManifestMagic);
  AppendBigEndian32(out, kManifestFormatVersion);
  AppendBigEndian32(out, static_cast<std::uint32_t>(length));
  AppendBigEndian64(out, manifest.applied.value);
  AppendBigEndian32(out, static_cast<std::uint32_t>(manifest.files.size()));
  out.append(files);
  AppendBigEndian64(out, XXH3_64bits(out.data(), out.size()));
  return out;
}

Result<std::optional<std::size_t>> ManifestLength(std::string_view bytes) {
  if (bytes.substr(0, kManifestMagic.size()) != kManifestMagic.substr(0, bytes.size()))
    return DamagedManifest();
  if (bytes.size() < kManifestHeaderBytes) return std::optional<std::size_t>();
  std::string_view in = bytes.substr(kManifestMagic.size());
  const std::uint32_t version = *TakeBigEndian32(in);
  const std::uint32_t length = *TakeBigEndian32(in);
  if (version == 0 || length < kManifestHeaderBytes + kChecksumBytes) return DamagedManifest();
  if (version > kManifestFormatVersion) {
    return Status(Code::kVersionMismatch, "a snapshot has format version " +
                                              std::to_string(version) + ", this program knows " +
                                              std::to_string(kManifestFormatVersion) +
                                              ": use the newer program");
  }
  if (length > kMaxManifestBytes) return DamagedManifest();
  return std::optional<std::size_t>(length);
}

Result<Manifest> DecodeManifest(std::string_view bytes) {
  const Result<std::optional<std::size_t>> length = ManifestLength(bytes);
  if (!length.ok()) return length.status();
  if (!length->has_value() || **length != bytes.size()) return DamagedManifest();
  const std::string_view checked = bytes.substr(0, bytes.size() - kChecksumBytes);
  if (SnapshotId(bytes) != XXH3_64bits(checked.data(), checked.size())) return DamagedManifest();
  std::string_view in = checked.substr(kManifestHeaderBytes - 12);
  Manifest manifest;
  manifest.applied = Index(*TakeBigEndian64(in));
  const std::uint32_t count = *TakeBigEndian32(in);
  std::set<std::string> names;
  std::uint64_t total = bytes.size();
  for (std::uint32_t i = 0; i < count; ++i) {
    ManifestFile file;
    if (!TakeFile(in, file) || !names.insert(file.name).second) return DamagedManifest();
    if (file.size > std::numeric_limits<std::uint64_t>::max() - total) return DamagedManifest();
    total += file.size;
    manifest.files.push_back(std::move(file));
  }
  if (!in.empty()) return DamagedManifest();
  return manifest;
}

std::uint64_t SnapshotId(std::string_view encoded_manifest) {
  RAFTKV_CHECK(encoded_manifest.size() >= kChecksumBytes, encoded_manifest.size());
  encoded_manifest.remove_prefix(encoded_manifest.size() - kChecksumBytes);
  return *TakeBigEndian64(encoded_manifest);
}

}  // namespace raftkv::storage
