// The records of the key-value store: what is taken is written again as it was read.
#include <string>
#include <vector>

#include "lib/base/bytes.h"
#include "lib/kv/change_set.h"
#include "lib/kv/layout.h"
#include "lib/kv/lease_table.h"
#include "lib/kv/record.h"
#include "lib/kv/session.h"
#include "tests/fuzz/fuzz.h"

namespace raftkv::fuzz {
namespace {

void CheckDamage(const Status& refused) {
  CheckRefusal(refused, {Code::kCorruption, Code::kVersionMismatch});
}

void CheckData(std::string_view bytes, bool of_format_1) {
  const Result<kv::DataRecord> data =
      of_format_1 ? kv::DecodeDataRecordOfFormat1(bytes) : kv::DecodeDataRecord(bytes);
  if (!data.ok()) return CheckDamage(data.status());
  const kv::Counts& counts = data->counts;
  RAFTKV_CHECK(counts.version != 0);
  RAFTKV_CHECK(counts.create_revision != 0);
  RAFTKV_CHECK(counts.create_revision <= counts.mod_revision, counts.create_revision);
  RAFTKV_CHECK(bytes.ends_with(data->value));
  std::string again(kv::kMaxDataHeaderBytes, '\0');
  again.resize(kv::EncodeDataHeader(counts, again.data()));
  RAFTKV_CHECK(again.size() <= kv::kMaxDataHeaderBytes, again.size());
  again.append(data->value);
  const Result<kv::DataRecord> decoded = kv::DecodeDataRecord(again);
  RAFTKV_CHECK(decoded.ok(), decoded.status().ToString());
  RAFTKV_CHECK(decoded->counts == counts);
  RAFTKV_CHECK(decoded->value == data->value);
}

void CheckPosition(std::string_view bytes, unsigned char oldest_version) {
  const Result<kv::Position> position = kv::DecodePosition(bytes, oldest_version);
  if (!position.ok()) return CheckDamage(position.status());
  RAFTKV_CHECK(position->revision >= kv::kFirstRevision, position->revision);
  RAFTKV_CHECK(position->compacted <= position->revision, position->compacted);
  const std::string again = kv::EncodePosition(*position);
  // One of an older version is written as what it is read as, at clock 0.
  const bool is_older = bytes.front() != kv::kPositionFormatVersion;
  RAFTKV_CHECK(is_older ? position->clock_ms == 0 : again == bytes);
  RAFTKV_CHECK(kv::DecodePosition(again).ok());
}

void CheckChangeSet(std::string_view bytes) {
  constexpr std::uint64_t kLast = 100;
  std::string key = kv::ChangeSetsFrom(kLast);
  AppendBigEndian32(key, 0);
  const Result<std::vector<kv::LoggedChange>> changes = kv::DecodeChangeSet(key, bytes);
  if (!changes.ok()) return CheckDamage(changes.status());
  RAFTKV_CHECK(!changes->empty());
  std::uint64_t revision = 0;
  for (const kv::LoggedChange& change : *changes) {
    RAFTKV_CHECK(change.revision >= revision, change.revision, revision);
    revision = change.revision;
  }
  RAFTKV_CHECK(revision == kLast, revision);
}

void CheckSession(std::string_view bytes) {
  const Result<kv::Session> session = kv::DecodeSession(7, bytes);
  if (!session.ok()) return CheckDamage(session.status());
  RAFTKV_CHECK(kv::EncodeSession(*session) == bytes);
}

void CheckLease(std::string_view bytes) {
  if (bytes.size() < 9) return;
  const std::string_view key = bytes.substr(0, 9);
  const std::string_view record = bytes.substr(9);
  const Result<kv::Lease> lease = kv::DecodeLease(key, record);
  if (!lease.ok()) return CheckDamage(lease.status());
  RAFTKV_CHECK(kv::CheckLeaseTtl(lease->ttl_ms).ok(), lease->ttl_ms);
  RAFTKV_CHECK(kv::LeaseKey(lease->id) == key);
  RAFTKV_CHECK(kv::EncodeLease(*lease) == record);
}

}  // namespace
}  // namespace raftkv::fuzz

RAFTKV_FUZZ_TARGET(kv_record) {
  if (input.empty()) return;
  switch (TakeCase(input, 7)) {
    case 0: return CheckData(input, false);
    case 1: return CheckData(input, true);
    case 2: return CheckPosition(input, kv::kRecordFormatVersion);
    case 3: return CheckPosition(input, 1);
    case 4: return CheckSession(input);
    case 5: return CheckChangeSet(input);
    default: return CheckLease(input);
  }
}
