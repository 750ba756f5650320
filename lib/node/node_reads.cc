// How is a read, or the opening of a session, answered from the latest confirmed state? (part of
// Node)
#include <utility>

#include "lib/kv/parse.h"
#include "lib/kv/request.h"
#include "lib/node/node.h"

namespace raftkv::node {

ReadQueue::AskAgain Node::AskAgain() const {
  return {.after = config_.raft.election_timeout, .measured = config_.messages_may_be_lost};
}

void Node::Read(Bytes request, ReadPolicy policy, MonoTime deadline, Done<Bytes> done) {
  if (!failure_.ok()) {
    done(Status(Code::kUnavailable, failure_.message()));
    return;
  }
  if (Status valid = kv::ValidateReadRequest(request.view(), config_.limits); !valid.ok()) {
    done(valid);
    return;
  }
  // What a revision left stays as it was: whoever has come to it may show it, and needs no leader.
  // Who has not may be behind: then it is not known yet whether there is such a revision.
  const kv::NamedRevisions named = kv::RevisionsOfRequest(request.view());
  const bool has_come_to_all = named.highest <= ports_.machine.revisions().revision;
  const bool is_settled = named.by_all && has_come_to_all;
  const bool local = policy.consistency == Consistency::kLocal;
  const Status may = local && !is_settled ? MayAnswerAlone() : Status::Ok();
  if (!may.ok()) {
    done(may);
  } else if (is_settled || (has_come_to_all && (local || IsFreshEnough(policy)))) {
    ports_.machine.Read(std::move(request), config_.max_answer_bytes, core_.clock_ms(),
                        std::move(done));
  } else {
    const std::size_t bytes = request.size();
    const bool lease = policy.consistency == Consistency::kLease;
    Confirm(lease ? lease_reads_ : reads_, bytes, deadline,
            [this, request = std::move(request),
             done = std::move(done)](const Status& confirmed) mutable {
              if (!confirmed.ok()) return done(confirmed);
              ports_.machine.Read(std::move(request), config_.max_answer_bytes, core_.clock_ms(),
                                  std::move(done));
            });
  }
}

/// A bounded read may be answered from what this member has.
bool Node::IsFreshEnough(const ReadPolicy& policy) const {
  return policy.consistency == Consistency::kBounded &&
         reads_.IsFresh(ports_.clock.Now(), policy.max_staleness, core_.applied_index());
}

/// Safety: a session must not begin at a time in the cluster's past. Its first request would be
/// mistaken for one of a session that was dropped since.
void Node::OpenSession(MonoTime deadline, Done<std::uint64_t> done) {
  Confirm(reads_, 0, deadline, [this, done = std::move(done)](const Status& confirmed) mutable {
    if (!confirmed.ok()) return done(confirmed);
    if (replicated_time_ms_ == 0) {
      return done(Status(Code::kUnavailable, "the cluster has no time yet; try again"));
    }
    done(replicated_time_ms_);
  });
}

/// Calls `done` with ok once everything committed by now is applied here.
void Node::Confirm(ReadQueue& queue, std::size_t bytes, MonoTime deadline, DoneStatus done) {
  if (!failure_.ok()) {
    done({Code::kUnavailable, failure_.message()});
  } else if (!HasRoom(bytes)) {
    done({Code::kUnavailable, "too many requests are queued at this member; try again"});
  } else {
    pending_bytes_ += bytes;
    queue.Add({bytes, ports_.clock.Now(), deadline, std::move(done)});
    wakeup_();
  }
}

void Node::ServeReads() {
  const MonoTime now = ports_.clock.Now();
  for (ReadQueue* queue : {&reads_, &lease_reads_}) {
    for (PendingRead& read : queue->TakeServable(core_.applied_index())) {
      ports_.observer.Observe(Stage::kReadIndex, now - read.arrived);
      Release(read.bytes);
      read.done(Status::Ok());
    }
  }
}

}  // namespace raftkv::node
