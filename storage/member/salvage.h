// What can still be read, and trusted, of a log database that does not hold together?
//
// Each thing is read by itself. Of the log its beginning counts, up to the first entry that is
// missing, damaged or of a batch behind the first broken place: that is a log which this member
// once had, so whatever Raft says of logs holds for it.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <raftkv/status.h>

#include "storage/folder/record.h"
#include "storage/log/log_contents.h"
#include "storage/log/log_handles.h"

namespace raftkv::storage {

struct Salvaged {
  Bytes formation;
  std::map<NodeId, node::PeerBoot> peer_boots;
  raft::HardState hard_state;
  /// Empty: nothing of log and state machine can be told.
  std::string live_kv;
  StoredBase base;
  /// base.last.index: no entry.
  Index last_index;
  std::vector<raft::TermRun> term_runs;
  /// Where the entries are.
  std::shared_ptr<LogHandles> handles;

  /// Of the base and the entries; 0 elsewhere.
  [[nodiscard]] Term TermAt(Index index) const;
};

/// Never fails: what cannot be read is not there. Changes nothing on disk.
Salvaged Salvage(const LogDbOptions& options, const Record& record);

/// Makes a log database of `contents` (all but its log) and the salvaged log, if there is one, and
/// marks it as suspect; durable. `mark` is that of its last batch.
Status WriteSalvaged(const LogDbOptions& options, const LogContents& contents, const Salvaged* old,
                     BatchMark& mark);

}  // namespace raftkv::storage
