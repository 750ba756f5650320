// What can still be read, and trusted, of an inconsistent log database?
//
// Each part is read by itself. Of the log the beginning counts, up to the first entry that is
// missing, damaged or of a batch after the first broken place: that is a log which this member once
// had, so everything that Raft requires of logs holds for it.
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
  /// Empty: nothing is known of log and state machine.
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

/// Never fails: what cannot be read counts as missing. Changes nothing on disk.
Salvaged Salvage(const LogDbOptions& options, const Record& record);

/// Creates a log database from `contents` (except its log) and the salvaged log, if there is one,
/// and marks it as suspect; durable. `mark` is that of its last batch.
Status WriteSalvaged(const LogDbOptions& options, const LogContents& contents, const Salvaged* old,
                     BatchMark& mark);

}  // namespace raftkv::storage
