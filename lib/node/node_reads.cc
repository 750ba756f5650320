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
  const Status valid = kv::ValidateReadRequest(request.view(), config_.limits);
  const bool local = policy.consistency == Consistency::kLocal;
  // Its state was as current as was asked for when the first page was read: the rest of it needs no
  // leader, and this member need not be the one that it was then.
  const bool continues = valid.ok() && kv::ViewOfRequest(request.view()).IsSet();
  const Status may = local ? MayAnswerAlone() : Status::Ok();
  if (!valid.ok() || !may.ok()) {
    done(valid.ok() ? may : valid);
  } else if (local || continues ||
             (policy.consistency == Consistency::kBounded &&
              reads_.IsFresh(ports_.clock.Now(), policy.max_staleness, core_.applied_index()))) {
    ports_.machine.Read(std::move(request), config_.max_answer_bytes, std::move(done));
  } else {
    const std::size_t bytes = request.size();
    const bool lease = policy.consistency == Consistency::kLease;
    Confirm(lease ? lease_reads_ : reads_, bytes, deadline,
            [this, request = std::move(request),
             done = std::move(done)](const Status& confirmed) mutable {
              if (!confirmed.ok()) return done(confirmed);
              ports_.machine.Read(std::move(request), config_.max_answer_bytes, std::move(done));
            });
  }
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
