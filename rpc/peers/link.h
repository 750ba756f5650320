// What is the state of our link to one peer, and what does it do next? The same for every carrier:
// a connection (rpc/peers/peer_link.h) or the frames of a host's transport
// (rpc/peers/frame_link.h).
//
//   waiting --(back-off over)--> connecting --(opened)--> greeting --(accepted)--> ready
//      ^                             |                    |  ^  |               ^  |
//      |                             |          (forming) v  |  |      (same boot)  v (other hello)
//      |                             |                   forming|               verifying
//      |                             |                          |                    |
//      +---(failed, refused, lost, or no answer in time)--------+--------------------+
//
// docs/architecture.md, "Links", has the table of it.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "lib/base/once_function.h"
#include "lib/base/random.h"
#include "lib/base/time.h"
#include "lib/node/ports.h"
#include "lib/session/session_kv.h"
#include "rpc/server/service.h"

namespace raftkv::rpc {

struct LinkOptions {
  /// Messages that wait for one peer; more are dropped.
  std::size_t max_queued_messages = 4096;
  std::size_t max_queued_bytes = 64 << 20;
  /// Until the hello is answered: the answer waits for a synced write of the other side.
  Duration hello_timeout = std::chrono::seconds(3);
  /// For a carrier that loses things silently: a hello is repeated when it has not been answered
  /// for this long, then for twice as long, up to max_backoff. Zero: never repeated.
  Duration resend_hello = {};
  /// Pauses between attempts: doubled from one to the next, up to the maximum, which also follows a
  /// refusal; each is shortened by up to half at random.
  Duration min_backoff = std::chrono::milliseconds(10);
  Duration max_backoff = std::chrono::milliseconds(500);
  node::LogSink log_sink = {};
};

/// What the links of a member share; outlives them.
struct LinkContext {
  node::Loop& loop;
  PeerOwner* owner;  ///< set before the first link is created; outlives the links
  const LinkOptions options;
  Random random;
  std::uint64_t dropped_messages = 0;
};

/// Lives on the loop. Closed by destroying it, which never happens inside one of its own calls.
/// Owns the state, all timers, the queue, and which address is tried; its carrier, the derived
/// class, owns the connection or the numbers of the frames.
class Link {
 public:
  using Peer = node::Transport::Peer;

  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  [[nodiscard]] const Peer& peer() const { return peer_; }
  /// The address being tried, or where the peer was found.
  [[nodiscard]] const std::string& address() const { return address_; }
  /// The same peer, which may have an id or other addresses now; address() is one of them.
  void Update(Peer peer) { peer_ = std::move(peer); }
  /// Our hello was accepted, and the link is not known to have ended since.
  [[nodiscard]] bool ready() const {
    return state_ == State::kReady || state_ == State::kVerifying;
  }

  /// Dropped, and reported as PeerUnreachable, unless it is ready and has room.
  void Send(node::PeerMessage message);
  /// The peer is up: no reason to wait.
  void RetryNow();
  /// See PeerNetwork::Verify.
  void Verify();

 protected:
  struct Queued {
    node::PeerMessage message;
    std::size_t words;
  };

  /// Connects in a later turn: the member may still be under construction.
  Link(LinkContext& context, Peer peer);
  ~Link() = default;

  // --- Events reported by the carrier. None of these may be called from inside Close().
  /// In answer to Open(), at once or later.
  void Opened();
  /// The answer to the last hello. It may also be a copy, or too late: then it is ignored.
  void OnAnswer(const Result<node::HelloAnswer>& answer);
  /// The way is lost, or could not be opened.
  void Lose(const std::string& why);
  /// There may be room for queued messages: Flush() is called at the end of this turn.
  void ScheduleFlush();

  // --- State for the carrier.
  /// The introduction in our hello, and the boot that accepted it.
  [[nodiscard]] NodeId own_id() const { return own_id_; }
  [[nodiscard]] node::Boot boot() const { return boot_; }
  [[nodiscard]] const std::deque<Queued>& queue() const { return queue_; }
  [[nodiscard]] std::size_t queued_words() const { return queued_words_; }
  /// The first of the queue.
  node::PeerMessage TakeQueued();

 private:
  enum class State : std::uint8_t {
    kWaiting,     ///< for the end of the back-off; nothing is open
    kConnecting,  ///< the carrier opens the way
    kGreeting,    ///< our hello is not answered yet
    kForming,     ///< one of the two is still forming: the next hello follows soon
    kReady,
    kVerifying,  ///< ready, and checking whether the boot that accepted us is still there
  };

  // --- Actions of the carrier.
  /// Opens the way to address(), within a timeout of its own: Opened() or Lose() follows.
  virtual void Open() = 0;
  /// Sends the first hello of an attempt; the answer arrives in OnAnswer().
  virtual void SayHello(const node::Hello& hello) = 0;
  /// Sends the same hello again, so that any copy of any answer will do. Called only with
  /// resend_hello.
  virtual void RepeatHello() = 0;
  /// While ready: asks which boot is there, without ending anything; OnAnswer() or Lose() follows.
  /// False: a hello cannot be sent here without ending the link.
  virtual bool AskAgain(const node::Hello& hello) = 0;
  /// Releases the way; it reports no more events. True: messages passed to it may be lost.
  virtual bool Close() = 0;
  /// While ready: sends what it can of the queue.
  virtual void Flush() = 0;
  /// Runs `work` once everything that is ready now has been done.
  virtual void RunLast(OnceFunction<void()> work) = 0;

  void Enter(State state);
  void Connect();
  void Greet();
  void Accepted(node::Boot boot);
  /// When the hello is repeated, or its answer is no longer waited for.
  void WaitForAnswer();
  void AnswerOverdue();
  /// Closes the way, and tries again after the back-off.
  void BackOff(Duration backoff);
  void ReportUnreachable();
  /// Continues with the peer's next address.
  void TurnToNext();
  void LogOnce(node::LogSeverity severity, const std::string& line);
  /// Runs `work` at `when`, unless another state was entered by then or the link is destroyed.
  void At(MonoTime when, void (Link::*work)());

  LinkContext& context_;
  Peer peer_;
  std::string address_;
  State state_ = State::kWaiting;
  std::uint64_t entered_ = 0;  ///< states so far
  Duration backoff_{};
  std::optional<MonoTime> retried_at_;
  std::optional<MonoTime> verified_at_;

  // Of the last hello sent.
  NodeId own_id_;
  bool formed_ = false;
  MonoTime answer_deadline_{};
  Duration resend_{};
  node::Boot boot_;

  std::deque<Queued> queue_;
  std::size_t queued_words_ = 0;
  bool flush_scheduled_ = false;
  bool unreachable_scheduled_ = false;
  std::set<std::string> said_;  // so that one cause is logged once; since it was last ready
  /// Expired for callbacks that run after the destructor.
  const std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace raftkv::rpc
