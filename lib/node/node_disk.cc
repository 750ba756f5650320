// What does a node do about its disk: a full one, one that does not answer, one that failed or
// lost something? (part of Node)
#include <algorithm>
#include <string>
#include <utility>

#include "lib/base/check.h"
#include "lib/kv/parse.h"
#include "lib/node/node.h"

namespace raftkv::node {

namespace {

std::string Milliseconds(Duration time) {
  return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(time).count()) +
         " ms";
}

const char* Meaning(raft::Space space) {
  switch (space) {
    case raft::Space::kEnough: return "the disk of this member has space again: it accepts writes";
    case raft::Space::kDeletes:
      return "no space is left on the disk of this member except the reserve: it accepts only "
             "deletes until some is freed";
    case raft::Space::kNone:
      return "no space is left on the disk of this member, not even the reserve: it accepts no "
             "writes until some is freed";
  }
  return "";
}

}  // namespace

void Node::OnDisk(const DiskHealth& health) {
  if (!failure_.ok()) return;
  if (!health.failure.ok()) {
    Stop(health.failure);
    return;
  }
  if (health.space == core_.space()) return;
  const bool better = health.space == raft::Space::kEnough;
  ports_.log_sink(better ? LogSeverity::kInfo : LogSeverity::kWarn, Meaning(health.space));
  Tick();
  core_.SetSpace(health.space);
  wakeup_();
}

/// Puts into the log when the disk, or the state machine, stops to get on, and when it does again.
void Node::NoteOwnWork(MonoTime now) {
  if (std::exchange(disk_hung_, core_.disk_hangs()) != core_.disk_hangs()) {
    if (disk_hung_) {
      ports_.log_sink(LogSeverity::kError, DiskErrors().back());
    } else if (!core_.writes().under_way()) {
      ports_.log_sink(LogSeverity::kInfo, "the disk of this member responds again, after " +
                                              Milliseconds(core_.writes().last()));
    }
  }
  if (std::exchange(apply_stalled_, core_.apply_stalls()) == core_.apply_stalls()) return;
  if (apply_stalled_) {
    ports_.log_sink(LogSeverity::kWarn, "this member has been applying one batch of writes for " +
                                            Milliseconds(core_.applies().Since(now)));
  } else {
    ports_.log_sink(LogSeverity::kInfo, "this member has applied a batch of writes that took it " +
                                            Milliseconds(core_.applies().last()));
  }
}

/// What an election takes is what the disks and the network take.
void Node::WarnOfShortTimeout() {
  const Duration took = core_.election_took();
  const Duration timeout = config_.raft.election_timeout;
  if (took <= timeout) return;
  ports_.log_sink(LogSeverity::kWarn,
                  "this member's election took " + Milliseconds(took) +
                      ": an election timeout of " + Milliseconds(timeout) +
                      " is too short for the disks and the network of this cluster; more than " +
                      Milliseconds(2 * took) + " would be better (serve --election-timeout)");
}

/// Safety: where a store was emptied, or stands behind its log, a key that is not there means
/// nothing.
Status Node::MayAnswerAlone() const {
  if (core_.suspect()) {
    return {Code::kUnavailable,
            "the disk of this member was damaged, and the others have not refilled it yet; ask "
            "another member"};
  }
  if (core_.applied_index() < once_applied_) {
    return {Code::kUnavailable,
            "this member is still applying what it had before; try again, or ask another member"};
  }
  return Status::Ok();
}

std::vector<std::string> Node::DiskErrors() const {
  std::vector<std::string> errors;
  if (!failure_.ok()) return errors;
  if (core_.space() != raft::Space::kEnough) errors.emplace_back(Meaning(core_.space()));
  if (core_.disk_hangs()) {
    errors.push_back(
        "the disk of this member does not respond: a write of its log has been in progress for " +
        Milliseconds(core_.writes().Since(ports_.clock.Now())));
  }
  return errors;
}

/// Safety: what is refused here is not in the log and never will be, so it is definitely not
/// carried out.
Status Node::MayPropose(const Bytes& request) const {
  if (core_.role() != raft::Role::kLeader) return Status::Ok();
  const raft::Space space = core_.SpaceForWrites();
  if (space == raft::Space::kEnough) return Status::Ok();
  const std::string what = core_.configuration().members.size() == 1
                               ? "the disk of this member is full; free some space there"
                               : "the disks of too many members are full; free some space there";
  const bool only_deletes = kv::OnlyDeletes(request.view());
  if (space == raft::Space::kDeletes && only_deletes) return Status::Ok();
  return {Code::kNoSpace,
          "NoSpace: " + what + (space == raft::Space::kDeletes ? ", or delete keys" : "")};
}

}  // namespace raftkv::node
