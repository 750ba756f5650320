// The manifest at the front of a snapshot from another member: what is taken is written again byte
// for byte, and names nothing outside of its folder.
#include <xxhash.h>

#include <limits>
#include <set>

#include "lib/base/bytes.h"
#include "storage/snapshot/snapshot_manifest.h"
#include "tests/fuzz/fuzz.h"

namespace raftkv::fuzz {
namespace {

void CheckOne(std::string_view bytes) {
  static constexpr auto kRefusals = {Code::kCorruption, Code::kVersionMismatch};
  const Result<std::optional<std::size_t>> length = storage::ManifestLength(bytes);
  if (!length.ok()) CheckRefusal(length.status(), kRefusals);
  // What is collected until it is whole.
  if (length.ok() && length->has_value()) {
    RAFTKV_CHECK(**length <= storage::kMaxManifestBytes, **length);
    RAFTKV_CHECK(**length > 0);
  }
  const Result<storage::Manifest> manifest = storage::DecodeManifest(bytes);
  if (!manifest.ok()) return CheckRefusal(manifest.status(), kRefusals);
  std::set<std::string> names;
  std::uint64_t total = 0;
  for (const storage::ManifestFile& file : manifest->files) {
    RAFTKV_CHECK(storage::IsPlainName(file.name), file.name);
    RAFTKV_CHECK(file.name.find('/') == std::string::npos, file.name);
    RAFTKV_CHECK(names.insert(file.name).second, file.name);
    RAFTKV_CHECK(file.size <= std::numeric_limits<std::uint64_t>::max() - total, file.size);
    total += file.size;
  }
  RAFTKV_CHECK(storage::EncodeManifest(*manifest) == bytes);
}

}  // namespace
}  // namespace raftkv::fuzz

RAFTKV_FUZZ_TARGET(snapshot_manifest) {
  CheckOne(input);
  constexpr std::size_t kLengthAt = 8 + 4;
  if (input.size() < kLengthAt + 4) return;
  // With the length and the checksum of what is there, which chance would not find.
  std::string sealed(input.substr(0, kLengthAt));
  AppendBigEndian32(sealed, static_cast<std::uint32_t>(input.size() + 8));
  sealed.append(input.substr(kLengthAt + 4));
  AppendBigEndian64(sealed, XXH3_64bits(sealed.data(), sealed.size()));
  CheckOne(sealed);
}
