#include "rpc/peers/peer_link.h"

#include <algorithm>
#include <utility>

#include "lib/base/check.h"
#include "rpc/loop/sockets.h"
#include "rpc/wire/codec.h"

namespace raftkv::rpc {
namespace {

// Only answers arrive on this connection.
constexpr std::size_t kMaxAnswerBytes = 1 << 20;
constexpr std::size_t kWordBytes = sizeof(capnp::word);

/// A larger one goes as a call of its own, whose limit is higher.
constexpr std::size_t kMaxAnswersBytes = 256 << 10;

/// Messages sent in answer to others. Their order does not matter, so they may take another way.
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

PeerLink::PeerLink(Peers& peers, Peer peer)
    : Link(peers.context_, std::move(peer)), peers_(peers), link_tasks_(*this) {}

PeerLink::~PeerLink() noexcept { Close(); }

template <class Work>
void PeerLink::Defer(Work work) {
  link_tasks_.add(
      kj::evalLater([this, connection = connections_, work = std::move(work)]() mutable {
        if (connection == connections_) work();
      }));
}

void PeerLink::taskFailed(kj::Exception&& exception) {
  // Every task ends in a handler of its own; anything that still arrives here is a lost connection.
  Defer([this, why = ShortReason(exception)] { Lose(why); });
}

void PeerLink::RunLast(OnceFunction<void()> work) { peers_.loop_.RunLast(std::move(work)); }

void PeerLink::Open() {
  connection_tasks_.emplace(static_cast<kj::TaskSet::ErrorHandler&>(*this));
  // A failure arrives in taskFailed.
  connection_tasks_->add(Dial(peers_.loop_, address(), peers_.options_.connect_timeout,
                              kMaxAnswerBytes, peers_.options_.tls)
                             .then([this](std::unique_ptr<Outbound>&& connection) {
                               Connected(std::move(connection));
                             }));
}

void PeerLink::Connected(std::unique_ptr<Outbound> connection) {
  connection_ = std::move(connection);
  bootstrap_ = connection_->bootstrap();
  connection_tasks_->add(connection_->Ended().then(
      [this](std::string&& why) { Defer([this, why = std::move(why)] { Lose(why); }); }));
  Opened();
}

bool PeerLink::Close() {
  ++connections_;
  connection_tasks_.reset();
  answered_.clear();
  remote_.reset();
  bootstrap_.reset();
  connection_ = nullptr;
  call_words_ = 0;
  return std::exchange(calls_, 0) > 0;
}

kj::Promise<PeerLink::Answered> PeerLink::Ask(const node::Hello& hello) {
  RAFTKV_CHECK(bootstrap_.has_value());
  auto request = bootstrap_->peerRequest();
  Encode(hello, request.initHello());
  return request.send().then([](Answered&& answered) { return kj::mv(answered); });
}

void PeerLink::SayHello(const node::Hello& hello) {
  connection_tasks_->add(Ask(hello).then([this](Answered&& answered) {
    remote_ = answered.getPeer();
    Defer([this, answer = Decode(answered.getAnswer())] { OnAnswer(answer); });
  }));
}

void PeerLink::RepeatHello() { RAFTKV_CHECK(false, "a connection loses no hello"); }

bool PeerLink::AskAgain(const node::Hello& hello) {
  connection_tasks_->add(Ask(hello).then([this](Answered&& answered) {
    Defer([this, answer = Decode(answered.getAnswer())] { OnAnswer(answer); });
  }));
  return true;
}

void PeerLink::Flush() {
  const PeersOptions& options = peers_.options_;
  if (Answer()) return;
  while (!queue().empty() && calls_ < options.max_calls &&
         (calls_ == 0 || call_words_ * kWordBytes < options.max_call_bytes)) {
    Deliver();
  }
}

bool PeerLink::Answer() {
  // The peer has accepted our hello, or nothing would be queued here: before that it must not count
  // our messages.
  RAFTKV_CHECK(ready());
  if (peers_.server_ == nullptr || queued_words() * kWordBytes > kMaxAnswersBytes) return false;
  const bool answers_only = std::all_of(queue().begin(), queue().end(), [](const Queued& queued) {
    return IsAnswer(queued.message);
  });
  if (!answers_only) return false;
  auto held = peers_.server_->replies().Take(peer().id);
  if (!held) return false;
  auto results = held->context.getResults(capnp::MessageSize{queued_words() + 16, 0});
  auto answers = results.initAnswers(static_cast<capnp::uint>(queue().size()));
  for (capnp::uint i = 0; !queue().empty(); ++i) Encode(TakeQueued(), answers[i]);
  held->fulfiller->fulfill();
  return true;
}

void PeerLink::TakeAnswers(wire::Peer::DeliverResults::Reader results) {
  std::vector<node::PeerMessage> answers;
  for (const auto wire_answer : results.getAnswers()) {
    auto answer = Decode(wire_answer, peer().id, own_id());
    if (answer.ok() && answer->has_value() && IsAnswer(**answer)) {
      answers.push_back(std::move(**answer));
    }
  }
  if (answers.empty()) return;
  peers_.context_.owner->ReceiveAnswers(peer().id, boot(), std::move(answers));
}

void PeerLink::Deliver() {
  std::size_t count = 0;
  std::size_t words = 0;
  for (const Queued& queued : queue()) {
    if (count > 0 && (words + queued.words) * kWordBytes > peers_.options_.max_batch_bytes) break;
    words += queued.words;
    ++count;
  }
  RAFTKV_CHECK(count > 0);
  RAFTKV_CHECK(remote_.has_value());
  auto request = remote_->deliverRequest(capnp::MessageSize{words + 16, 0});
  auto messages = request.initMessages(static_cast<capnp::uint>(count));
  for (std::size_t i = 0; i < count; ++i) {
    Encode(TakeQueued(), messages[static_cast<capnp::uint>(i)]);
  }
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

}  // namespace raftkv::rpc
