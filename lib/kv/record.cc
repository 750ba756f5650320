#include "lib/kv/record.h"

#include "lib/base/bytes.h"
#include "lib/base/check.h"
#include "lib/kv/parse.h"

namespace raftkv::kv {

Status TakeFormatVersion(std::string_view& record, const char* what) {
  if (record.empty()) return {Code::kCorruption, std::string("an empty record of ") + what};
  const auto version = static_cast<unsigned char>(record.front());
  record.remove_prefix(1);
  if (version == kRecordFormatVersion) return Status::Ok();
  const std::string text = std::string("a record of ") + what + " has format version " +
                           std::to_string(version) + ", this version knows " +
                           std::to_string(kRecordFormatVersion);
  if (version > kRecordFormatVersion) return {Code::kVersionMismatch, text + ": upgrade it"};
  return {Code::kCorruption, text};
}

void EncodeDataHeader(std::uint64_t mod_revision, char* out) {
  *out++ = static_cast<char>(kRecordFormatVersion);
  for (int shift = 56; shift >= 0; shift -= 8) *out++ = static_cast<char>(mod_revision >> shift);
}

Result<DataRecord> DecodeDataRecord(std::string_view record) {
  if (Status status = TakeFormatVersion(record, "data"); !status.ok()) return status;
  const auto revision = TakeBigEndian64(record);
  if (!revision.has_value()) return Status(Code::kCorruption, "a record of data is cut off");
  return DataRecord{*revision, record};
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
  std::string record(1, static_cast<char>(kRecordFormatVersion));
  AppendBigEndian64(record, position.index.value);
  AppendBigEndian64(record, position.term.value);
  AppendBigEndian64(record, position.time_ms);
  return record;
}

Result<Position> DecodePosition(std::string_view record) {
  if (Status status = TakeFormatVersion(record, "the applied position"); !status.ok()) {
    return status;
  }
  const auto index = TakeBigEndian64(record);
  const auto term = TakeBigEndian64(record);
  const auto time_ms = TakeBigEndian64(record);
  if (!index || !term || !time_ms || !record.empty()) {
    return Status(Code::kCorruption, "the record of the applied position has a wrong length");
  }
  return Position{Index(*index), Term(*term), *time_ms};
}

}  // namespace raftkv::kv
