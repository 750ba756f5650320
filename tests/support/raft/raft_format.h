// How are messages, entries and states of the core written, so that a transcript reads well?
//
// An entry's place is written term/index, as etcd/raft does: `2/7 cmd "foo"`.
#pragma once

#include <string>
#include <vector>

#include "lib/raft/message.h"
#include "lib/raft/raft.h"

namespace raftkv::test {

std::string Format(const raft::Entry& entry);
/// All of them, or, where they are many, the first, the last and how many.
std::string Format(const std::vector<raft::Entry>& entries);
/// `1->2 AppendEntries term:2 prev:1/1 commit:1 entries:[2/2 cmd "foo"]`
std::string Format(const raft::Message& message);
std::string Format(const raft::SnapshotMeta& snapshot);
/// `{1 2 3}`; learners `4l`, invited names last; joint `{1 2 3}->{1 4 5}`.
std::string Format(const raft::Configuration& configuration);
std::string Format(raft::Role role);
/// A member's id, or `none`.
std::string Format(NodeId id);
/// `1 leader term:2 vote:1 leader:1 log:2/3 durable:3 commit:3 applied:3`
std::string FormatState(const raft::Raft& core);
/// `1/1..3 2/4..7`: the log as runs of equal term.
std::string FormatRuns(const raft::RaftLog& log);

}  // namespace raftkv::test
