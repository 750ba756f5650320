#include "rpc/peers/frame_peers.h"

#include <algorithm>
#include <set>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/host_code.h"
#include "lib/base/mutex.h"
#include "rpc/peers/frame_link.h"

namespace raftkv::rpc {

namespace {

/// How often a peer without a link here is told so; a flood of late frames must not become two
/// floods.
constexpr Duration kSayClosedEvery = std::chrono::milliseconds(5);

}  // namespace

/// Where the transport's threads put received frames, as long as this member accepts them.
class FramePeers::Inbox : public std::enable_shared_from_this<Inbox> {
 public:
  explicit Inbox(std::size_t max_bytes) : max_bytes_(max_bytes) {}

  void Open(FramePeers& owner) {
    const MutexLock lock(mutex_);
    owner_ = &owner;
  }
  void Close() {
    const MutexLock lock(mutex_);
    owner_ = nullptr;
  }

  /// From any thread.
  void Take(const std::string& from, std::string frame) {
    const MutexLock lock(mutex_);
    if (owner_ == nullptr || frame.size() > owner_->options_.max_frame_bytes) return;
    if (bytes_ + frame.size() > max_bytes_) return;
    bytes_ += frame.size();
    owner_->loop_.Post([self = shared_from_this(), from, frame = std::move(frame)] {
      self->Deliver(from, frame);
    });
  }

 private:
  /// On the loop, where the owner is created and destroyed.
  void Deliver(const std::string& from, const std::string& frame) {
    FramePeers* owner = nullptr;
    {
      const MutexLock lock(mutex_);
      bytes_ -= frame.size();
      owner = owner_;
    }
    if (owner != nullptr) owner->OnFrame(from, frame);
  }

  const std::size_t max_bytes_;
  Mutex mutex_;
  FramePeers* owner_ RAFTKV_GUARDED_BY(mutex_) = nullptr;
  std::size_t bytes_ RAFTKV_GUARDED_BY(mutex_) = 0;
};

FramePeers::FramePeers(EventLoop& loop, raftkv::Transport& transport, Service& service,
                       PeerOwner& owner, FramePeersOptions options)
    : loop_(loop),
      transport_(transport),
      service_(service),
      options_(std::move(options)),
      inbox_(std::make_shared<Inbox>(options_.max_inbox_bytes)),
      context_{loop, &owner, options_.link, Random(options_.seed)} {
  inbox_->Open(*this);
  RunTransport("Transport::Start", [this] {
    transport_.Start([inbox = inbox_](const std::string& from, std::string frame) {
      inbox->Take(from, std::move(frame));
    });
  });
}

FramePeers::~FramePeers() {
  RunTransport("Transport::Stop", [this] { transport_.Stop(); });
  inbox_->Close();
}

void FramePeers::Send(const std::string& to, const Frame& frame) {
  SendBytes(to, EncodeFrame(frame));
}

void FramePeers::SendBytes(const std::string& to, std::string bytes) {
  RunTransport("Transport::Send", [&] { transport_.Send(to, std::move(bytes)); });
}

/// It is host code: an exception must not leave a member in an intermediate state.
void FramePeers::RunTransport(const char* what, const std::function<void()>& call) const {
  const auto say = [this](const std::string& line) {
    if (options_.link.log_sink) options_.link.log_sink(node::LogSeverity::kError, line);
  };
  RunHostCode(what, say, call);
}

// --- The links that this member opens.

FrameLink* FramePeers::FindLink(LinkId id) const {
  return links_.FindIf([id](const FrameLink& link) { return link.id() == id; });
}

void FramePeers::Send(NodeId to, node::PeerMessage message) {
  if (FrameLink* link = links_.Find(to)) {
    link->Send(std::move(message));
  } else {
    ++context_.dropped_messages;
  }
}

void FramePeers::SetPeers(std::vector<Peer> peers) {
  const std::set<NodeId> ids = links_.Replace(loop_, std::move(peers), [this](Peer peer) {
    return std::make_unique<FrameLink>(*this, std::move(peer));
  });
  // A former peer sends another hello, and learns why.
  for (auto& [member, known] : known_) known.open = known.open && ids.contains(member);
}

void FramePeers::RetryNow(const std::string& name) { links_.RetryNow(name); }
void FramePeers::Verify(const std::string& name) { links_.Verify(name); }

bool FramePeers::Connected(NodeId peer) const { return links_.Connected(peer); }

// --- Incoming.

void FramePeers::OnFrame(const std::string& from, const std::string& bytes) {
  Result<Frame> frame = DecodeFrame(bytes);
  if (!frame.ok()) {
    offences_.Log(options_.link.log_sink, loop_.Now(), node::LogSeverity::kWarn,
                  "a frame was dropped: " + frame.status().message());
    return;
  }
  if (auto* hello = std::get_if<node::Hello>(&frame->body)) {
    OnHello(from, frame->link, std::move(*hello));
  } else if (const auto* answer = std::get_if<node::HelloAnswer>(&frame->body)) {
    if (FrameLink* link = FindLink(frame->link)) link->OnAnswer(*answer);
  } else if (auto* deliver = std::get_if<DeliverFrame>(&frame->body)) {
    OnDeliver(from, frame->link, std::move(*deliver));
  } else if (FrameLink* link = FindLink(frame->link)) {
    link->OnClosed();
  }
}

/// Null: there is no room.
FramePeers::Known* FramePeers::Remember(NodeId member) {
  const auto found = known_.find(member);
  if (found != known_.end()) return &found->second;
  if (known_.size() >= options_.max_known) {
    // Safety: a member that had an open link keeps its place. Otherwise a late hello would reopen
    // an old link, and copies of what arrived on that would be taken for the originals.
    const auto goes = std::find_if(known_.begin(), known_.end(), [&](const auto& item) {
      return !item.second.open && !item.second.judging && links_.Find(item.first) == nullptr;
    });
    if (goes == known_.end()) return nullptr;
    known_.erase(goes);
  }
  return &known_[member];
}

void FramePeers::OnHello(const std::string& from, LinkId link, node::Hello hello) {
  if (hello.boot.nonce != link.opener || link.number == 0) return;
  Known* known = Remember(hello.member);
  if (known == nullptr || known->judging) return;  // it will send it again
  if (known->boot == hello.boot && link.number <= known->number) {
    // Safety: a late one must not reopen an old link.
    if (link.number == known->number && !known->answer.empty()) {
      SendBytes(from, known->answer);
    }
    return;
  }
  known->judging = link;
  const node::Hello said = hello;
  service_.OnHello(std::move(hello), [this, from, link, said, alive = std::weak_ptr<char>(alive_)](
                                         const node::HelloAnswer& answer) {
    if (!alive.expired()) OnJudged(from, link, said, answer);
  });
}

void FramePeers::OnJudged(const std::string& from, LinkId link, const node::Hello& hello,
                          const node::HelloAnswer& answer) {
  Known& known = known_.at(hello.member);
  RAFTKV_CHECK(known.judging == link, known.number, link.number);
  known.judging.reset();
  const bool accepted = answer.refusal.empty();
  std::string bytes = EncodeFrame({link, answer});
  const bool restarted = known.boot != hello.boot;
  // A refused boot other than the known one may be an older one: what is known is kept.
  if (accepted || !restarted || known.number == 0) {
    const bool was_open = std::exchange(
        known.open, accepted && hello.cluster != ClusterId() && answer.self.cluster != ClusterId());
    known.boot = hello.boot;
    known.number = link.number;
    known.had = SequenceWindow();
    known.answer = bytes;
    // What was sent to its earlier boot is lost, and so are the answers of that boot.
    if (was_open && restarted) service_.PeerDisconnected(hello.member);
  }
  SendBytes(from, std::move(bytes));
  if (!accepted) return;
  if (FrameLink* own = links_.Find(hello.member)) own->OnBoot(hello.boot);
}

void FramePeers::OnDeliver(const std::string& from, LinkId link, DeliverFrame deliver) {
  const node::Hello self = context_.owner->MakeHello(kNobody, {});
  const auto found = std::find_if(known_.begin(), known_.end(), [&](const auto& item) {
    return item.second.boot.nonce == link.opener;
  });
  if (found == known_.end() || deliver.accepter != self.boot.nonce) return SayClosed(from, link);
  auto& [member, known] = *found;
  if (known.judging || link.number < known.number) return;  // late
  if (!known.open || link.number != known.number) return SayClosed(from, link);
  if (!known.had.TakeFirst(deliver.sequence)) return;
  for (node::PeerMessage& message : deliver.messages) {
    auto* raft_message = std::get_if<raft::Message>(&message);
    if (raft_message == nullptr) continue;
    raft_message->from = member;
    raft_message->to = self.member;
  }
  service_.Receive(member, known.boot, std::move(deliver.messages));
}

void FramePeers::SayClosed(const std::string& from, LinkId link) {
  const MonoTime now = loop_.Now();
  if (said_closed_at_ != MonoTime::min() && now - said_closed_at_ < kSayClosedEvery) return;
  said_closed_at_ = now;
  Send(from, {link, ClosedFrame{}});
}

}  // namespace raftkv::rpc
