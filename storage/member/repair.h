// How does a member whose disk lost something come back without lying about what it has?
//
// Term, vote and boot stand in the record, so that they are never in doubt. What can be trusted of
// the log, its beginning up to the first entry that cannot be read, is kept in a new log database;
// it is kept together with the state machine, or else both begin empty. From then on the member is
// suspect (docs/raft-notes.md): it neither votes nor counts until the others have refilled it. What
// was damaged is set aside until then, since it may be the last copy of something.
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

/// Ends a repair that was cut short when nothing was missing but its last step, or removes what it
/// made; before the log database is opened.
Status FinishRepair(rocksdb::Env& env, const std::string& dir);

/// Puts what is left in the place of what is damaged; returns the record as it is now. A crash at
/// any point is followed by an open that repairs again, or finds it done. `keeps` says what was
/// kept, for people.
Result<Record> Repair(const RepairOptions& options, const Record& record, std::string& keeps);

}  // namespace raftkv::storage
