// What does a backup say of itself, and of its files? (docs/disk-format.md)
//
// Two texts in JSON: the manifest, before the files, and the content, behind them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <raftkv/backup.h>

#include "lib/node/backup.h"
#include "storage/snapshot/snapshot_manifest.h"

namespace raftkv::storage {

/// 1: the database has records of format 1 (lib/kv/layout.h); it can be restored.
inline constexpr std::uint32_t kBackupFormatVersion = 2;
inline constexpr char kBackupManifestName[] = "manifest.json";
inline constexpr char kBackupContentName[] = "content.json";
/// Before the name of each file of the key-value database.
inline constexpr char kBackupFilesPrefix[] = "kv/";
/// Of the manifest: far above what kMaxManifestBytes of a snapshot's become.
inline constexpr std::size_t kMaxBackupTextBytes = 64 << 20;

struct BackupManifest {
  std::uint64_t backup_id = 0;
  std::uint64_t created_ms = 0;
  node::BackupHead head;  ///< but for stream_bytes
  Manifest files;         ///< `applied` is the head's index
};

std::string EncodeBackupManifest(const BackupManifest& manifest);
/// Corruption: it is invalid, or names files that may not be. VersionMismatch: a newer version
/// wrote it.
Result<BackupManifest> DecodeBackupManifest(std::string_view text);

std::string EncodeBackupContent(const node::BackupContent& content);
Result<node::BackupContent> DecodeBackupContent(std::string_view text);

/// All but file_bytes.
BackupInfo InfoOf(const BackupManifest& manifest, const node::BackupContent& content);

}  // namespace raftkv::storage
