// What does a write of the log database look like as a record of the write-ahead log, and is a
// record one?
//
// RocksDB must not replay anything else: where a record holds operations of transactions, an empty
// entity, or sequence numbers that do not ascend, its parser does not return an error but ends the
// process. No disk leaves that, since a record has a checksum; a program or a person does.
//
// A record is the first sequence number u64, the number of operations u32, and the operations: a
// tag u8, the column family, the key, and for a put the value, for a range delete the end. Numbers
// are little-endian, families and lengths varints of 32 bits.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include <raftkv/status.h>

#include "storage/log/log_format.h"

namespace raftkv::storage {

struct WalBatch {
  /// Nothing: a record without operations. RocksDB writes one at the beginning of the first file
  /// after a cut.
  std::optional<BatchMark> mark;
  /// Of the first and the last operation.
  std::uint64_t first_sequence = 0;
  std::uint64_t last_sequence = 0;
};

/// Corruption, with what is wrong: `record` is none that the log wrote.
Result<WalBatch> DecodeWalBatch(std::string_view record);

/// The mark of a batch, from the first bytes of its record; nullopt if they do not contain it.
std::optional<BatchMark> BatchMarkOf(std::string_view record);

}  // namespace raftkv::storage
