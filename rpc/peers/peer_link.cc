#include "rpc/peers/peer_link.h"

#include <algorithm>

#include "lib/base/check.h"
#include "rpc/loop/sockets.h"
#include "rpc/peers/link_table.h"
#include "rpc/wire/codec.h"

namespace raftkv::rpc {
namespace {

// Incoming on this connection are only answers.
constexpr std::size_t kMaxAnswerBytes = 1 << 20;
constexpr std::size_t kWordBytes = sizeof(capnp::word);

/// More goes as a call of its own, whose bound is larger.
constexpr std::size_t kMaxAnswersBytes = 256 << 10;

/// What is said in answer to a message. Their order does not matter, so they may take another way.
bool IsAnswer(const node::PeerMessage& message) {
  if (std::holds_alternative<node::ForwardSubmitReply>(message) ||
      std::holds_alternative<node::SnapshotChunkReply>(message)) {
    return true;
  }
  const auto* raft_message = std::get_if<raft::Message>(&message);
  if (raft_message == nullptr) return false;
  const raft::Body& body = raft_message->body;
  return std::holds_alternative<raft::AppendEntriesReply>(body) ||
         std::holds_alternative<raft::RequestVoteReply>(body) ||
         std::holds_alternative<raft::ReadIndexReply>(body);
}

}  // namespace

PeerLink::PeerLink(Peers& peers, node::Transport::Peer peer)
    : peers_(peers), peer_(std::move(peer)), address_(peer_.address), link_tasks_(*this) {
  link_tasks_.add(kj::evalLater([this] { Connect(); }));
}

PeerLink::~PeerLink() noexcept {
  connection_tasks_.reset();
  answered_.clear();
  remote_.reset();
  bootstrap_.reset();
}

void PeerLink::taskFailed(kj::Exception&& exception) {
  // Every task ends in a handler of its own; what still comes here is a lost connection.
  link_tasks_.add(kj::evalLater([this, why = ShortReason(exception)] { Lose(why, false); }));
}

void PeerLink::Connect() {
  if (state_ != State::kWaiting) return;
  state_ = State::kConnecting;
  connection_tasks_.emplace(static_cast<kj::TaskSet::ErrorHandler&>(*this));
  // A failure arrives in taskFailed.
  connection_tasks_->add(
      Dial(peers_.loop_, address_, peers_.options_.connect_timeout, kMaxAnswerBytes)
          .then([this](std::unique_ptr<Outbound>&& connection) {
            Connected(std::move(connection));
          }));
}

void PeerLink::Connected(std::unique_ptr<Outbound> connection) {
  state_ = State::kGreeting;
  connection_ = std::move(connection);
  bootstrap_ = connection_->bootstrap();
  connection_tasks_->add(connection_->Ended().then([this](std::string&& why) {
    link_tasks_.add(kj::evalLater([this, why = std::move(why)] { Lose(why, false); }));
  }));
  connection_tasks_->add(Greet());
}

kj::Promise<PeerLink::Answered> PeerLink::SayHello(const node::Hello& hello) {
  RAFTKV_CHECK(bootstrap_.has_value());
  auto request = bootstrap_->peerRequest();
  Encode(hello, request.initHello());
  return peers_.loop_.timer().timeoutAfter(
      ToKj(peers_.options_.hello_timeout),
      request.send().then([](Answered&& answered) { return kj::mv(answered); }));
}

kj::Promise<void> PeerLink::Greet() {
  const node::Hello hello = peers_.owner_->MakeHello(peer_.id, peer_.name);
  const bool formed = hello.cluster != ClusterId();
  own_id_ = hello.member;
  return SayHello(hello).then([this, formed](Answered&& answered) {
    return Greeted(answered.getAnswer(), answered.getPeer(), formed);
  });
}

kj::Promise<void> PeerLink::Greeted(wire::PeerAnswer::Reader wire_answer, wire::Peer::Client peer,
                                    bool formed) {
  Result<node::HelloAnswer> answer = Decode(wire_answer);
  Status status = answer.ok() ? peers_.owner_->OnHelloAnswer(*answer, dialled()) : answer.status();
  if (status.ok() && peer_.id == kNobody) peer_.id = answer->self.member;  // known by name so far
  if (status.ok() && answer->self.member != peer_.id) {
    status = {Code::kPermissionDenied, "another member answers at " + address_};
  }
  // Formed since that hello was sent: the next one says so.
  if (status.ok() && !formed) status = {Code::kUnavailable, "forming"};
  if (!status.ok() && status.code() != Code::kUnavailable) {
    link_tasks_.add(kj::evalLater([this, why = status.message()] { Refused(why); }));
    return kj::READY_NOW;
  }
  backoff_ = {};
  if (!status.ok()) {
    connection_tasks_->add(
        peers_.loop_.timer().afterDelay(ToKj(node::Member::kFormationPoll)).then([this] {
          return Greet();
        }));
    return kj::READY_NOW;
  }
  boot_ = answer->self.boot;
  remote_ = kj::mv(peer);
  state_ = State::kReady;
  said_.clear();
  LogOnce(node::LogSeverity::kInfo, "connected to " + peer_.name + " at " + address_);
  ScheduleFlush();
  return kj::READY_NOW;
}

void PeerLink::Refused(const std::string& why) {
  LogOnce(node::LogSeverity::kWarn, why);
  Lose(why, true);
}

void PeerLink::Lose(const std::string& why, bool refused) {
  if (state_ == State::kWaiting) return;
  if (state_ == State::kReady) {
    LogOnce(node::LogSeverity::kInfo,
            "lost the connection to " + peer_.name + " at " + address_ + ": " + why);
  } else if (!refused) {
    LogOnce(node::LogSeverity::kInfo,
            "cannot connect to " + peer_.name + " at " + address_ + ": " + why);
  }
  // One that was connected is looked for where it was.
  if (state_ != State::kReady) TurnToNext();
  state_ = State::kWaiting;
  connection_tasks_.reset();
  answered_.clear();
  verifying_ = false;
  remote_.reset();
  bootstrap_.reset();
  connection_ = nullptr;
  // Calls that were under way are as lost as what waited.
  const bool lost_calls = calls_ > 0;
  calls_ = call_words_ = 0;
  Drop(lost_calls);
  backoff_ =
      refused ? peers_.options_.max_backoff
              : std::clamp(2 * backoff_, peers_.options_.min_backoff, peers_.options_.max_backoff);
  const auto jitter = Duration(peers_.random_.Below(static_cast<std::uint64_t>(backoff_.count())));
  link_tasks_.add(
      peers_.loop_.timer().afterDelay(ToKj(backoff_ / 2 + jitter / 2)).then([this] { Connect(); }));
}

void PeerLink::Verify() {
  if (state_ != State::kReady) return RetryNow();
  if (verifying_) return;
  verifying_ = true;
  // A failure arrives in taskFailed, and ends the connection.
  connection_tasks_->add(
      SayHello(peers_.owner_->MakeHello(peer_.id, peer_.name)).then([this](Answered&& answered) {
        verifying_ = false;
        const auto answer = Decode(answered.getAnswer());
        if (answer.ok() && answer->self.member == peer_.id && answer->self.boot == boot_ &&
            answer->refusal.empty()) {
          return;
        }
        link_tasks_.add(kj::evalLater([this] { Lose("another start answers there", false); }));
      }));
}

void PeerLink::RetryNow() {
  if (state_ != State::kWaiting) return;
  // Whoever says hello over and over must not make us dial as often.
  const MonoTime now = peers_.loop_.Now();
  if (now - retried_at_ < node::Member::kFormationPoll) return;
  retried_at_ = now;
  backoff_ = {};
  link_tasks_.add(kj::evalLater([this] { Connect(); }));
}

void PeerLink::Send(node::PeerMessage message) {
  const std::size_t words = EncodedWords(message);
  const PeersOptions& options = peers_.options_;
  if (state_ != State::kReady || queue_.size() >= options.max_queued_messages ||
      (queued_words_ + words) * kWordBytes > options.max_queued_bytes) {
    ++peers_.dropped_messages_;
    if (!unreachable_scheduled_) {
      unreachable_scheduled_ = true;
      link_tasks_.add(kj::evalLater([this] {
        unreachable_scheduled_ = false;
        if (peer_.id != kNobody) peers_.owner_->PeerUnreachable(peer_.id);
      }));
    }
    return;
  }
  queue_.push_back({std::move(message), words});
  queued_words_ += words;
  ScheduleFlush();
}

void PeerLink::Drop(bool lost_calls) {
  const bool lost_some = lost_calls || !queue_.empty();
  peers_.dropped_messages_ += queue_.size();
  queue_.clear();
  queued_words_ = 0;
  if (lost_some && peer_.id != kNobody) peers_.owner_->PeerUnreachable(peer_.id);
}

void PeerLink::ScheduleFlush() {
  if (flush_scheduled_ || queue_.empty()) return;
  flush_scheduled_ = true;
  // All that this turn of the loop has to say goes into one call.
  link_tasks_.add(kj::evalLast([this] { Flush(); }));
}

void PeerLink::Flush() {
  flush_scheduled_ = false;
  const PeersOptions& options = peers_.options_;
  if (Answer()) return;
  while (state_ == State::kReady && !queue_.empty() && calls_ < options.max_calls &&
         (calls_ == 0 || call_words_ * kWordBytes < options.max_call_bytes)) {
    Deliver();
  }
}

bool PeerLink::Answer() {
  // Only while the peer has accepted our hello: before that it must not count what we say.
  if (state_ != State::kReady || queue_.empty() || peers_.server_ == nullptr) return false;
  if (queued_words_ * kWordBytes > kMaxAnswersBytes) return false;
  const bool answers_only = std::all_of(
      queue_.begin(), queue_.end(), [](const Queued& queued) { return IsAnswer(queued.message); });
  if (!answers_only) return false;
  auto held = peers_.server_->replies().Take(peer_.id);
  if (!held) return false;
  auto results = held->context.getResults(capnp::MessageSize{queued_words_ + 16, 0});
  auto answers = results.initAnswers(static_cast<capnp::uint>(queue_.size()));
  for (capnp::uint i = 0; !queue_.empty(); ++i) {
    Encode(queue_.front().message, answers[i]);
    queue_.pop_front();
  }
  queued_words_ = 0;
  held->fulfiller->fulfill();
  return true;
}

void PeerLink::TakeAnswers(wire::Peer::DeliverResults::Reader results) {
  std::vector<node::PeerMessage> answers;
  for (const auto wire_answer : results.getAnswers()) {
    auto answer = Decode(wire_answer, peer_.id, own_id_);
    if (answer.ok() && answer->has_value() && IsAnswer(**answer)) {
      answers.push_back(std::move(**answer));
    }
  }
  if (!answers.empty()) peers_.owner_->ReceiveAnswers(peer_.id, boot_, std::move(answers));
}

void PeerLink::Deliver() {
  std::size_t count = 0;
  std::size_t words = 0;
  for (const Queued& queued : queue_) {
    if (count > 0 && (words + queued.words) * kWordBytes > peers_.options_.max_batch_bytes) break;
    words += queued.words;
    ++count;
  }
  RAFTKV_CHECK(count > 0);
  RAFTKV_CHECK(remote_.has_value());
  auto request = remote_->deliverRequest(capnp::MessageSize{words + 16, 0});
  auto messages = request.initMessages(static_cast<capnp::uint>(count));
  for (std::size_t i = 0; i < count; ++i) {
    Encode(queue_.front().message, messages[static_cast<capnp::uint>(i)]);
    queue_.pop_front();
  }
  queued_words_ -= words;
  ++calls_;
  call_words_ += words;
  // `connection_tasks_` is dropped with the connection, so the answer counts for this one only.
  using Response = capnp::Response<wire::Peer::DeliverResults>;
  connection_tasks_->add(request.send().then([this, words](Response&& response) {
    RAFTKV_CHECK(calls_ > 0);
    RAFTKV_CHECK(call_words_ >= words, call_words_, words);
    --calls_;
    call_words_ -= words;
    TakeAnswers(response);
    answered_.push_back(kj::mv(response));
    if (answered_.size() > peers_.options_.max_calls) answered_.clear();
    ScheduleFlush();
  }));
  answered_.clear();
}

void PeerLink::TurnToNext() {
  if (!peer_.also.empty()) address_ = NextAddress(peer_, address_);
}

void PeerLink::LogOnce(node::LogSeverity severity, const std::string& line) {
  constexpr std::size_t kMaxLines = 16;
  if (said_.size() >= kMaxLines) said_.clear();
  if (!said_.insert(line).second) return;
  if (peers_.options_.log_sink) peers_.options_.log_sink(severity, line);
}

}  // namespace raftkv::rpc
