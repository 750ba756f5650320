// How is a page of a watch asked for, until a member answers or the time is up?
//
// Nothing is gathered and nothing is remembered between two pages: the caller has the position. On
// the loop only.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <utility>

#include <raftkv/watch.h>

#include "lib/kv/watch.h"
#include "lib/session/backoff.h"
#include "lib/session/session_kv.h"

namespace raftkv::node {

/// A call of KV::WatchPageAsync while it is open. `finish` runs exactly once: at the latest, with
/// Cancelled, when this goes.
struct WatchPoll {
  WatchPoll(kv::WatchOp asked, MonoTime until, Callback<WatchPage> done)
      : op(std::move(asked)),
        request(kv::EncodeWatchRequest(op)),
        deadline(until),
        finish(std::move(done)) {}
  WatchPoll(const WatchPoll&) = delete;
  WatchPoll& operator=(const WatchPoll&) = delete;
  ~WatchPoll();
  void End(Result<WatchPage> result);

  const kv::WatchOp op;
  const Bytes request;
  const MonoTime deadline;
  Callback<WatchPage> finish;
  Backoff backoff;
  Status last_failure;
};

class WatchPolls : public std::enable_shared_from_this<WatchPolls> {
 public:
  WatchPolls(Loop& loop, Channel& channel, std::uint64_t seed)
      : loop_(loop), channel_(channel), random_(seed) {}

  void Add(const std::shared_ptr<WatchPoll>& poll);
  /// Ends every open poll; afterwards nothing happens any more.
  void Stop();

 private:
  using PollPtr = std::shared_ptr<WatchPoll>;

  void Send(const PollPtr& poll);
  void OnAnswer(const PollPtr& poll, const Result<Bytes>& answer);
  void Retry(const PollPtr& poll, Status why);
  void End(const PollPtr& poll, Result<WatchPage> result);
  void Sweep();
  void SweepLater();

  Loop& loop_;
  Channel& channel_;
  Random random_;
  std::set<PollPtr> open_;
  bool stopped_ = false;
  bool sweeps_ = false;
};

}  // namespace raftkv::node
