// How do programs agree that only one of them does something at a time?
//
//   Result<std::unique_ptr<Session>> session = Session::Open(kv);
//   Lock lock(**session, "jobs/nightly");
//   if (lock.Acquire(std::chrono::minutes(1)).ok()) Work(lock.token());
//
// The recipes of etcd, with its keys. A session is a lease that is kept alive. Each contender
// creates the key NAME/LEASE, attached to its lease; the lowest create_revision below NAME/ owns
// the lock, or leads, and each of the others waits for the deletion of the key just before its own.
//
// **Only the fencing token protects a resource.** A holder can be paused at any point: by SIGSTOP,
// by the debugger, by the machine, between a check and the write that follows it. Its lease ends
// meanwhile, and somebody else acquires the lock. No client can rule that out by itself. The token,
// the create_revision of the owner's key, rises from owner to owner: pass it along with every
// access, and let the resource refuse a token lower than the highest that it has seen. A resource
// in this store does so with a compare in the same transaction:
// `Compare::CreateRevision(lock.key(), Compare::kEqual, lock.token())`.
//
// `alive()` and `held()` are hints, which err on the side of "no": they say no as soon as the lease
// may be over by this machine's clock, and never yes again after that.
//
// The KV outlives the session, the session outlives its locks and elections. The rules for
// callbacks and timeouts are those of <raftkv/kv.h>. Errors: those of reads and writes, and
// SessionExpired once the session or the key is lost. Two names of which one is the other plus
// "/..." share keys: do not use both.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <raftkv/kv.h>
#include <raftkv/status.h>

namespace raftkv {

class QueuePlace;
class SessionKeeper;
class SessionState;

struct SessionOptions {
  /// How long after the death of this process others have to wait. kMinLeaseTtl to kMaxLeaseTtl.
  std::chrono::milliseconds ttl{10'000};
  /// Of the call that creates the lease.
  std::chrono::milliseconds timeout{5000};
  /// Called once, when the session is lost; not if it is closed. A callback like any other.
  std::function<void(const Status& why)> on_lost = nullptr;
};

/// A lease, kept alive by a thread of its own each time a third of the TTL has passed. All calls
/// are safe from any thread.
class Session {
 public:
  /// Blocks. The errors of KV::GrantLease, and Unavailable: the system has no thread left.
  static Result<std::unique_ptr<Session>> Open(KV& kv, SessionOptions options = {});

  /// Closes it, for at most a second; in a callback without waiting for the answer. A lease that
  /// could not be revoked ends by itself.
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  [[nodiscard]] std::uint64_t lease() const;
  [[nodiscard]] std::chrono::milliseconds ttl() const;
  [[nodiscard]] KV& kv() const { return kv_; }
  /// The lease has surely not ended: since the last acknowledged renewal was *sent*, less than the
  /// TTL has passed, time during which this machine was suspended included. Once false, it stays
  /// false.
  [[nodiscard]] bool alive() const;
  /// Ok, or why it is not alive.
  [[nodiscard]] Status status() const;
  /// Returns as soon as it is not alive, with the reason; DeadlineExceeded: it is alive still.
  Status WaitUntilLost(std::chrono::milliseconds timeout);
  /// Revokes the lease, which deletes all keys that are attached to it. Ok if it is over already.
  Status Close(std::chrono::milliseconds timeout = std::chrono::seconds(5));

 private:
  friend class QueuePlace;
  struct Owner;
  Session(KV& kv, std::shared_ptr<SessionState> state);
  KV& kv_;
  std::shared_ptr<SessionState> state_;
  std::unique_ptr<Owner> owner_;
};

/// A lock that is held by one contender in the whole cluster. Acquire, TryAcquire and Release are
/// called by one thread at a time, the others by any.
class Lock {
 public:
  /// Does nothing yet.
  Lock(Session& session, std::string name);
  /// Releases it without waiting for the answer.
  ~Lock();
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

  /// Waits until it is this contender's turn; first come, first served. DeadlineExceeded: it was
  /// not within the timeout, and the place in the queue is given up. Cancelled: Cancel() was
  /// called. InvalidArgument: it is held already, or another Lock of this session holds, or waits
  /// for, this name.
  Status Acquire(std::chrono::milliseconds timeout);
  /// False: somebody else holds it. `timeout` is for the cluster to answer.
  Result<bool> TryAcquire(std::chrono::milliseconds timeout = std::chrono::seconds(5));
  /// Ok if it is not held. After any other error the key may stay until the session ends.
  Status Release(std::chrono::milliseconds timeout = std::chrono::seconds(5));
  /// From any thread, also in a callback: an Acquire that is waiting returns Cancelled.
  void Cancel();

  /// It was acquired, and neither was its key deleted, as far as this process has heard, nor may
  /// the session be over. A hint: see the top of this file.
  [[nodiscard]] bool held() const;
  /// The fencing token: the create_revision of the key. 0 unless it was acquired.
  [[nodiscard]] std::uint64_t token() const;
  /// NAME/ and the lease as 16 hexadecimal digits.
  [[nodiscard]] const std::string& key() const;
  /// Returns as soon as it is not held, with the reason; DeadlineExceeded: it is held still.
  Status WaitUntilLost(std::chrono::milliseconds timeout);

 private:
  std::unique_ptr<QueuePlace> place_;
};

/// Each leader of an election, in order: who leads at first, then whenever another one does or the
/// leader proclaims another value. Leaders that came and went in between are shown as well, unless
/// the history that would tell was compacted. Used by one thread at a time; the KV outlives it.
class ElectionObserver {
 public:
  ElectionObserver(KV& kv, const std::string& name);
  ElectionObserver(ElectionObserver&& other) noexcept;
  ElectionObserver& operator=(ElectionObserver&& other) noexcept;
  ~ElectionObserver();

  /// Waits for the next one; its `create_revision` is the fencing token. DeadlineExceeded: there
  /// was none within the timeout, call again. Anything else is the end.
  Result<KeyValue> Next(std::chrono::milliseconds timeout);
  /// A member has answered at least once.
  [[nodiscard]] bool begun() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// An election: a lock whose holder, the leader, says something to everybody. As Lock, otherwise.
class Election {
 public:
  Election(Session& session, std::string name);
  ~Election();
  Election(const Election&) = delete;
  Election& operator=(const Election&) = delete;

  /// Waits until this candidate leads, with `value`. As Lock::Acquire.
  Status Campaign(std::string value, std::chrono::milliseconds timeout);
  /// Replaces the value. SessionExpired: this candidate does not lead any more.
  Status Proclaim(std::string value, std::chrono::milliseconds timeout = std::chrono::seconds(5));
  /// As Lock::Release.
  Status Resign(std::chrono::milliseconds timeout = std::chrono::seconds(5));
  /// A Campaign that is waiting returns Cancelled.
  void Cancel();

  /// As Lock::held() and so on.
  [[nodiscard]] bool leads() const;
  [[nodiscard]] std::uint64_t token() const;
  [[nodiscard]] const std::string& key() const;
  Status WaitUntilLost(std::chrono::milliseconds timeout);

  /// Whoever leads now, with its value. NotFound: nobody does.
  Result<KeyValue> Leader(std::chrono::milliseconds timeout = std::chrono::seconds(5));
  static Result<KeyValue> Leader(KV& kv, const std::string& name,
                                 std::chrono::milliseconds timeout = std::chrono::seconds(5));
  [[nodiscard]] ElectionObserver Observe() const { return {kv_, name_}; }

 private:
  KV& kv_;
  const std::string name_;
  std::unique_ptr<QueuePlace> place_;
};

}  // namespace raftkv
