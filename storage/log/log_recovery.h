// After a crash: may the log database be opened, and how?
//
//   write-ahead log    same boot of the machine   machine was rebooted       clean close
//   whole              open                       open                       open
//   cut short          open (killed in a write)   open                       damage
//   torn               damage                     cut the torn end, open     damage
//   damaged, a gap     damage                     damage                     damage
//
// Torn is only what a power cut leaves: a last batch of which sectors are missing. Where all of it
// was written and a byte is wrong, it may have been acknowledged: damage.
//
// After a write or sync that failed the record says that the tail may be torn, and its bound is the
// last batch that was acknowledged: what is broken behind it is cut off in any case.
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

/// Up to the first broken place, which ScanWal looked at; what is behind it is dropped. Not
/// kSkipAnyCorruptedRecords: where a broken fragment looks like one of a recycled log, RocksDB's
/// reader stays at it for ever; and after a record that is broken in its middle it takes the next
/// one, if that is whole, for damaged too, and refuses to open.
inline constexpr rocksdb::WALRecoveryMode kUpToTheBreak =
    rocksdb::WALRecoveryMode::kPointInTimeRecovery;

/// How a database that was found to be sound is to be opened.
struct LogRecovery {
  rocksdb::WALRecoveryMode mode = rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  /// What stands behind `last_batch` is broken, and is cut off.
  bool cuts = false;
  std::uint64_t last_batch = 0;
};

/// Reads what is in the database and holds it against the record; returns the mark of its last
/// batch.
using LogCheck = std::function<Result<BatchMark>(const LogHandles&)>;

/// Says how to open it. Changes nothing on disk: the database is looked at read-only. Corruption:
/// it lost something that was synced; the message says what and what to do.
Result<LogRecovery> ExamineLog(const LogDbOptions& options, const Record& record, bool rebooted,
                               const LogCheck& check);

/// Up to which batch the database is as it once was; of later ones something may be missing.
Result<std::uint64_t> TrustedThrough(const LogDbOptions& options);

}  // namespace raftkv::storage
