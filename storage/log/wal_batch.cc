#include "storage/log/wal_batch.h"

#include <cstddef>
#include <string>

namespace raftkv::storage {

namespace {

/// All that there is of an empty one.
constexpr std::size_t kRecordHeaderBytes = 8 + 4;
/// RocksDB keeps the last byte of a sequence number for the kind of the operation.
constexpr std::uint64_t kMaxSequence = (std::uint64_t{1} << 56) - 1;

/// Those that the log writes, out of RocksDB's ValueType.
enum class OperationTag : unsigned char { kDelete = 0x4, kPut = 0x5, kDeleteRange = 0xe };

struct WalOperation {
  OperationTag tag = OperationTag::kPut;
  std::string_view key;
  std::string_view value;  ///< of a range delete: its end
};

std::uint64_t LittleEndian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = bytes.size(); i > 0; --i) {
    value = value << 8 | static_cast<unsigned char>(bytes[i - 1]);
  }
  return value;
}

std::optional<std::uint32_t> TakeVarint32(std::string_view& in) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < in.size() && i < 5; ++i) {
    const auto byte = static_cast<unsigned char>(in[i]);
    value |= std::uint64_t{byte & 0x7fU} << (7 * i);
    if ((byte & 0x80) != 0) continue;
    if (value > UINT32_MAX) return std::nullopt;
    in.remove_prefix(i + 1);
    return static_cast<std::uint32_t>(value);
  }
  return std::nullopt;
}

/// A length, and that many bytes.
std::optional<std::string_view> TakeString(std::string_view& in) {
  const std::optional<std::uint32_t> size = TakeVarint32(in);
  if (!size.has_value() || *size > in.size()) return std::nullopt;
  const std::string_view bytes = in.substr(0, *size);
  in.remove_prefix(*size);
  return bytes;
}

/// nullopt: it is cut short, or of a kind that the log does not write.
std::optional<WalOperation> TakeOperation(std::string_view& in) {
  if (in.empty()) return std::nullopt;
  WalOperation operation;
  operation.tag = static_cast<OperationTag>(in.front());
  switch (operation.tag) {
    case OperationTag::kDelete:
    case OperationTag::kPut:
    case OperationTag::kDeleteRange: break;
    default: return std::nullopt;
  }
  in.remove_prefix(1);
  if (!TakeVarint32(in).has_value()) return std::nullopt;
  const std::optional<std::string_view> key = TakeString(in);
  if (!key.has_value()) return std::nullopt;
  operation.key = *key;
  if (operation.tag == OperationTag::kDelete) return operation;
  const std::optional<std::string_view> value = TakeString(in);
  if (!value.has_value()) return std::nullopt;
  operation.value = *value;
  return operation;
}

std::optional<BatchMark> MarkIn(const WalOperation& operation) {
  if (operation.tag != OperationTag::kPut || operation.key != kBatchKey) return std::nullopt;
  const Result<BatchMark> mark = DecodeBatchMark(operation.value);
  return mark.ok() ? std::optional(*mark) : std::nullopt;
}

Status MalformedRecord(const std::string& what) {
  return {Code::kCorruption, "a record that is no write of the log: " + what};
}

}  // namespace

std::optional<BatchMark> BatchMarkOf(std::string_view record) {
  if (record.size() <= kRecordHeaderBytes) return std::nullopt;
  std::string_view rest = record.substr(kRecordHeaderBytes);
  const std::optional<WalOperation> first = TakeOperation(rest);
  return first.has_value() ? MarkIn(*first) : std::nullopt;
}

Result<WalBatch> DecodeWalBatch(std::string_view record) {
  if (record.size() < kRecordHeaderBytes) return MalformedRecord("it is shorter than its header");
  WalBatch batch;
  batch.first_sequence = LittleEndian(record.substr(0, 8));
  batch.last_sequence = batch.first_sequence;
  const std::uint64_t count = LittleEndian(record.substr(8, 4));
  std::string_view rest = record.substr(kRecordHeaderBytes);
  std::uint64_t found = 0;
  for (; !rest.empty(); ++found) {
    const std::optional<WalOperation> operation = TakeOperation(rest);
    if (!operation.has_value()) {
      return MalformedRecord("operation " + std::to_string(found + 1) +
                             " is of an unknown kind or cut short");
    }
    if (found == 0) batch.mark = MarkIn(*operation);
    if (!batch.mark.has_value()) return MalformedRecord("it does not begin with its number");
  }
  if (found != count) {
    return MalformedRecord("it has " + std::to_string(found) + " operations instead of " +
                           std::to_string(count));
  }
  if (batch.first_sequence > kMaxSequence || count > kMaxSequence - batch.first_sequence) {
    return MalformedRecord("its sequence number is too large");
  }
  if (count > 0) batch.last_sequence += count - 1;
  return batch;
}

}  // namespace raftkv::storage
