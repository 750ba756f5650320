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

namespace raftkv::kv {

/// Format version byte and revision in front of a value.
inline constexpr std::size_t kDataHeaderBytes = 9;

struct DataRecord {
  std::uint64_t mod_revision = 0;
  std::string_view value;  ///< borrows the record
};
/// `out` must have room for kDataHeaderBytes.
void EncodeDataHeader(std::uint64_t mod_revision, char* out);
/// VersionMismatch or Corruption where it is no such record.
Result<DataRecord> DecodeDataRecord(std::string_view record);

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
};
std::string EncodePosition(const Position& position);
Result<Position> DecodePosition(std::string_view record);

/// Takes the format version byte off the front of `record`.
Status TakeFormatVersion(std::string_view& record, const char* what);

}  // namespace raftkv::kv
