// Is the write-ahead log whole, torn at its end, or damaged?
//
// RocksDB cannot tell: it stops at, or skips over, the first fragment that it cannot read. But each
// batch carries a number, and says how many before it were not synced yet, so there is a sharp
// criterion: after a crash only unsynced batches can be broken, hence nothing that was written
// after the sync of a batch can stand behind a place where that batch is broken. In a member's log
// at most one batch is ever unsynced: there nothing of a later one can stand behind a broken place.
// The scanner reads the files as they are on disk (format: 32 KiB blocks of fragments, each with
// CRC-32C, length u16 and type u8, little-endian) and looks for intact fragments behind the first
// broken place at every offset.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <raftkv/status.h>

#include "storage/log/log_format.h"

namespace raftkv::storage {

enum class WalState : std::uint8_t {
  kWhole,
  /// The file ends inside the last batch; what is there of it is as it was written. So ends a
  /// process that was killed while it wrote.
  kCutShort,
  /// Unsynced batches, the last ones, are broken or missing, and nothing else is: only a machine
  /// that lost its memory leaves that.
  kTorn,
  /// Something that was synced is broken or missing.
  kDamaged,
};

struct WalFile {
  std::string name;
  std::string content;
};

/// Where a fragment is that cannot be read though the file goes on behind it.
struct BrokenFragment {
  std::string file;
  std::size_t begin = 0;
  /// At most: how long it is may be what is broken.
  std::size_t end = 0;
};

struct WalScan {
  WalState state = WalState::kWhole;
  /// Numbers of the intact batches before the first broken place; 0: none.
  std::uint64_t first_batch = 0;
  std::uint64_t last_batch = 0;
  /// "000012.log at 4096: ..." unless the log is whole.
  std::string where;
  /// The first broken place, if it is that.
  std::optional<BrokenFragment> broken;
};

/// `files`: the live ones, in the order of their numbers. `flushed`: the last batch that is in the
/// tables.
WalScan ScanWal(const std::vector<WalFile>& files, std::uint64_t flushed = 0);

/// Whether a power cut may have left a fragment so: a sector of it, or of the part of a sector that
/// is its own, was never written, so zeros stand there. `stored`: the file as the disk has it. A
/// write that was cut off lacks whole sectors; a byte that changed later lacks none.
bool LacksASector(std::string_view stored, std::size_t begin, std::size_t end);

/// The mark of a batch from the first bytes of its representation; nullopt if they do not hold it.
std::optional<BatchMark> BatchMarkOf(std::string_view batch);

}  // namespace raftkv::storage
