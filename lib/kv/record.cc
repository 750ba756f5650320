#include "lib/kv/record.h"

#include <algorithm>

#include "lib/base/bytes.h"
#include "lib/base/check.h"
#include "lib/kv/parse.h"
#include "lib/kv/varint.h"
#include "lib/raft/cluster_clock.h"

namespace raftkv::kv {
namespace {

Status DamagedData() { return {Code::kCorruption, "a record of data is damaged"}; }

}  // namespace

Status TakeFormatVersion(std::string_view& record, const char* what) {
  if (record.empty()) return {Code::kCorruption, std::string("an empty record of ") + what};
  const auto version = static_cast<unsigned char>(record.front());
  record.remove_prefix(1);
  if (version == kRecordFormatVersion) return Status::Ok();
  const std::string text = std::string("a record of ") + what + " has format version " +
                           std::to_string(version) + ", this version knows " +
                           std::to_string(kRecordFormatVersion);
  if (version > kRecordFormatVersion) return {Code::kVersionMismatch, text + ": upgrade it"};
  if (version == 0) return {Code::kCorruption, text};
  return {Code::kVersionMismatch,
          text +
              ": carry the data over, with 'snapshot save' of the older program and 'snapshot "
              "restore' of this one"};
}

Counts CountsAfterPut(const Counts& before, std::uint64_t revision, std::uint64_t lease) {
  const bool is_new = before.version == 0;
  return {.mod_revision = revision,
          .create_revision = is_new ? revision : before.create_revision,
          .version = before.version + 1,
          .lease = lease};
}

std::size_t EncodeDataHeader(const Counts& counts, char* out) {
  char* at = out;
  *at++ = static_cast<char>(kRecordFormatVersion);
  for (std::uint64_t number :
       {counts.mod_revision, counts.create_revision, counts.version, counts.lease}) {
    at = WriteVarint(at, number);
  }
  return static_cast<std::size_t>(at - out);
}

Result<DataRecord> DecodeDataRecord(std::string_view record) {
  if (Status status = TakeFormatVersion(record, "data"); !status.ok()) return status;
  DataRecord data;
  Counts& counts = data.counts;
  for (std::uint64_t* const to :
       {&counts.mod_revision, &counts.create_revision, &counts.version, &counts.lease}) {
    if (!TakeVarint(record, *to)) return DamagedData();
  }
  const bool sensible = counts.version != 0 && counts.create_revision != 0 &&
                        counts.create_revision <= counts.mod_revision;
  if (!sensible) return DamagedData();
  data.value = record;
  return data;
}

Result<DataRecord> DecodeDataRecordOfFormat1(std::string_view record) {
  const bool of_format_1 = !record.empty() && record.front() == 1;
  if (of_format_1) record.remove_prefix(1);
  const auto revision = of_format_1 ? TakeBigEndian64(record) : std::nullopt;
  if (!revision.has_value() || *revision == 0) return DamagedData();
  return DataRecord{{*revision, *revision, /*version=*/1, /*lease=*/0}, record};
}

std::string DataKey(std::string_view key) {
  std::string engine_key;
  engine_key.reserve(key.size() + 1);
  engine_key.push_back(kDataPrefix);
  engine_key.append(key);
  return engine_key;
}

EngineRange DataRange(const RangeView& range) {
  RAFTKV_CHECK(range.kind != Range::Kind::kSingle);
  if (range.kind == Range::Kind::kBounded) return {DataKey(range.begin), DataKey(range.end)};
  return {DataKey(range.begin), std::string(1, kDataPrefix + 1)};
}

std::string EncodePosition(const Position& position) {
  std::string record(1, static_cast<char>(kPositionFormatVersion));
  AppendBigEndian64(record, position.index.value);
  AppendBigEndian64(record, position.term.value);
  AppendBigEndian64(record, position.time_ms);
  AppendBigEndian64(record, position.revision);
  AppendBigEndian64(record, position.compacted);
  AppendBigEndian64(record, position.clock_ms);
  return record;
}

Result<Position> DecodePosition(std::string_view record, unsigned char oldest_version) {
  const bool of_format_1 = oldest_version == 1 && !record.empty() && record.front() == 1;
  const bool has_clock = !record.empty() && record.front() == kPositionFormatVersion;
  if (of_format_1 || has_clock) {
    record.remove_prefix(1);
  } else if (Status status = TakeFormatVersion(record, "the applied position"); !status.ok()) {
    return status;
  }
  const auto index = TakeBigEndian64(record);
  const auto term = TakeBigEndian64(record);
  const auto time_ms = TakeBigEndian64(record);
  // In format 1 the log index was what a key was told as its revision.
  const auto revision =
      of_format_1 && index ? std::max(*index, kFirstRevision) : TakeBigEndian64(record);
  const auto compacted = of_format_1 ? std::uint64_t{0} : TakeBigEndian64(record);
  const auto clock_ms = has_clock ? TakeBigEndian64(record) : std::uint64_t{0};
  if (!index || !term || !time_ms || !revision || !compacted || !clock_ms || !record.empty()) {
    return Status(Code::kCorruption, "the record of the applied position has a wrong length");
  }
  if (*revision < kFirstRevision || *compacted > *revision) {
    return Status(Code::kCorruption, "the revisions of the applied position make no sense");
  }
  if (*clock_ms > raft::kMaxClockMs) {
    return Status(Code::kCorruption, "the cluster clock of the applied position makes no sense");
  }
  return Position{Index(*index), Term(*term), *time_ms, *revision, *compacted, *clock_ms};
}

}  // namespace raftkv::kv
