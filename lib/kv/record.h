// How are a key's value and the applied position kept in the engine? (lib/kv/layout.h,
// docs/disk-format.md)
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <raftkv/status.h>

#include "lib/base/ids.h"
#include "lib/kv/layout.h"
#include "lib/kv/request.h"
#include "lib/kv/revisions.h"

namespace raftkv::kv {

/// What is known of a key besides its value.
struct Counts {
  std::uint64_t mod_revision = 0;
  std::uint64_t create_revision = 0;
  std::uint64_t version = 0;  ///< 0: there is no such key
  std::uint64_t lease = 0;
  friend bool operator==(const Counts&, const Counts&) = default;
};
/// Of a key that is put at `revision`, attached to `lease` (0: to none), and had `before`.
Counts CountsAfterPut(const Counts& before, std::uint64_t revision, std::uint64_t lease);

/// Format version byte and counts in front of a value, at most.
inline constexpr std::size_t kMaxDataHeaderBytes = 1 + 4 * 10;

struct DataRecord {
  Counts counts;
  std::string_view value;  ///< borrows the record
};
/// `out` must have room for kMaxDataHeaderBytes; returns how many were needed.
std::size_t EncodeDataHeader(const Counts& counts, char* out);
/// VersionMismatch or Corruption where it is no such record.
Result<DataRecord> DecodeDataRecord(std::string_view record);
/// The same of a record of format 1, as backups have them.
Result<DataRecord> DecodeDataRecordOfFormat1(std::string_view record);

std::string DataKey(std::string_view key);
/// The engine's keys of `range`, which is not kSingle: begin <= key < end.
struct EngineRange {
  std::string begin;
  std::string end;
};
struct RangeView;
EngineRange DataRange(const RangeView& range);

/// How far the entries are applied.
struct Position {
  Index index;
  Term term;
  std::uint64_t time_ms = 0;
  std::uint64_t revision = kFirstRevision;
  /// Revisions below it are no longer available.
  std::uint64_t compacted = 0;
  /// The cluster clock of the entries (lib/raft/cluster_clock.h); never goes back.
  std::uint64_t clock_ms = 0;
};
std::string EncodePosition(const Position& position);
/// Also of format 1, if `oldest_version` is that: its revision is what a restore begins from.
Result<Position> DecodePosition(std::string_view record,
                                unsigned char oldest_version = kRecordFormatVersion);

/// Takes the format version byte off the front of `record`. VersionMismatch: another version than
/// this program's.
Status TakeFormatVersion(std::string_view& record, const char* what);

}  // namespace raftkv::kv
