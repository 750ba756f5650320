// How does one stream of a client carry many watchers?
//
// A watcher is a position in the history of the store, which is kept here: what was sent. Its
// events are asked for a page at a time (KV::WatchPageAsync), by a call that waits at the member
// until there are some. The position moves only when events have been sent, so nothing is lost or
// told twice, and what is behind it is all that progress may say.
//
// A client that reads slowly slows its own watchers only: while the stream is full nothing is asked
// for, and a page that comes nevertheless is dropped; it is asked for again from the same position.
//
// Requests are answered one after the other, as they came. One that watches "from now on" waits for
// the revision that the cluster has come to, as a leader confirms it: the events of every write
// that is acknowledged after the answer will follow. Requests behind it share the question.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <raftkv/watch.h>

#include "rpc/etcd/backend.h"
#include "rpc/etcd/errors.h"
#include "rpc/etcd/method.h"
#include "rpc/etcd/watch_budget.h"

namespace raftkv::etcd {

struct WatchServiceOptions {
  /// Of this member: its hub has 16,384 places, for the native clients as well.
  std::size_t max_watchers = 12 * 1024;
  std::size_t max_key_bytes = 32 << 20;
  std::size_t max_watchers_a_stream = 8 * 1024;
  /// About how often a watcher with progress_notify and without events is told how far it is.
  Duration progress_interval = std::chrono::minutes(10);
  /// How long a call for a page waits at the member.
  std::chrono::milliseconds page_timeout{10'000};
  /// The same where the position is wanted rather than events.
  std::chrono::milliseconds glance_timeout{5};
  /// Of an answer to a watcher that takes fragments.
  std::size_t fragment_bytes = 3 << 19;
  /// Events of one revision that are put together for one answer.
  std::size_t max_answer_bytes = kMaxWatchResponseBytes;
  /// How many watchers do that at a time.
  std::size_t max_gathering = 4;
};

/// What all streams share. It lives as long as the last of them.
struct WatchShared {
  WatchShared(Backend& of, const WatchServiceOptions& chosen)
      : backend(of),
        options(chosen),
        places(chosen.max_watchers, chosen.max_key_bytes),
        turns(of.loop, chosen.max_gathering) {}

  Backend& backend;
  const WatchServiceOptions options;
  WatchPlaces places;
  GatherTurns turns;
};

class WatchStream : public std::enable_shared_from_this<WatchStream> {
 public:
  using Reply = StreamReplier<WatchResponse>;
  WatchStream(std::shared_ptr<WatchShared> shared, Reply reply);

  void OnRequest(WatchRequest request);
  void OnDrained();
  /// Ends the call with `outcome`.
  void End(const Outcome& outcome);
  /// The call is over: nothing is sent any more.
  void Close() { ended_ = true; }

 private:
  using Id = std::int64_t;
  /// Why a page is asked for.
  enum class Ask : std::uint8_t {
    kWait,     ///< for the next events
    kCatchUp,  ///< there may be events that were not taken
    kGlance,   ///< for the position
  };
  struct Watcher {
    Id id = 0;
    /// Answers to calls under another one are of the past.
    std::uint64_t epoch = 0;
    KeyRange range;
    bool puts = true;
    bool deletes = true;
    bool previous = false;
    bool fragment = false;
    bool notify = false;
    std::shared_ptr<void> place;

    WatchPosition sent;  ///< everything before it was sent
    WatchPosition next;  ///< the same, with what is in `open`: where the next page begins
    /// The beginning of a revision that takes several pages, from `sent` on.
    std::vector<WatchEvent> open = {};
    std::size_t open_bytes = 0;
    GatherTurns::Turn turn = nullptr;

    bool begun = false;    ///< a page was answered: the position is the member's
    bool asks = false;     ///< a call waits for events, or is about to
    bool blocked = false;  ///< is in `blocked_`
    bool waits_for_turn = false;
    bool told = false;  ///< something since the last round of progress

    [[nodiscard]] bool mute() const { return !puts && !deletes; }
  };

  // --- Requests.
  void Work();
  void AskNow();
  void OnNow(const Result<WatchPage>& page, std::size_t covers);
  void Handle(WatchRequest request);
  void Create(WatchCreateRequest create);
  void Refuse(const std::string& reason);
  void Cancel(Id id);
  [[nodiscard]] bool IsFromNow(const WatchRequest& request) const;

  // --- Pages.
  void Continue(Watcher& watcher);
  void Call(Watcher& watcher, Ask why);
  void OnPage(Id id, std::uint64_t epoch, Ask why, Result<WatchPage> page);
  void OnFailure(Watcher& watcher, Ask why, const Status& status);
  void Take(Watcher& watcher, WatchPage page);
  void OnNothing(Watcher& watcher, const WatchPage& page);
  void Gather(Watcher& watcher, std::vector<WatchEvent> events, const WatchPosition& next,
              std::uint64_t revision);
  void SendEvents(Watcher& watcher, std::vector<WatchEvent> events, std::uint64_t revision);
  void DropOpen(Watcher& watcher);
  void WaitForTurn(Watcher& watcher);
  void Block(Watcher& watcher);
  void CatchUp();
  void EndWatcher(Id id, WatchResponse last);
  [[nodiscard]] Watcher* Find(Id id);
  [[nodiscard]] Watcher* Find(Id id, std::uint64_t epoch);

  // --- Progress (watch_progress.cc).
  void AskProgress();
  void MoveTo(Watcher& watcher, const WatchPosition& sent);
  void NoteBehind(const Watcher& watcher);
  void CheckProgress();
  void Glance();
  void OnGlanced(Id id);
  void NotifyLater();
  void Notify();

  bool Send(const WatchResponse& response);
  [[nodiscard]] ResponseHeader HeaderNow() const { return MakeHeader(shared_->backend, 0); }
  void Later(Duration delay, void (WatchStream::*then)());

  // --- Constant after construction.
  const std::shared_ptr<WatchShared> shared_;
  const Reply reply_;

  bool ended_ = false;

  // --- Requests that wait.
  std::deque<WatchRequest> requests_;
  std::size_t request_bytes_ = 0;
  bool asks_now_ = false;
  /// The revision that the first `now_covers_` of the requests may take for "now".
  std::uint64_t now_ = 0;
  std::size_t now_covers_ = 0;

  // --- Watchers.
  std::map<Id, Watcher> watchers_;
  Id next_id_ = 0;
  std::uint64_t next_epoch_ = 1;
  std::deque<Id> blocked_;
  std::size_t catching_up_ = 0;

  // --- Progress that was asked for: up to these revisions, in order.
  std::deque<std::uint64_t> targets_;
  bool has_target_ = false;  ///< `behind_` is of the first one
  std::set<Id> behind_;
  std::deque<Id> to_glance_;
  std::size_t glances_ = 0;
  bool notifies_ = false;  ///< a round is set
};

}  // namespace raftkv::etcd
