// Which commands does a transcript have, and what does each print?
//
//   add-nodes N [KEY=VALUE...]     members 1..N of a formed cluster: term 1, the configuration at
//   1/1.
//                                  Keys: append-bytes, inflight, inflight-bytes, buffer-bytes,
//                                  uncommitted-bytes, pending-reads, seed, caught-up=ENTRIES,
//                                  lease=ERROR%, zones=a,a,b (one a member), flexible=COMMIT/ELECT
//   add-node N                     one that starts with an empty disk and is no member yet
//   set-log N TERM TERMS...        gives N a log with entries of these terms (`1*3` is 1 1 1) and
//   the
//                                  current term TERM; commit=I as last argument
//   campaign N                     as if N's election timeout had passed
//   tick [N] DURATION              `tick 100ms`, `tick 2 300ms`: time passes (only for N)
//   propose N TEXT                 `propose N TEXT COUNT BYTES`: COUNT entries of BYTES
//   read N CONTEXT [lease]         asks for a read index; a lease is good enough
//   change N WHAT...               v4 add a voter, l4 a learner, a4 a learner to be promoted, r4
//                                  remove, p4 promote, d4 demote, majority|zones|flexible=2/4;
//                                  v4@east: in a zone
//   transfer N TO                  `transfer 1 0`: to whom it likes
//   members [N], lease N           the configuration in force; whether N holds a lease
//   compact N INDEX                cuts N's log, as far as its state machine has it durably
//   hold-snapshots                 stabilize neither sends nor delivers snapshots
//   send-snapshot N                N takes one for the first who needs it
//   deliver-snapshot [again]       the first under way arrives; again: and is still under way
//   lose-tail N COUNT              N, which is down, loses its last entries, and knows it
//   process-ready N...             carries out N's next Ready; its write is then under way
//   persist N...                   N's write becomes durable
//   disk-stall N, disk-resume N    stabilize does not persist for N
//   deliver A->B [COUNT]           messages of a link, in order; `deliver N`: all that are for N;
//                                  `deliver last A->B`: the newest first
//   drop|duplicate A->B, drop N    `drop N`: all that are for N
//   hold A->B [COUNT], release     puts messages aside; they come back at the end of their links
//   partition 1 2 | 3, heal        cut A->B, mend A->B: one way
//   disconnect N PEER              N's transport lost the connection from PEER
//   unreachable N PEER             messages of N to PEER were dropped
//   crash N [keep-write]           loses what is not synced, or keeps the write that was under way
//   restart N, flush N             flush: N's state machine makes what it has applied durable
//   stabilize [quiet]              until nothing more happens without time; quiet: prints nothing
//   leader                         in place of a member: the one that leads
//   status, raft-log [N], progress N, in-flight
//   converge                       ends all faults and reaches a common commit: the last command
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/support/raft/raft_cluster.h"

namespace raftkv::test {

class Commands {
 public:
  /// Carries out one line; fails the current test if it is not a command.
  std::vector<std::string> Run(const std::string& line);
  [[nodiscard]] bool converged_last() const { return converged_last_; }

 private:
  using Words = std::vector<std::string>;
  bool RunSetup(const Words& words);
  bool RunInput(const Words& words);
  bool RunOutput(const Words& words);
  bool RunNetwork(const Words& words);
  bool RunFault(const Words& words);
  bool RunMembers(const Words& words);
  bool RunSnapshots(const Words& words);
  bool RunShow(const Words& words);

  void AddNodes(const Words& words);
  void SetLog(const Words& words);
  void Propose(const Words& words);
  void Deliver(const Words& words);
  void Partition(const Words& words);
  void ShowProgress(NodeId id);
  void Converge();
  void SayIfRefused(const Status& status);
  std::vector<SimNetwork::Link> LinksOf(const std::string& word);

  void Say(const std::string& line) {
    if (!quiet_) output_.push_back(line);
  }

  std::unique_ptr<RaftCluster> cluster_;
  std::vector<std::string> output_;
  bool quiet_ = false;
  bool converged_last_ = false;
};

}  // namespace raftkv::test
