// How does a member whose disk has lost something return without claiming more than it has?
//
// Term, vote and boot are in the record, so they are never in doubt. The trustworthy part of the
// log, its beginning up to the first entry that cannot be read, is kept in a new log database; it
// is kept together with the state machine, or both start empty. From then on the member is suspect
// (docs/raft-notes.md): it neither votes nor counts until the others have refilled it. The damaged
// files are set aside until then, since they may be the last copy of something.
#pragma once

#include <cstdint>
#include <string>

#include <raftkv/status.h>

#include "storage/folder/record.h"
#include "storage/kv/kv_engine.h"
#include "storage/log/log_handles.h"

namespace raftkv::storage {

struct RepairOptions {
  std::string dir;  ///< the data folder, locked
  LogDbOptions log;
  /// How a key-value database is opened; its folder is filled in.
  KvEngineOptions kv;
};

/// Completes an interrupted repair if only its last step was missing, or removes what it made;
/// before the log database is opened.
Status FinishRepair(rocksdb::Env& env, const std::string& dir);

/// Replaces what is damaged by what is left; returns the record as it is now. After a crash at any
/// point the next open repairs again, or finds it done. `keeps` describes what was kept, for
/// people.
Result<Record> Repair(const RepairOptions& options, const Record& record, std::string& keeps);

}  // namespace raftkv::storage
