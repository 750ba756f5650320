// What a backup says of itself, in JSON: what is taken can be written, and is then taken as the
// same; it names nothing outside of its folder.
#include <limits>

#include "storage/backup/backup_manifest.h"
#include "tests/fuzz/fuzz.h"

namespace raftkv::fuzz {
namespace {

static constexpr auto kRefusals = {Code::kCorruption, Code::kVersionMismatch};

void CheckManifest(std::string_view text) {
  const Result<storage::BackupManifest> manifest = storage::DecodeBackupManifest(text);
  if (!manifest.ok()) return CheckRefusal(manifest.status(), kRefusals);
  RAFTKV_CHECK(manifest->files.applied == manifest->head.index);
  std::uint64_t total = 0;
  for (const storage::ManifestFile& file : manifest->files.files) {
    RAFTKV_CHECK(storage::IsPlainName(file.name), file.name);
    RAFTKV_CHECK(file.size <= std::numeric_limits<std::uint64_t>::max() - total, file.size);
    total += file.size;
  }
  const BackupInfo info = storage::InfoOf(*manifest, {});
  RAFTKV_CHECK(info.data_bytes == total, info.data_bytes, total);
  const std::string encoded = storage::EncodeBackupManifest(*manifest);
  const Result<storage::BackupManifest> again = storage::DecodeBackupManifest(encoded);
  RAFTKV_CHECK(again.ok(), again.status().ToString());
  RAFTKV_CHECK(storage::EncodeBackupManifest(*again) == encoded);
  RAFTKV_CHECK(again->files == manifest->files);
}

void CheckContent(std::string_view text) {
  const Result<node::BackupContent> content = storage::DecodeBackupContent(text);
  if (!content.ok()) return CheckRefusal(content.status(), kRefusals);
  const Result<node::BackupContent> again =
      storage::DecodeBackupContent(storage::EncodeBackupContent(*content));
  RAFTKV_CHECK(again.ok(), again.status().ToString());
  RAFTKV_CHECK(again->hash == content->hash);
  RAFTKV_CHECK(again->keys == content->keys);
}

}  // namespace
}  // namespace raftkv::fuzz

RAFTKV_FUZZ_TARGET(backup_manifest) {
  if (input.empty()) return;
  TakeCase(input, 2) == 0 ? CheckManifest(input) : CheckContent(input);
}
