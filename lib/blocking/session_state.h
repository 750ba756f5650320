// What do a session, the thread that keeps it alive, and its locks know together?
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <raftkv/lock.h>

#include "lib/base/host_code.h"
#include "lib/base/mutex.h"
#include "lib/base/thread.h"
#include "lib/blocking/lease_term.h"

namespace raftkv {

/// Not carried out, or perhaps carried out: a call that can be repeated without harm is.
bool IsWorthRepeating(Code code);

class SessionState : public std::enable_shared_from_this<SessionState> {
 public:
  SessionState(KV& kv, const LeaseInfo& lease, MonoTime sent,
               std::function<void(const Status&)> lost)
      : lease_(lease.id),
        ttl_(lease.ttl),
        on_lost_(std::move(lost)),
        kv_(&kv),
        term_(sent, lease.ttl),
        next_(sent + lease.ttl / 3) {}

  [[nodiscard]] std::uint64_t lease() const { return lease_; }
  [[nodiscard]] std::chrono::milliseconds ttl() const { return ttl_; }
  /// Ok: it is alive.
  [[nodiscard]] Status status() RAFTKV_EXCLUDES(mutex_);
  /// For how long it surely is; 0: it is not.
  [[nodiscard]] Duration Left() RAFTKV_EXCLUDES(mutex_);
  Status WaitUntilLost(std::chrono::milliseconds timeout) RAFTKV_EXCLUDES(mutex_);

  /// For the thread that keeps it alive: false once there is nothing more to do.
  bool WaitForRenewal() RAFTKV_EXCLUDES(mutex_);
  void Renew() RAFTKV_EXCLUDES(mutex_);
  /// Calls the callback, if it was lost and not closed.
  void TellIfLost() RAFTKV_EXCLUDES(mutex_);

  /// It is not alive from here on.
  void Close() RAFTKV_EXCLUDES(mutex_);
  /// Revokes the lease without waiting for the answer. The KV is not used after that.
  void Leave() RAFTKV_EXCLUDES(mutex_);

  /// The lease has ended, and all keys that were attached to it are gone.
  void SetEnded() RAFTKV_EXCLUDES(mutex_);
  [[nodiscard]] bool ended() RAFTKV_EXCLUDES(mutex_);

  /// False: a lock of this session has this key already.
  bool TakeKey(const std::string& key) RAFTKV_EXCLUDES(mutex_);
  void FreeKey(const std::string& key) RAFTKV_EXCLUDES(mutex_);

 private:
  void OnRenewed(MonoTime sent, const Result<std::vector<LeaseInfo>>& result)
      RAFTKV_EXCLUDES(mutex_);
  void Lose(std::string why) RAFTKV_REQUIRES(mutex_);
  void NoteTime(MonoTime now) RAFTKV_REQUIRES(mutex_);

  // Constant after construction.
  const std::uint64_t lease_;
  const std::chrono::milliseconds ttl_;
  const std::function<void(const Status&)> on_lost_;

  /// Taken before `mutex_`, never behind it: a call of the KV may call back at once.
  Mutex kv_mutex_;
  KV* kv_ RAFTKV_GUARDED_BY(kv_mutex_);  ///< null once it is not to be used any more

  Mutex mutex_;
  Condition changed_;
  LeaseTerm term_ RAFTKV_GUARDED_BY(mutex_);
  MonoTime next_ RAFTKV_GUARDED_BY(mutex_);  ///< when the next renewal is due
  bool asks_ RAFTKV_GUARDED_BY(mutex_) = false;
  bool closed_ RAFTKV_GUARDED_BY(mutex_) = false;
  bool ended_ RAFTKV_GUARDED_BY(mutex_) = false;
  Status lost_ RAFTKV_GUARDED_BY(mutex_);
  Status last_failure_ RAFTKV_GUARDED_BY(mutex_);
  std::set<std::string> keys_ RAFTKV_GUARDED_BY(mutex_);
};

/// The thread. Its destructor joins it.
class SessionKeeper {
 public:
  static Result<std::unique_ptr<SessionKeeper>> Start(std::shared_ptr<SessionState> state);
  ~SessionKeeper() { Stop(); }
  SessionKeeper(const SessionKeeper&) = delete;
  SessionKeeper& operator=(const SessionKeeper&) = delete;
  void Stop() RAFTKV_EXCLUDES(mutex_);

 private:
  explicit SessionKeeper(std::shared_ptr<SessionState> state) : state_(std::move(state)) {}

  const std::shared_ptr<SessionState> state_;
  OwnThreads own_threads_;
  Mutex mutex_;  ///< so that two calls of Stop do not both join
  std::thread thread_ RAFTKV_GUARDED_BY(mutex_);
};

}  // namespace raftkv
