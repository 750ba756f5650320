// Is the write-ahead log intact, torn at its end, or damaged?
//
// RocksDB cannot tell: it stops at, or skips over, the first fragment that it cannot read. But each
// batch carries a number, and says how many before it were not synced yet, so there is an exact
// criterion. After a crash only unsynced batches can be broken, so nothing that was written after
// the sync of a batch can follow a place where that batch is broken. In a member's log at most one
// batch is ever unsynced: there nothing of a later batch can follow a broken place. The scanner
// reads the files as they are on disk (storage/disk/log_file.h) and looks for intact fragments
// after the first broken place at every offset.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace raftkv::storage {

enum class WalState : std::uint8_t {
  kWhole,
  /// The last file ends inside the last batch, and the part that is there is as it was written: the
  /// process was killed while writing.
  kCutShort,
  /// The last, unsynced batches are broken or missing, and nothing else is: only a machine that
  /// lost its memory leaves that.
  kTorn,
  /// Something that was synced is broken or missing, or there is something that the log never
  /// wrote.
  kDamaged,
};

struct WalFile {
  std::string name;
  std::string content;
};

/// The place of a fragment that cannot be read although the file continues after it.
struct BrokenFragment {
  std::string file;
  std::size_t begin = 0;
  /// An upper bound: the length itself may be what is broken.
  std::size_t end = 0;
};

struct WalScan {
  WalState state = WalState::kWhole;
  /// Numbers of the intact batches before the first broken place; 0: none.
  std::uint64_t first_batch = 0;
  std::uint64_t last_batch = 0;
  /// "000012.log at 4096: ..." unless the log is intact.
  std::string where;
  /// The first broken place, if it is that.
  std::optional<BrokenFragment> broken;
};

/// `files`: the live ones, in the order of their numbers. `flushed`: the last batch that is in the
/// tables.
WalScan ScanWal(const std::vector<WalFile>& files, std::uint64_t flushed = 0);

}  // namespace raftkv::storage
