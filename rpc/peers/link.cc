#include "rpc/peers/link.h"

#include <algorithm>

#include "lib/base/check.h"
#include "lib/node/member.h"
#include "rpc/peers/link_table.h"
#include "rpc/wire/codec.h"

namespace raftkv::rpc {
namespace {

/// A peer that sends hello after hello must neither make us connect as often nor keep a ready link
/// from being used.
constexpr Duration kRetryEvery = node::Member::kFormationPoll;
constexpr Duration kVerifyEvery = std::chrono::seconds(1);

}  // namespace

Link::Link(LinkContext& context, Peer peer)
    : context_(context), peer_(std::move(peer)), address_(peer_.address) {
  RAFTKV_CHECK(context_.owner != nullptr);
  At(context_.loop.Now(), &Link::Connect);
}

void Link::At(MonoTime when, void (Link::*work)()) {
  context_.loop.At(when, [this, work, entered = entered_, alive = std::weak_ptr<char>(alive_)] {
    if (!alive.expired() && entered == entered_) (this->*work)();
  });
}

void Link::Enter(State state) {
  state_ = state;
  ++entered_;
}

void Link::Connect() {
  RAFTKV_CHECK(state_ == State::kWaiting);
  Enter(State::kConnecting);
  Open();
}

void Link::Opened() {
  RAFTKV_CHECK(state_ == State::kConnecting);
  Greet();
}

void Link::Greet() {
  RAFTKV_CHECK(state_ == State::kConnecting || state_ == State::kForming);
  Enter(State::kGreeting);
  const node::Hello hello = context_.owner->MakeHello(peer_.id, peer_.name);
  own_id_ = hello.member;
  formed_ = hello.cluster != ClusterId();
  answer_deadline_ = context_.loop.Now() + context_.options.hello_timeout;
  resend_ = context_.options.resend_hello;
  SayHello(hello);
  // A carrier may fail, or answer, immediately.
  if (state_ == State::kGreeting) WaitForAnswer();
}

void Link::WaitForAnswer() {
  MonoTime wake = answer_deadline_;
  if (resend_ > Duration::zero()) {
    wake = std::min(wake, context_.loop.Now() + resend_);
    resend_ = std::min(2 * resend_, context_.options.max_backoff);
  }
  At(wake, &Link::AnswerOverdue);
}

void Link::AnswerOverdue() {
  RAFTKV_CHECK(state_ == State::kGreeting || state_ == State::kVerifying);
  if (context_.loop.Now() >= answer_deadline_) return Lose("it does not respond to our hello");
  RepeatHello();
  WaitForAnswer();
}

void Link::OnAnswer(const Result<node::HelloAnswer>& answer) {
  if (state_ == State::kVerifying) {
    const bool same = answer.ok() && answer->self.member == peer_.id &&
                      answer->self.boot == boot_ && answer->refusal.empty();
    return same ? Enter(State::kReady) : Lose("another boot answers there");
  }
  if (state_ != State::kGreeting) return;
  Status status = answer.status();
  if (status.ok()) {
    status = context_.owner->OnHelloAnswer(*answer, {peer_.id, peer_.name, address_});
  }
  if (status.ok() && peer_.id == kNobody)
    peer_.id = answer->self.member;  // known only by name so far
  if (status.ok() && answer->self.member != peer_.id) {
    status = {Code::kPermissionDenied, "another member answers at " + address_};
  }
  // Formed since that hello was sent: the next one says so.
  if (status.ok() && !formed_) status = {Code::kUnavailable, "forming"};
  if (status.ok()) return Accepted(answer->self.boot);
  if (status.code() == Code::kUnavailable) {
    backoff_ = {};
    Enter(State::kForming);
    return At(context_.loop.Now() + node::Member::kFormationPoll, &Link::Greet);
  }
  LogOnce(node::LogSeverity::kWarn, status.message());
  TurnToNext();
  BackOff(context_.options.max_backoff);
}

void Link::Accepted(node::Boot boot) {
  backoff_ = {};
  boot_ = boot;
  Enter(State::kReady);
  said_.clear();
  LogOnce(node::LogSeverity::kInfo, "connected to " + peer_.name + " at " + address_);
}

void Link::Lose(const std::string& why) {
  if (state_ == State::kWaiting) return;
  LogOnce(node::LogSeverity::kInfo, (ready() ? "lost the connection to " : "cannot connect to ") +
                                        peer_.name + " at " + address_ + ": " + why);
  // A link that was ready is tried at the same address.
  if (!ready()) TurnToNext();
  const LinkOptions& options = context_.options;
  BackOff(std::clamp(2 * backoff_, options.min_backoff, options.max_backoff));
}

void Link::BackOff(Duration backoff) {
  RAFTKV_CHECK(state_ != State::kWaiting);
  Enter(State::kWaiting);
  const bool lost_messages = Close() || !queue_.empty();
  context_.dropped_messages += queue_.size();
  queue_.clear();
  queued_words_ = 0;
  if (lost_messages) ReportUnreachable();
  backoff_ = backoff;
  const auto half = static_cast<std::uint64_t>((backoff / 2).count());
  const Duration wait = backoff / 2 + Duration(context_.random.Below(half + 1));
  At(context_.loop.Now() + wait, &Link::Connect);
}

void Link::RetryNow() {
  const bool repeats =
      state_ == State::kGreeting && context_.options.resend_hello > Duration::zero();
  if (state_ != State::kWaiting && !repeats) return;
  const MonoTime now = context_.loop.Now();
  if (retried_at_ && now - *retried_at_ < kRetryEvery) return;
  retried_at_ = now;
  backoff_ = {};
  Enter(state_);  // instead of what would have been done later
  if (!repeats) return At(now, &Link::Connect);
  RepeatHello();
  WaitForAnswer();
}

void Link::Verify() {
  if (!ready()) return RetryNow();
  const MonoTime now = context_.loop.Now();
  if (state_ == State::kVerifying) return;
  if (verified_at_ && now - *verified_at_ < kVerifyEvery) return;
  verified_at_ = now;
  if (!AskAgain(context_.owner->MakeHello(peer_.id, peer_.name))) {
    return Lose("another boot of it sent a hello");
  }
  Enter(State::kVerifying);
  answer_deadline_ = now + context_.options.hello_timeout;
  At(answer_deadline_, &Link::AnswerOverdue);
}

void Link::Send(node::PeerMessage message) {
  const LinkOptions& options = context_.options;
  const std::size_t words = ready() ? EncodedWords(message) : 0;
  if (!ready() || queue_.size() >= options.max_queued_messages ||
      (queued_words_ + words) * sizeof(capnp::word) > options.max_queued_bytes) {
    ++context_.dropped_messages;
    return ReportUnreachable();
  }
  queue_.push_back({std::move(message), words});
  queued_words_ += words;
  ScheduleFlush();
}

node::PeerMessage Link::TakeQueued() {
  RAFTKV_CHECK(!queue_.empty());
  RAFTKV_CHECK(queued_words_ >= queue_.front().words, queued_words_, queue_.front().words);
  node::PeerMessage message = std::move(queue_.front().message);
  queued_words_ -= queue_.front().words;
  queue_.pop_front();
  return message;
}

void Link::ScheduleFlush() {
  if (flush_scheduled_ || queue_.empty()) return;
  flush_scheduled_ = true;
  // Everything that this turn of the loop sends goes together.
  RunLast([this, alive = std::weak_ptr<char>(alive_)] {
    if (alive.expired()) return;
    flush_scheduled_ = false;
    if (queue_.empty()) return;
    RAFTKV_CHECK(ready());
    Flush();
  });
}

void Link::ReportUnreachable() {
  if (unreachable_scheduled_) return;
  unreachable_scheduled_ = true;
  // Not from inside a call of the member's.
  context_.loop.Post([this, alive = std::weak_ptr<char>(alive_)] {
    if (alive.expired()) return;
    unreachable_scheduled_ = false;
    if (peer_.id != kNobody) context_.owner->PeerUnreachable(peer_.id);
  });
}

void Link::TurnToNext() {
  if (!peer_.also.empty()) address_ = NextAddress(peer_, address_);
}

void Link::LogOnce(node::LogSeverity severity, const std::string& line) {
  constexpr std::size_t kMaxLines = 16;
  if (said_.size() >= kMaxLines) said_.clear();
  if (!said_.insert(line).second) return;
  if (context_.options.log_sink) context_.options.log_sink(severity, line);
}

}  // namespace raftkv::rpc
