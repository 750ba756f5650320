// How do calls become requests? What a stream of reads and one of writes have in common.
//
// Calls gather while a request is under way, up to kGatherBytes: a larger request would only keep
// the disks and the network of the cluster from working on its parts at the same time. What fills a
// request begins at once, while the requests under way have less than kWindowBytes; more would only
// wait in the cluster, beside the heartbeats. What does not fill one begins no later than
// kGatherTime after the last attempt. (Over a slow network, or where an attempt was lost, a call
// would otherwise wait for the whole of a request that has nothing to do with it.) Behind a request
// that failed and is to be tried again calls gather until then: another one would fare no better. A
// request is tried again until it is answered or nobody waits for it any more. On the loop only.
//
//   Add --> [queue] --Gather--> Begin --> Send --> an answer --> Release, and its calls end
//                                          ^          |
//                                          +--Retry---+   after a back-off, if it failed
//
// A call that expires leaves the queue, or its request; a request whose last call has left is
// released as well.
#pragma once

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "lib/base/check.h"
#include "lib/base/random.h"
#include "lib/session/backoff.h"
#include "lib/session/call_queue.h"
#include "lib/session/session_call.h"
#include "lib/session/session_kv.h"

namespace raftkv::node {

/// Longer than a request takes where disks and network are quick: what gathers costs the cluster
/// one entry.
inline constexpr Duration kGatherTime = std::chrono::milliseconds(20);
/// Of calls that share a request.
inline constexpr std::size_t kGatherBytes = 1 << 20;
/// Of requests under way, before the next begins.
inline constexpr std::size_t kWindowBytes = 16 << 20;

template <class CallT>
struct CallRequest {
  std::vector<std::shared_ptr<CallT>> calls;
  std::size_t open_calls = 0;      ///< 0: nobody waits for it, or it was answered
  MonoTime deadline{};             ///< the latest of its calls
  std::size_t gathered_bytes = 0;  ///< of its calls
  Bytes bytes;
  AttemptTime attempt_time;
  Backoff backoff;
  Status last_failure;
};

/// ReadStream and WriteStream say how, in what they override.
template <class CallT, class RequestT>
class CallStream : public std::enable_shared_from_this<CallStream<CallT, RequestT>> {
 public:
  void Add(std::shared_ptr<CallT> call) {
    if (stopped_) return;  // the call ends itself
    queue_.Add(std::move(call));
    Continue();
  }

 protected:
  using RequestPtr = std::shared_ptr<RequestT>;

  CallStream(Loop& loop, Channel& channel, const SessionKvOptions& options)
      : loop_(loop),
        channel_(channel),
        limits_(options.limits),
        coalesce_(options.coalesce),
        max_active_(std::max<std::size_t>(options.max_outstanding, 1)),
        random_(options.seed),
        queue_(loop, [this](CallT& call) { Expire(call); }) {}
  virtual ~CallStream() = default;

  /// `work` as a callback that does nothing once the stream is gone, and keeps it while it runs.
  template <class Work>
  auto WhileAlive(Work work) {
    return [weak = this->weak_from_this(), work = std::move(work)](auto&&... args) mutable {
      if (const auto self = weak.lock()) work(std::forward<decltype(args)>(args)...);
    };
  }

  /// Behind what is posted already: calls that came together go together.
  void Schedule() {
    if (pump_posted_ || stopped_) return;
    pump_posted_ = true;
    loop_.Post(WhileAlive([this] {
      pump_posted_ = false;
      Pump();
    }));
  }

  void Pump() {
    while (!stopped_ && HasRoom() && queue_.Front() != nullptr && MayBegin()) {
      const RequestPtr request = Gather();
      if (stopped_) return;  // a call that expired there may have ended everything
      if (request->calls.empty()) continue;
      active_.push_back(request);
      active_bytes_ += request->gathered_bytes;
      Begin(request);
    }
    if (!stopped_ && queue_.Front() != nullptr && !HasRoom()) ScheduleLater();
  }

  /// An attempt begins now; returns when it is given up.
  MonoTime BeginAttempt(RequestT& request) {
    last_attempt_ = loop_.Now();
    return std::min(request.deadline,
                    request.attempt_time.Begin(last_attempt_, request.bytes.size()));
  }

  void Retry(const RequestPtr& request, Status why) {
    request->last_failure = std::move(why);
    request->attempt_time.Failed(loop_.Now());
    AfterBackoff(request, [this](const RequestPtr& again) { Send(again); });
  }

  /// Runs `work(request)` later, if somebody still waits for the request then.
  template <class Work>
  void AfterBackoff(const RequestPtr& request, Work work) {
    ++in_backoff_;
    loop_.At(loop_.Now() + request->backoff.Next(random_), WhileAlive([this, request, work] {
               if (stopped_) return;
               --in_backoff_;
               if (request->open_calls > 0) work(request);
               Continue();
             }));
  }

  /// One of the calls of `request` has ended.
  void Leave(RequestT& request) {
    RAFTKV_CHECK(request.open_calls > 0);
    if (--request.open_calls > 0) return;
    Release(request);
    Schedule();
  }

  /// It is answered, or nobody waits for it any more: it leaves the stream.
  void Release(RequestT& request) {
    const auto found = std::find_if(active_.begin(), active_.end(), [&](const RequestPtr& active) {
      return active.get() == &request;
    });
    RAFTKV_CHECK(found != active_.end());
    RAFTKV_CHECK(active_bytes_ >= request.gathered_bytes);
    active_bytes_ -= request.gathered_bytes;
    request.open_calls = 0;
    OnReleased(request);
    active_.erase(found);
  }

  /// Ends every open call by `end(call)`; afterwards nothing happens any more.
  template <class End>
  void StopWith(const End& end) {
    stopped_ = true;
    while (const auto call = queue_.AnyOpen()) {
      queue_.Forget(*call);
      end(*call);
    }
    active_.clear();
    active_bytes_ = 0;
  }

  Loop& loop_;
  Channel& channel_;
  const Limits limits_;
  const bool coalesce_;
  const std::size_t max_active_;

  Random random_;
  bool stopped_ = false;
  CallQueue<CallT> queue_;
  std::vector<RequestPtr> active_;

 private:
  /// Whether a request may begin; if not, it calls Pump() once that has changed.
  virtual bool MayBegin() { return true; }
  /// Encodes and sends what gathered.
  virtual void Begin(const RequestPtr& request) = 0;
  /// Makes an attempt.
  virtual void Send(const RequestPtr& request) = 0;
  virtual void OnReleased(const RequestT& request) { static_cast<void>(request); }
  /// Ends the call; that may destroy the KV, which stops the stream.
  virtual void Expire(CallT& call) = 0;

  [[nodiscard]] bool HasRoom() {
    if (active_.size() >= max_active_) return false;
    if (!coalesce_ || active_.empty()) return true;
    if (in_backoff_ > 0 || active_bytes_ >= kWindowBytes) return false;
    return queue_.waiting_bytes() >= kGatherBytes || loop_.Now() >= last_attempt_ + kGatherTime;
  }

  void Continue() {
    if (stopped_ || queue_.Front() == nullptr) return;
    HasRoom() ? Schedule() : ScheduleLater();
  }

  /// When the last attempt counts as slow, if no request has ended by then.
  void ScheduleLater() {
    // Otherwise it goes on when a request ends or is tried again.
    if (timer_set_ || in_backoff_ > 0 || active_.size() >= max_active_) return;
    if (active_bytes_ >= kWindowBytes) return;
    timer_set_ = true;
    loop_.At(last_attempt_ + kGatherTime, WhileAlive([this] {
               timer_set_ = false;
               Pump();
             }));
  }

  RequestPtr Gather() {
    auto request = std::make_shared<RequestT>();
    const MonoTime now = loop_.Now();
    std::size_t bytes = kv::EncodedHeaderSize();
    std::size_t operations = 0;
    std::size_t whole_ranges = 0;
    while (CallT* const front = queue_.Front()) {
      if (front->deadline <= now) {
        const auto late = queue_.Pop();
        Expire(*late);
        if (stopped_) break;
        continue;
      }
      bytes += front->bytes;
      operations += front->counted_operations;
      whole_ranges += front->whole_ranges;
      const bool fits = bytes <= std::min<std::size_t>(limits_.max_request_bytes, kGatherBytes) &&
                        operations <= limits_.max_operations && whole_ranges <= kv::kMaxWholeRanges;
      const bool shares = coalesce_ && fits && !front->alone;
      if (!request->calls.empty() && (!shares || request->calls.front()->alone)) break;
      std::shared_ptr<CallT> call = queue_.Pop();
      call->request = request.get();
      request->gathered_bytes += call->bytes;
      request->deadline = std::max(request->deadline, call->deadline);
      request->calls.push_back(std::move(call));
    }
    request->open_calls = request->calls.size();
    return request;
  }

  bool pump_posted_ = false;
  bool timer_set_ = false;
  MonoTime last_attempt_{};  ///< when it began
  std::size_t active_bytes_ = 0;
  /// Requests that wait for their next attempt, or did when they ended.
  std::size_t in_backoff_ = 0;
};

}  // namespace raftkv::node
