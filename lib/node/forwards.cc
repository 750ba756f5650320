#include "lib/node/forwards.h"

#include <vector>

namespace raftkv::node {

Forwards::Forwards(const Options& options, Transport& transport,
                   std::function<void(std::size_t)> release)
    : options_(options),
      transport_(transport),
      release_(std::move(release)),
      next_id_(options.first_id),
      round_trip_(options.first_timeout) {}

void Forwards::Add(NodeId leader, Bytes request, MonoTime now, MonoTime deadline, SubmitDone done) {
  if (measured_ != leader) {
    measured_ = leader;
    round_trip_ = RoundTrip(options_.first_timeout);
  }
  const std::uint64_t id = next_id_++;
  Waiting& waiting = waiting_[id];
  waiting.leader = leader;
  waiting.bytes = request.size();
  waiting.deadline = deadline;
  waiting.done = std::move(done);
  waiting.sent_at = now;
  if (options_.messages_may_be_lost) {
    waiting.request = request;
    Schedule(id, waiting, now);
  }
  transport_.Send(leader, ForwardSubmit{.id = id, .request = std::move(request)});
}

void Forwards::Schedule(std::uint64_t id, Waiting& waiting, MonoTime now) {
  waiting.resend_at = now + round_trip_.Timeout(waiting.resends);
  due_.emplace(waiting.resend_at, id);
}

void Forwards::Resend(MonoTime now) {
  while (!due_.empty() && due_.begin()->first <= now) {
    const std::uint64_t id = due_.begin()->second;
    due_.erase(due_.begin());
    Waiting& waiting = waiting_.at(id);
    ++waiting.resends;
    round_trip_.SentAgain(waiting.resends);
    Schedule(id, waiting, now);
    transport_.Send(waiting.leader, ForwardSubmit{.id = id, .request = waiting.request});
  }
}

MonoTime Forwards::NextResend() const { return due_.empty() ? kNever : due_.begin()->first; }

void Forwards::OnReply(NodeId peer, ForwardSubmitReply reply, MonoTime now) {
  const auto it = waiting_.find(reply.id);
  if (it == waiting_.end() || it->second.leader != peer) return;  // late or duplicated
  Waiting waiting = Take(it);
  SubmitOutcome& outcome = reply.outcome;
  // A refusal is faster than a write.
  if (waiting.resends == 0 && outcome.status.ok()) round_trip_.Measured(now - waiting.sent_at);
  // Safety: the leader may have forgotten what it did with another copy.
  const bool may_be_carried_out = waiting.resends > 0 && !outcome.status.ok();
  if (may_be_carried_out && outcome.status.code() != Code::kInvalidArgument) {
    outcome.status = {Code::kUnknownOutcome,
                      "the leader refused one of several copies: " + outcome.status.message()};
  }
  End(std::move(waiting), std::move(outcome));
}

Forwards::Waiting Forwards::Take(Map::iterator it) {
  due_.erase({it->second.resend_at, it->first});
  Waiting waiting = std::move(it->second);
  waiting_.erase(it);
  return waiting;
}

void Forwards::End(Waiting waiting, SubmitOutcome outcome) {
  release_(waiting.bytes);
  waiting.done(std::move(outcome));
}

void Forwards::FailIf(const std::function<bool(const Waiting&)>& ends, const Status& why) {
  // A callback may forward another request.
  std::vector<Waiting> ended;
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    const auto next = std::next(it);
    if (ends(it->second)) ended.push_back(Take(it));
    it = next;
  }
  for (Waiting& waiting : ended) End(std::move(waiting), {why, {}});
}

void Forwards::FailOf(NodeId leader, const Status& why) {
  FailIf([leader](const Waiting& waiting) { return waiting.leader == leader; }, why);
}

void Forwards::FailOfOthersThan(NodeId leader, const Status& why) {
  FailIf([leader](const Waiting& waiting) { return waiting.leader != leader; }, why);
}

void Forwards::FailExpired(MonoTime now, const Status& why) {
  FailIf([now](const Waiting& waiting) { return waiting.deadline <= now; }, why);
}

void Forwards::FailAll(const Status& why) {
  FailIf([](const Waiting&) { return true; }, why);
}

}  // namespace raftkv::node
