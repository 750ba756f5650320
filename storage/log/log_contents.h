// What is in the log database, and is it consistent?
#pragma once

#include <map>
#include <string>

#include <raftkv/status.h>

#include "lib/node/ports.h"
#include "lib/raft/raft.h"
#include "storage/folder/record.h"
#include "storage/log/log_format.h"
#include "storage/log/log_handles.h"
#include "storage/log/log_sizes.h"

namespace raftkv::storage {

struct LogContents {
  Identity identity;
  node::Boot boot;
  BatchMark mark;
  Bytes formation;  ///< empty: not formed
  std::string live_kv;
  std::map<NodeId, node::PeerBoot> peer_boots;
  /// Something that was durable may be missing; the others have it.
  bool suspect = false;
  /// Everything except `applied`, which the key-value store knows.
  raft::InitialState raft;
  LogSizes sizes;
};

/// Reads the state and the whole log. Corruption: an entry is damaged or missing, terms go back,
/// the hard state is behind the log, or the log ends elsewhere than the last batch says.
Result<LogContents> LoadContents(const LogHandles& handles);

// For an inconsistent database, whatever can be read: each part by itself.

/// The small records: identity, boots, hard state and so on.
Status LoadState(const LogHandles& handles, LogContents& contents);
Status LoadPeerBoots(const LogHandles& handles, LogContents& contents);
/// Where the log begins; zeros if it was never compacted.
Result<StoredBase> LoadStoredBase(const LogHandles& handles);

/// Is the database behind the record's bounds, or another member's? Then Corruption.
Status CheckAgainstRecord(const LogContents& contents, const Record& record);

}  // namespace raftkv::storage
