#include "rpc/peers/frame_link.h"

#include <algorithm>
#include <utility>

#include "lib/base/check.h"
#include "rpc/wire/codec.h"

namespace raftkv::rpc {

namespace {

constexpr Duration kVerifyEvery = std::chrono::seconds(1);

}  // namespace

FrameLink::FrameLink(FramePeers& peers, node::Transport::Peer peer)
    : peers_(peers), peer_(std::move(peer)), address_(peer_.address) {
  // Later: the member may be just being built.
  Wait(State::kWaiting, Duration::zero());
}

void FrameLink::After(Duration wait, void (FrameLink::*work)()) {
  peers_.After(wait, [this, work, changes = changes_, alive = std::weak_ptr<char>(alive_)] {
    if (!alive.expired() && changes == changes_) (this->*work)();
  });
}

void FrameLink::Wait(State state, Duration wait) {
  state_ = state;
  ++changes_;
  After(wait, &FrameLink::Greet);
}

void FrameLink::Greet() {
  RAFTKV_CHECK(state_ != State::kReady);
  state_ = State::kGreeting;
  ++changes_;
  const node::Hello hello = peers_.owner_.MakeHello(peer_.id, peer_.name);
  id_ = {hello.boot.nonce, peers_.next_number_++};
  own_id_ = hello.member;
  hello_formed_ = hello.cluster != ClusterId();
  // Always the same bytes, so that any copy of any answer to them will do.
  hello_ = EncodeFrame({id_, hello});
  resend_ = peers_.options_.resend_hello;
  hellos_ = 0;
  SendHello();
}

void FrameLink::SendHello() {
  constexpr int kHellosEach = 4;
  if (hellos_++ == kHellosEach && !peer_.also.empty()) {
    TurnToNext();
    return Greet();
  }
  peers_.SendBytes(address_, hello_);
  After(resend_, &FrameLink::SendHello);
  resend_ = std::min(2 * resend_, peers_.options_.max_backoff);
}

void FrameLink::RetryNow() {
  if (state_ == State::kWaiting) return Greet();
  // While they form, each hello would bring about the next one without a pause.
  if (state_ != State::kGreeting) return;
  ++changes_;  // in place of the copy that would have been sent next
  SendHello();
}

void FrameLink::Verify() {
  if (!ready()) return RetryNow();
  // Whoever says hello over and over must not keep this link from being used.
  const MonoTime now = peers_.loop_.Now();
  if (now - verified_at_ < kVerifyEvery) return;
  verified_at_ = now;
  Lose("another start of it says hello");
}

void FrameLink::OnAnswer(const node::HelloAnswer& answer) {
  if (state_ != State::kGreeting) return;  // a copy
  Status status = peers_.owner_.OnHelloAnswer(answer, {peer_.id, peer_.name, address_});
  if (status.ok() && peer_.id == kNobody) peer_.id = answer.self.member;  // known by name so far
  if (status.ok() && answer.self.member != peer_.id) {
    status = {Code::kPermissionDenied, "another member answers at " + address_};
  }
  // Formed since that hello was made: the next one says so.
  if (status.ok() && !hello_formed_) status = {Code::kUnavailable, "forming"};
  if (status.code() == Code::kUnavailable) {
    return Wait(State::kForming, node::Member::kFormationPoll);
  }
  if (!status.ok()) {
    LogOnce(node::LogSeverity::kWarn, status.message());
    TurnToNext();
    const Duration longest = peers_.options_.max_backoff;
    const auto half = static_cast<std::uint64_t>((longest / 2).count());
    return Wait(State::kWaiting, longest / 2 + Duration(peers_.random_.Below(half + 1)));
  }
  state_ = State::kReady;
  ++changes_;
  boot_ = answer.self.boot;
  next_sequence_ = 1;
  said_.clear();
  LogOnce(node::LogSeverity::kInfo, "linked to " + peer_.name + " at " + address_);
}

void FrameLink::OnClosed() {
  if (ready()) Lose("it has closed the link");
}

void FrameLink::OnBoot(node::Boot boot) {
  if (ready() && boot != boot_) Lose("it has restarted");
}

void FrameLink::Lose(const std::string& why) {
  LogOnce(node::LogSeverity::kInfo,
          "lost the link to " + peer_.name + " at " + address_ + ": " + why);
  peers_.dropped_messages_ += queue_.size();
  queue_.clear();
  // What was sent is as good as lost, though nobody knows.
  ReportUnreachable();
  Wait(State::kWaiting, Duration::zero());
}

void FrameLink::Send(node::PeerMessage message) {
  if (!ready()) {
    ++peers_.dropped_messages_;
    return ReportUnreachable();
  }
  queue_.push_back(std::move(message));
  if (flush_scheduled_) return;
  flush_scheduled_ = true;
  // All that this turn of the loop has to say goes together.
  peers_.loop_.RunLast([this, alive = std::weak_ptr<char>(alive_)] {
    if (!alive.expired()) Flush();
  });
}

void FrameLink::Flush() {
  flush_scheduled_ = false;
  if (queue_.empty()) return;
  RAFTKV_CHECK(ready());
  DeliverFrame deliver;
  std::size_t words = 0;
  const auto send = [&] {
    deliver.accepter = boot_.nonce;
    deliver.sequence = next_sequence_++;
    peers_.Send(address_, {id_, std::exchange(deliver, {})});
    words = 0;
  };
  for (node::PeerMessage& message : std::exchange(queue_, {})) {
    const std::size_t more = EncodedWords(message);
    const bool fits = (words + more) * sizeof(capnp::word) <= peers_.options_.max_batch_bytes;
    if (!deliver.messages.empty() && !fits) send();
    words += more;
    deliver.messages.push_back(std::move(message));
  }
  send();
}

void FrameLink::ReportUnreachable() {
  if (unreachable_scheduled_) return;
  unreachable_scheduled_ = true;
  peers_.loop_.RunLater([this, alive = std::weak_ptr<char>(alive_)] {
    if (alive.expired()) return;
    unreachable_scheduled_ = false;
    if (peer_.id != kNobody) peers_.owner_.PeerUnreachable(peer_.id);
  });
}

void FrameLink::TurnToNext() {
  if (!peer_.also.empty()) address_ = NextAddress(peer_, address_);
}

void FrameLink::LogOnce(node::LogSeverity severity, const std::string& line) {
  constexpr std::size_t kMaxLines = 16;
  if (said_.size() >= kMaxLines) said_.clear();
  if (!said_.insert(line).second) return;
  if (peers_.options_.log_sink) peers_.options_.log_sink(severity, line);
}

}  // namespace raftkv::rpc
