// Which bytes are in the log database? (docs/disk-format.md has a worked example)
//
// Column family `log`: key = index u64, value = entry header and payload. Column family `state`:
// one key per subject, below. All numbers are big-endian; every value begins with its format
// version.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <raftkv/status.h>

#include "lib/base/ids.h"
#include "lib/node/ports.h"
#include "lib/raft/types.h"

namespace raftkv::storage {

/// Of the data folder as a whole; a program refuses a folder of a newer one.
/// Of a member's folder as a whole. 1: keys had log indexes for revisions, and no other counts.
inline constexpr std::uint32_t kFolderFormatVersion = 2;
/// Of the folder of a log without a store.
inline constexpr std::uint32_t kLogFolderFormatVersion = 1;
inline constexpr std::uint8_t kValueFormatVersion = 1;

inline constexpr std::string_view kLogFamily = "log";
inline constexpr std::string_view kStateFamily = "state";

// Keys of column family `state`.
inline constexpr std::string_view kFormatVersionKey = "format_version";
inline constexpr std::string_view kIdentityKey = "identity";
inline constexpr std::string_view kBootKey = "boot";
inline constexpr std::string_view kHardStateKey = "hard_state";
inline constexpr std::string_view kFormationKey = "formation";
inline constexpr std::string_view kLiveKvKey = "live_kv";
inline constexpr std::string_view kBaseKey = "base";
/// For a local log (local_log.h), in place of `base`: the first entry.
inline constexpr std::string_view kHeadKey = "head";
inline constexpr std::string_view kPeerBootPrefix = "peer_boot/";
/// Present while this store may lack something that was durable (repair.h); its value is empty
/// behind the version.
inline constexpr std::string_view kSuspectKey = "suspect";
/// The first put of every batch: which batch it is and where the log ends after it.
inline constexpr std::string_view kBatchKey = "batch";

/// Writes of the log database are numbered: each increments the number by one, and the log found at
/// an open must reach from the first to the last without a gap.
struct BatchMark {
  std::uint64_t number = 0;
  Index last_index;
  /// How many batches directly before this one were not synced when it was written: a power cut may
  /// have lost any of them, although this one is there. 0 in a member's log.
  std::uint64_t unsynced = 0;
  friend bool operator==(const BatchMark&, const BatchMark&) = default;
};

struct Identity {
  NodeId member;
  ClusterId cluster;  ///< 0: not formed
  std::string name;
  friend bool operator==(const Identity&, const Identity&) = default;
};

/// What precedes the log: the last compacted entry, and the configuration in force there.
struct StoredBase {
  raft::LogBase last;
  Index configuration_index;
  Bytes configuration;  ///< as in its entry
  friend bool operator==(const StoredBase&, const StoredBase&) = default;
};

std::array<char, 8> LogKeyOf(Index index);
std::string EncodeLogKey(Index index);
/// Nothing of it if the key is not 8 bytes long: Corruption.
Result<Index> DecodeLogKey(std::string_view key);

/// The batch that wrote an entry stands in it.
struct StoredEntry {
  raft::Entry entry;
  std::uint64_t batch_number = 0;
};
/// Of an entry with a cluster clock; one without has kValueFormatVersion, and 8 bytes less.
inline constexpr std::uint8_t kClockedEntryFormatVersion = 2;
/// The part of an entry's value before the payload, at most.
inline constexpr std::size_t kMaxEntryHeaderBytes = 1 + 1 + 8 + 8 + 8 + 8 + 8;
struct EntryHeader {
  EntryHeader(const raft::Entry& entry, std::uint64_t batch_number);
  [[nodiscard]] std::string_view view() const { return {bytes.data(), size}; }

  std::array<char, kMaxEntryHeaderBytes> bytes;
  std::size_t size = 0;
};
std::string EncodeEntry(const raft::Entry& entry, std::uint64_t batch_number);
/// Corruption: the checksum does not match the bytes and the index, or the kind is unknown.
Result<StoredEntry> DecodeEntry(Index index, std::string_view value);

std::string EncodeFormatVersion(std::uint32_t version);
Result<std::uint32_t> DecodeFormatVersion(std::string_view value);
/// VersionMismatch: `version` is not `known`, one of the above.
Status CheckFolderVersion(std::uint32_t version, std::uint32_t known);
std::string EncodeIdentity(const Identity& identity);
Result<Identity> DecodeIdentity(std::string_view value);
std::string EncodeBoot(const node::Boot& boot);
Result<node::Boot> DecodeBoot(std::string_view value);
std::string EncodePeerBoot(const node::PeerBoot& boot);
Result<node::PeerBoot> DecodePeerBoot(std::string_view value);
std::string EncodeHardState(const raft::HardState& state);
Result<raft::HardState> DecodeHardState(std::string_view value);
std::string EncodeBatchMark(const BatchMark& mark);
Result<BatchMark> DecodeBatchMark(std::string_view value);
std::string EncodeBase(const StoredBase& base);
Result<StoredBase> DecodeBase(std::string_view value);
std::string EncodeHead(Index first);
Result<Index> DecodeHead(std::string_view value);
/// Formation and live_kv are plain bytes behind the version.
std::string EncodeBytes(std::string_view bytes);
Result<std::string> DecodeBytes(std::string_view value, std::string_view what);
std::string PeerBootKey(NodeId peer);
Result<NodeId> DecodePeerBootKey(std::string_view key);

}  // namespace raftkv::storage
