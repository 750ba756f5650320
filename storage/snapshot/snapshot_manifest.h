// Which files make up a snapshot, and which bytes does it send? (docs/disk-format.md)
//
// A snapshot in transit is one stream: the manifest, then the files in its order.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <rocksdb/env.h>

#include <raftkv/status.h>

#include "lib/base/cancel_token.h"
#include "lib/base/ids.h"

namespace raftkv::storage {

inline constexpr std::uint32_t kManifestFormatVersion = 1;
/// Limit: a hundred thousand files.
inline constexpr std::size_t kMaxManifestBytes = 16 << 20;

struct ManifestFile {
  std::string name;
  std::uint64_t size = 0;
  std::uint64_t checksum = 0;  ///< XXH3-64 of the content
  friend bool operator==(const ManifestFile&, const ManifestFile&) = default;
};

struct Manifest {
  Index applied;
  std::vector<ManifestFile> files;
  friend bool operator==(const Manifest&, const Manifest&) = default;
};

/// A file of the folder itself; nothing that could lead out of it.
bool IsPlainName(std::string_view name);

/// `name` in `folder` as it is now: reads all of it. Cancelled once `token` is.
Result<ManifestFile> ChecksumFile(rocksdb::Env& env, const std::string& folder,
                                  const std::string& name, const CancelToken& token = {});

std::string EncodeManifest(const Manifest& manifest);
/// The length of the manifest that begins with `bytes`; nullopt: more of it is needed.
Result<std::optional<std::size_t>> ManifestLength(std::string_view bytes);
/// Corruption: damaged, or files that make no sense (docs/disk-format.md says which names do).
Result<Manifest> DecodeManifest(std::string_view bytes);
/// The id of the snapshot whose manifest this is: equal ids, equal bytes.
std::uint64_t SnapshotId(std::string_view encoded_manifest);

}  // namespace raftkv::storage
