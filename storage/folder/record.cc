#include "storage/folder/record.h"

#include <xxhash.h>

#include "lib/base/bytes.h"
#include "storage/disk/files.h"

namespace raftkv::storage {

namespace {

constexpr std::string_view kRecordMagic = "raftkvrc";
constexpr std::uint32_t kCompleteFlag = 1;
constexpr std::uint32_t kCleanCloseFlag = 2;
constexpr std::uint32_t kPeersFlag = 4;
constexpr std::uint32_t kLogDamagedFlag = 8;
constexpr std::uint32_t kKvDamagedFlag = 16;
constexpr std::uint32_t kTornTailFlag = 32;

Status NotWhole() {
  return Status(
      Code::kCorruption,
      "both copies in the record file of the data folder are damaged, so the vote of this member "
      "is lost: remove the member from its cluster, and add a new one with an empty folder");
}

void AppendText(std::string& out, std::string_view text) {
  AppendBigEndian32(out, static_cast<std::uint32_t>(text.size()));
  out.append(text);
}

bool TakeNumber(std::string_view& in, std::uint64_t& value) {
  const std::optional<std::uint64_t> taken = TakeBigEndian64(in);
  value = taken.value_or(0);
  return taken.has_value();
}

bool TakeText(std::string_view& in, std::string& text) {
  const std::optional<std::uint32_t> size = TakeBigEndian32(in);
  if (!size.has_value() || *size > in.size()) return false;
  text = std::string(in.substr(0, *size));
  in.remove_prefix(*size);
  return true;
}

std::uint32_t FlagsOf(const Record& record) {
  return (record.complete ? kCompleteFlag : 0) | (record.clean_close ? kCleanCloseFlag : 0) |
         (record.has_peers ? kPeersFlag : 0) |
         (record.damaged == Damaged::kLog ? kLogDamagedFlag : 0) |
         (record.damaged == Damaged::kKv ? kKvDamagedFlag : 0) |
         (record.tail_may_be_torn ? kTornTailFlag : 0);
}

void SetFlags(Record& record, std::uint32_t flags) {
  record.complete = (flags & kCompleteFlag) != 0;
  record.clean_close = (flags & kCleanCloseFlag) != 0;
  record.has_peers = (flags & kPeersFlag) != 0;
  record.tail_may_be_torn = (flags & kTornTailFlag) != 0;
  if ((flags & kLogDamagedFlag) != 0) record.damaged = Damaged::kLog;
  if ((flags & kKvDamagedFlag) != 0) record.damaged = Damaged::kKv;
}

/// The copy that begins with `bytes`; what stands behind it does not matter.
Result<Record> DecodeCopy(std::string_view bytes) {
  std::string_view in = bytes.substr(kRecordMagic.size());
  const std::optional<std::uint32_t> version = TakeBigEndian32(in);
  if (!version.has_value() || *version == 0) return NotWhole();
  if (*version > kRecordFormatVersion) {
    return Status(Code::kVersionMismatch, "the data folder has format version " +
                                              std::to_string(*version) + ", this program knows " +
                                              std::to_string(kRecordFormatVersion) +
                                              ": use the newer program");
  }
  Record record;
  const std::optional<std::uint32_t> flags = TakeBigEndian32(in);
  const bool whole = flags.has_value() && TakeNumber(in, record.member.value) &&
                     TakeNumber(in, record.cluster.value) && TakeNumber(in, record.boot.counter) &&
                     TakeNumber(in, record.boot.nonce) && TakeNumber(in, record.batch_number) &&
                     TakeNumber(in, record.durable_index.value) &&
                     TakeNumber(in, record.term.value) && TakeNumber(in, record.vote.value) &&
                     TakeText(in, record.name) && TakeText(in, record.machine_boot);
  if (!whole) return NotWhole();
  const std::size_t size = bytes.size() - in.size();
  const std::optional<std::uint64_t> checksum = TakeBigEndian64(in);
  if (!checksum.has_value() || *checksum != XXH3_64bits(bytes.data(), size)) return NotWhole();
  SetFlags(record, *flags);
  return record;
}

}  // namespace

std::string EncodeRecord(const Record& record) {
  std::string out(kRecordMagic);
  AppendBigEndian32(out, kRecordFormatVersion);
  AppendBigEndian32(out, FlagsOf(record));
  for (const std::uint64_t number :
       {record.member.value, record.cluster.value, record.boot.counter, record.boot.nonce,
        record.batch_number, record.durable_index.value, record.term.value, record.vote.value}) {
    AppendBigEndian64(out, number);
  }
  AppendText(out, record.name);
  AppendText(out, record.machine_boot);
  AppendBigEndian64(out, XXH3_64bits(out.data(), out.size()));
  return out + out;
}

bool IsRecord(std::string_view bytes) { return bytes.find(kRecordMagic) != std::string_view::npos; }

Result<Record> DecodeRecord(std::string_view bytes) {
  Result<Record> outcome = NotWhole();
  for (std::size_t at = bytes.find(kRecordMagic); at != std::string_view::npos;
       at = bytes.find(kRecordMagic, at + 1)) {
    Result<Record> copy = DecodeCopy(bytes.substr(at));
    if (copy.ok()) return copy;
    // A damaged version looks like a newer one: the other copy knows.
    if (copy.code() == Code::kVersionMismatch) outcome = copy.status();
  }
  return outcome;
}

Result<std::optional<Record>> ReadRecord(rocksdb::Env& env, const std::string& folder) {
  Result<std::optional<std::string>> bytes = ReadFileIfExists(env, folder + "/" + kRecordName);
  if (!bytes.ok()) return bytes.status();
  if (!bytes->has_value()) return std::optional<Record>();
  Result<Record> record = DecodeRecord(**bytes);
  if (!record.ok()) return Status(record.code(), folder + ": " + record.status().message());
  return std::optional<Record>(std::move(*record));
}

Status WriteRecord(rocksdb::Env& env, const std::string& folder, const Record& record) {
  return ReplaceFile(env, folder, kRecordName, EncodeRecord(record));
}

}  // namespace raftkv::storage
