#include "lib/blocking/queue_place.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "lib/base/hex.h"
#include "lib/base/host_code.h"
#include "lib/base/mutex.h"
#include "lib/base/time.h"
#include "lib/blocking/blocking.h"
#include "lib/blocking/session_state.h"

namespace raftkv {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

/// So that a wait for the cluster notices in between that the session is over.
constexpr milliseconds kLongestAttempt{5000};
constexpr milliseconds kBetweenAttempts{20};
constexpr milliseconds kToLeave{5000};

milliseconds AttemptUntil(steady_clock::time_point deadline) {
  const auto left = std::chrono::ceil<milliseconds>(deadline - steady_clock::now());
  return std::clamp(left, milliseconds(0), kLongestAttempt);
}

bool IsDeletionOf(const WatchResponse& response, const std::string& key) {
  return std::any_of(response.events.begin(), response.events.end(), [&](const WatchEvent& event) {
    return event.kind == WatchEvent::Kind::kDelete && event.kv.key == key;
  });
}

}  // namespace

/// The key just before one's own, and the revision of the state in which it was that.
struct QueuePlace::Before {
  std::string key;
  std::uint64_t revision = 0;
};

struct QueuePlace::State {
  State(std::shared_ptr<SessionState> of, std::string own_key)
      : session(std::move(of)), key(std::move(own_key)) {}

  /// Ok: it has its place in the queue, as far as this process knows.
  Status Standing() RAFTKV_REQUIRES(mutex) {
    if (cancelled) return {Code::kCancelled, "the wait for " + key + " was cancelled"};
    if (!lost.ok()) return lost;
    return session->status();
  }
  void SetOut() RAFTKV_REQUIRES(mutex) {
    phase = Phase::kOut;
    session->FreeKey(key);
    changed.NotifyAll();
  }
  void Lose(Status why) RAFTKV_EXCLUDES(mutex) {
    const MutexLock lock(mutex);
    if (lost.ok()) lost = std::move(why);
    changed.NotifyAll();
  }
  void OnOwnKey(const Result<WatchResponse>& response) RAFTKV_EXCLUDES(mutex) {
    if (!response.ok()) {
      Lose({Code::kSessionExpired,
            "the key " + key + " can no longer be watched: " + response.status().message()});
    } else if (IsDeletionOf(*response, key)) {
      Lose({Code::kSessionExpired, "the key " + key + " was deleted"});
    }
  }

  const std::shared_ptr<SessionState> session;
  const std::string key;

  /// Taken before that of the session, never behind it.
  Mutex mutex;
  Condition changed;
  enum class Phase : unsigned char { kOut, kIn, kLeaving };
  Phase phase RAFTKV_GUARDED_BY(mutex) = Phase::kOut;
  std::uint64_t revision RAFTKV_GUARDED_BY(mutex) = 0;  ///< of the key; 0: not known
  bool first RAFTKV_GUARDED_BY(mutex) = false;
  bool cancelled RAFTKV_GUARDED_BY(mutex) = false;
  Status lost RAFTKV_GUARDED_BY(mutex);
};

QueuePlace::QueuePlace(Session& session, const std::string& name)
    : kv_(session.kv()),
      prefix_(name + "/"),
      state_(std::make_shared<State>(session.state_, prefix_ + Hex(session.lease()))) {}

QueuePlace::~QueuePlace() { LeaveAsync(kToLeave, nullptr); }

Status QueuePlace::Acquire(const std::string& value, milliseconds timeout) {
  if (Status may = MayBlock("a blocking call"); !may.ok()) return may;
  const auto deadline = steady_clock::now() + BoundedTimeout(timeout);
  if (Status begun = Begin(deadline); !begun.ok()) return begun;
  if (Status entered = Enter(value, deadline); !entered.ok()) return GiveUp(std::move(entered));
  if (Status turn = WaitForTurn(deadline); !turn.ok()) return GiveUp(std::move(turn));
  return Status::Ok();
}

Result<bool> QueuePlace::TryAcquire(milliseconds timeout) {
  if (Status may = MayBlock("a blocking call"); !may.ok()) return may;
  const auto deadline = steady_clock::now() + BoundedTimeout(timeout);
  if (Status begun = Begin(deadline); !begun.ok()) return begun;
  if (Status entered = Enter("", deadline); !entered.ok()) return GiveUp(std::move(entered));
  const auto before = FindBefore(deadline);
  if (!before.ok()) return GiveUp(before.status());
  if (before->has_value()) {
    static_cast<void>(GiveUp(Status::Ok()));
    return false;
  }
  SetFirst();
  return true;
}

bool QueuePlace::IsLost() const {
  const MutexLock lock(state_->mutex);
  return state_->phase == State::Phase::kIn &&
         !(state_->lost.ok() && state_->session->status().ok());
}

/// The key becomes this place's, once what is left of it from before is gone.
Status QueuePlace::Begin(Deadline deadline) {
  if (IsLost()) LeaveAsync(kToLeave, nullptr);
  MutexLock lock(state_->mutex);
  while (state_->phase == State::Phase::kLeaving) {
    if (!state_->changed.WaitUntil(lock, deadline) && steady_clock::now() >= deadline) {
      return {Code::kDeadlineExceeded, "the key " + state_->key + " is still being deleted"};
    }
  }
  if (state_->phase == State::Phase::kIn) {
    return {Code::kInvalidArgument, "it is held already, as " + state_->key};
  }
  if (!state_->session->TakeKey(state_->key)) {
    return {Code::kInvalidArgument, "this session holds, or waits for, " + state_->key +
                                        " already: use a session of its own for each contender"};
  }
  state_->phase = State::Phase::kIn;
  state_->revision = 0;
  state_->first = false;
  state_->cancelled = false;
  state_->lost = Status::Ok();
  return Status::Ok();
}

/// The outcome of an attempt may be unknown: the key is then found by the next one, which takes it.
Status QueuePlace::Enter(const std::string& value, Deadline deadline) {
  const std::uint64_t lease = state_->session->lease();
  TxnRequest txn;
  txn.compares = {Compare::CreateRevision(state_->key, Compare::kEqual, 0)};
  txn.success = {Op::Put(state_->key, value, lease)};
  txn.failure = {Op::Put(state_->key, value, lease).WithPrevious()};
  while (true) {
    WriteOptions options;
    options.timeout = AttemptUntil(deadline);
    const Result<TxnResult> result = kv_.Txn(txn).Commit(options);
    if (result.ok()) return Entered(*result);
    if (result.code() == Code::kNotFound) return {Code::kSessionExpired, result.status().message()};
    MutexLock lock(state_->mutex);
    if (Status standing = state_->Standing(); !standing.ok()) return standing;
    if (!IsWorthRepeating(result.code()) || steady_clock::now() >= deadline) return result.status();
    state_->changed.WaitUntil(lock, std::min(deadline, steady_clock::now() + kBetweenAttempts));
  }
}

Status QueuePlace::Entered(const TxnResult& result) {
  std::uint64_t revision = result.revision;
  if (!result.succeeded) {
    if (result.results.empty() || result.results.front().previous.empty()) {
      return {Code::kVersionMismatch, "the answer does not say what the key was before"};
    }
    revision = result.results.front().previous.front().create_revision;
  }
  {
    const MutexLock lock(state_->mutex);
    state_->revision = revision;
  }
  WatchOptions options;
  options.revision = result.revision + 1;
  options.puts = false;
  own_watch_ = kv_.Watch(
      KeyRange::Single(state_->key), options,
      [state = state_](const Result<WatchResponse>& response) { state->OnOwnKey(response); });
  return Status::Ok();
}

Status QueuePlace::WaitForTurn(Deadline deadline) {
  while (true) {
    auto before = FindBefore(deadline);
    if (!before.ok()) return before.status();
    if (!before->has_value()) break;
    if (Status ended = WaitForEndOf(**before, deadline); !ended.ok()) return ended;
  }
  SetFirst();
  return Status::Ok();
}

void QueuePlace::SetFirst() {
  const MutexLock lock(state_->mutex);
  state_->first = true;
}

/// Own key and the one before it, from one state: that it is there, and who is before it.
Result<std::optional<QueuePlace::Before>> QueuePlace::FindBefore(Deadline deadline) {
  ScanOptions options;
  options.limit = 2;
  options.keys_only = true;
  options.skip_count = true;
  options.order = OrderBy::kCreateRevision;
  options.reverse = true;
  options.max_create_revision = token();
  while (true) {
    options.timeout = AttemptUntil(deadline);
    const Result<ScanResult> found = kv_.Scan(KeyRange::Prefix(prefix_), options);
    MutexLock lock(state_->mutex);
    if (Status standing = state_->Standing(); !standing.ok()) return standing;
    if (found.ok()) {
      if (found->kvs.empty() || found->kvs.front().key != state_->key) {
        return Status(Code::kSessionExpired, "the key " + state_->key + " was deleted");
      }
      if (found->kvs.size() == 1) return std::optional<Before>();
      return std::optional<Before>({.key = found->kvs[1].key, .revision = found->revision});
    }
    if (!IsWorthRepeating(found.code()) || steady_clock::now() >= deadline) return found.status();
    state_->changed.WaitUntil(lock, std::min(deadline, steady_clock::now() + kBetweenAttempts));
  }
}

/// Of one key only, so that a release wakes one contender. It may have given up its place: whoever
/// is before this one then is looked for again.
Status QueuePlace::WaitForEndOf(const Before& before, Deadline deadline) {
  struct End {
    bool is_there = false;
    Status status;
  };
  const auto end = std::make_shared<End>();  // guarded by the mutex of the state
  WatchOptions options;
  options.revision = before.revision + 1;
  options.puts = false;
  const Watcher watcher =
      kv_.Watch(KeyRange::Single(before.key), options,
                [state = state_, key = before.key, end](const Result<WatchResponse>& response) {
                  if (response.ok() && !IsDeletionOf(*response, key)) return;
                  const MutexLock lock(state->mutex);
                  end->is_there = true;
                  end->status = response.status();
                  state->changed.NotifyAll();
                });
  MutexLock lock(state_->mutex);
  while (!end->is_there) {
    if (Status standing = state_->Standing(); !standing.ok()) return standing;
    const auto now = steady_clock::now();
    if (now >= deadline) {
      return {Code::kDeadlineExceeded, before.key + " was before it until the timeout"};
    }
    const auto alive_for = BoundedTimeout(state_->session->Left());
    state_->changed.WaitUntil(lock, std::min<Deadline>(deadline, now + alive_for));
  }
  // Compacted: it may have been deleted. Looking again tells.
  return end->status.code() == Code::kCompacted ? Status::Ok() : end->status;
}

Status QueuePlace::GiveUp(Status why) {
  LeaveAsync(kToLeave, nullptr);
  return why;
}

Status QueuePlace::Leave(milliseconds timeout) {
  if (Status may = MayBlock("a blocking call"); !may.ok()) return may;
  return WaitFor<Status>(
      [&](std::function<void(Status)> done) { LeaveAsync(timeout, std::move(done)); });
}

void QueuePlace::LeaveAsync(milliseconds timeout, std::function<void(Status)> done) {
  own_watch_.reset();  // not with the mutex held: it waits for a callback that takes it
  TxnRequest txn;
  txn.success = {Op::Delete(state_->key)};
  {
    const MutexLock lock(state_->mutex);
    state_->first = false;
    if (state_->phase == State::Phase::kIn) {
      state_->phase = State::Phase::kLeaving;
      if (state_->session->ended()) {
        state_->SetOut();
      } else if (state_->revision != 0) {
        txn.compares = {Compare::CreateRevision(state_->key, Compare::kEqual, state_->revision)};
      } else {
        txn.compares = {Compare::Lease(state_->key, Compare::kEqual, state_->session->lease())};
      }
    }
  }
  if (txn.compares.empty()) {
    if (done) done(Status::Ok());
    return;
  }
  WriteOptions options;
  options.timeout = timeout;
  kv_.TxnAsync(std::move(txn), options,
               [state = state_, done = std::move(done)](const Result<TxnResult>& result) {
                 {
                   const MutexLock lock(state->mutex);
                   state->SetOut();
                 }
                 if (done) done(result.status());
               });
}

Status QueuePlace::Rewrite(std::string value, milliseconds timeout) {
  if (!held()) return {Code::kSessionExpired, "it does not lead as " + key()};
  TxnRequest txn;
  txn.compares = {Compare::CreateRevision(key(), Compare::kEqual, token())};
  txn.success = {Op::Put(key(), std::move(value), state_->session->lease())};
  WriteOptions options;
  options.timeout = timeout;
  const Result<TxnResult> result = kv_.Txn(std::move(txn)).Commit(options);
  if (result.ok() && result->succeeded) return Status::Ok();
  if (!result.ok() && result.code() != Code::kNotFound) return result.status();
  Status lost(Code::kSessionExpired, "the key " + key() + " was deleted");
  state_->Lose(lost);
  return lost;
}

void QueuePlace::Cancel() {
  const MutexLock lock(state_->mutex);
  if (state_->phase != State::Phase::kIn || state_->first) return;
  state_->cancelled = true;
  state_->changed.NotifyAll();
}

bool QueuePlace::held() const {
  const MutexLock lock(state_->mutex);
  return state_->first && state_->lost.ok() && state_->session->status().ok();
}

std::uint64_t QueuePlace::token() const {
  const MutexLock lock(state_->mutex);
  return state_->revision;
}

const std::string& QueuePlace::key() const { return state_->key; }

Status QueuePlace::WaitUntilLost(milliseconds timeout) {
  if (Status may = MayBlock("the wait for the loss of a lock"); !may.ok()) return may;
  const auto deadline = steady_clock::now() + BoundedTimeout(timeout);
  MutexLock lock(state_->mutex);
  while (true) {
    if (!state_->lost.ok()) return state_->lost;
    if (!state_->first) return {Code::kCancelled, state_->key + " was released"};
    if (Status session = state_->session->status(); !session.ok()) return session;
    const auto now = steady_clock::now();
    if (now >= deadline) return {Code::kDeadlineExceeded, state_->key + " is held"};
    const auto alive_for = BoundedTimeout(state_->session->Left());
    state_->changed.WaitUntil(lock, std::min<Deadline>(deadline, now + alive_for));
  }
}

}  // namespace raftkv
