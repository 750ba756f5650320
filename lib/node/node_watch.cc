// How does a watch begin, and where are its events from? (part of Node)
#include <utility>

#include "lib/base/mutants.h"
#include "lib/node/node.h"

namespace raftkv::node {

WatchHub::Ports Node::WatchPorts() {
  return {.clock = ports_.clock,
          .read_log =
              [this](kv::WatchOp op, std::uint64_t last, Done<kv::WatchLogPage> done) {
                ports_.machine.ReadEvents(std::move(op), last, std::move(done));
              },
          .may_say_nothing_came = [this]() -> Status {
            // What is applied is true for ever, so events may be told whatever this member has.
            // That there are none is only worth something while it hears what is committed.
            if (core_.leader() == kNobody) {
              return {Code::kUnavailable, "this member knows no leader, and may be cut off"};
            }
            return MayAnswerAlone();
          },
          .wakeup = [this] { wakeup_(); }};
}

void Node::Watch(const Bytes& request, MonoTime deadline, Done<Bytes> done) {
  if (!failure_.ok()) return done(Status(Code::kUnavailable, failure_.message()));
  Result<kv::WatchOp> op = kv::DecodeWatchRequest(request.view(), config_.limits);
  if (!op.ok()) return done(op.status());
  if (op->resumes) return watches_.Add(*std::move(op), deadline, std::move(done));
  if (RAFTKV_MUTANT(kWatchBeginsBehind) && op->position.next == 0) return done(watches_.Begin());
  // It begins: behind everything that was acknowledged, a compaction too, so that every member
  // answers alike.
  Confirm(reads_, request.size(), deadline,
          [this, deadline, op = *std::move(op),
           done = std::move(done)](const Status& confirmed) mutable {
            if (!confirmed.ok()) return done(confirmed);
            // From now on. Answered with a position and not with the first event: if that answer is
            // lost the client knows that it has no position, and otherwise it can continue from it.
            if (op.position.next == 0) return done(watches_.Begin());
            watches_.Add(std::move(op), deadline, std::move(done));
          });
}

}  // namespace raftkv::node
