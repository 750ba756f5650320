// After a crash: may the log database be opened, and how?
//
//   write-ahead log    same boot of the machine   machine was rebooted       clean close
//   whole              open                       open                       open
//   cut short          open (killed in a write)   open                       damage
//   torn               damage                     cut the torn end, open     damage
//   damaged, a gap     damage                     damage                     damage
//
// Torn is only what a power cut leaves: a last batch with missing sectors. If all of it was written
// and a byte is wrong, it may have been acknowledged: damage.
//
// After a failed write or sync the record says that the tail may be torn, and its bound is the last
// acknowledged batch: anything broken after it is cut off in any case.
//
// In every case a database behind the record's bounds is damage.
#pragma once

#include <cstdint>
#include <functional>

#include <raftkv/status.h>

#include "storage/folder/record.h"
#include "storage/log/log_format.h"
#include "storage/log/log_handles.h"

namespace raftkv::storage {

/// Up to the first broken place, which ScanWal has examined; everything after it is dropped. Not
/// kSkipAnyCorruptedRecords: if a broken fragment looks like one of a recycled log, RocksDB's
/// reader stays at it forever; and after a record that is broken in its middle it treats the next
/// one, even if intact, as damaged too, and refuses to open.
inline constexpr rocksdb::WALRecoveryMode kUpToTheBreak =
    rocksdb::WALRecoveryMode::kPointInTimeRecovery;

/// How to open a database that was found to be sound.
struct LogRecovery {
  rocksdb::WALRecoveryMode mode = rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  /// Everything after `last_batch` is broken, and is cut off.
  bool cuts = false;
  std::uint64_t last_batch = 0;
};

/// Reads the database and compares it with the record; returns the mark of its last batch.
using LogCheck = std::function<Result<BatchMark>(const LogHandles&)>;

/// Says how to open it. Changes nothing on disk: the database is examined read-only. Corruption: it
/// has lost something that was synced; the message says what, and what to do.
Result<LogRecovery> ExamineLog(const LogDbOptions& options, const Record& record, bool rebooted,
                               const LogCheck& check);

/// The batch up to which the database is as it once was; later ones may be incomplete.
Result<std::uint64_t> TrustedThrough(const LogDbOptions& options);

}  // namespace raftkv::storage
