#include "lib/session/watch_polls.h"

#include <chrono>
#include <string>
#include <vector>

#include "lib/session/session_call.h"

namespace raftkv::node {
namespace {

constexpr Duration kSweepInterval = std::chrono::seconds(1);

/// A failure that neither another attempt nor another member can mend. A member whose disk is
/// damaged (Corruption) is not one: the others have what it lost.
bool IsFinalForWatch(Code code) {
  return code == Code::kInvalidArgument || code == Code::kVersionMismatch ||
         code == Code::kPermissionDenied || code == Code::kCompacted;
}

Status NoAnswer(const Status& last_failure) {
  std::string message = "no member answered the watch in time";
  if (!last_failure.ok()) message += "; the last attempt: " + last_failure.ToString();
  return {Code::kDeadlineExceeded, std::move(message)};
}

}  // namespace

WatchPoll::~WatchPoll() { End(ClosedStatus()); }

void WatchPoll::End(Result<WatchPage> result) {
  if (finish) std::exchange(finish, nullptr)(std::move(result));
}

void WatchPolls::Add(const PollPtr& poll) {
  if (stopped_) return poll->End(ClosedStatus());
  open_.insert(poll);
  SweepLater();
  Send(poll);
}

void WatchPolls::Send(const PollPtr& poll) {
  channel_.Watch(poll->request, poll->deadline,
                 [weak = weak_from_this(), poll](const Result<Bytes>& answer) {
                   if (const auto self = weak.lock()) self->OnAnswer(poll, answer);
                 });
}

void WatchPolls::OnAnswer(const PollPtr& poll, const Result<Bytes>& answer) {
  if (!open_.contains(poll)) return;
  if (answer.ok()) return End(poll, kv::DecodeWatchResponse(answer->view(), poll->op));
  if (IsFinalForWatch(answer.code())) return End(poll, answer.status());
  Retry(poll, answer.status());
}

void WatchPolls::Retry(const PollPtr& poll, Status why) {
  poll->last_failure = std::move(why);
  const MonoTime again = loop_.Now() + poll->backoff.Next(random_);
  if (again >= poll->deadline) return End(poll, NoAnswer(poll->last_failure));
  loop_.At(again, [weak = weak_from_this(), poll] {
    const auto self = weak.lock();
    if (self != nullptr && self->open_.contains(poll)) self->Send(poll);
  });
}

void WatchPolls::End(const PollPtr& poll, Result<WatchPage> result) {
  open_.erase(poll);
  poll->End(std::move(result));
}

/// The channel answers by itself; this is for answers that are lost with whoever owed them.
void WatchPolls::Sweep() {
  const MonoTime now = loop_.Now();
  std::vector<PollPtr> late;
  for (const PollPtr& poll : open_) {
    if (poll->deadline + kSweepInterval <= now) late.push_back(poll);
  }
  for (const PollPtr& poll : late) {
    if (open_.contains(poll)) End(poll, NoAnswer(poll->last_failure));
  }
}

void WatchPolls::SweepLater() {
  if (sweeps_ || open_.empty() || stopped_) return;
  sweeps_ = true;
  loop_.At(loop_.Now() + kSweepInterval, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (self == nullptr) return;
    self->sweeps_ = false;
    self->Sweep();
    self->SweepLater();
  });
}

void WatchPolls::Stop() {
  stopped_ = true;
  for (const PollPtr& poll : std::exchange(open_, {})) poll->End(ClosedStatus());
}

}  // namespace raftkv::node
