// After a crash: may the log database be opened, and how?
//
//   write-ahead log    same boot of the machine   machine was rebooted       clean close
//   whole              open                       open                       open
//   cut short          open (killed in a write)   open                       damage
//   torn               damage                     cut the last batch, open   damage
//   damaged, a gap     damage                     damage                     damage
//
// In every case a database behind the record's bounds is damage.
#pragma once

#include <raftkv/status.h>

#include "storage/log_handles.h"
#include "storage/record.h"

namespace raftkv::storage {

/// Says how to open it. Changes nothing on disk: the database is looked at read-only. Corruption:
/// it lost something that was synced; the message says what and what to do.
Result<rocksdb::WALRecoveryMode> ExamineLog(const LogDbOptions& options, const Record& record,
                                            bool rebooted);

/// Up to which batch the database is as it once was; of later ones something may be missing.
Result<std::uint64_t> TrustedThrough(const LogDbOptions& options);

}  // namespace raftkv::storage
