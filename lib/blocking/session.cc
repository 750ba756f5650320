// How is a session kept alive, and when is it no longer sure that it lives?
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <string>
#include <utility>

#include <raftkv/lock.h>

#include "lib/base/check.h"
#include "lib/blocking/session_state.h"

namespace raftkv {
namespace {

constexpr std::chrono::milliseconds kLongestRenewal{5000};
constexpr std::chrono::milliseconds kToCloseAtTheEnd{1000};

}  // namespace

MonoTime LeaseNow() {
  timespec now{};
  RAFTKV_CHECK(clock_gettime(CLOCK_BOOTTIME, &now) == 0, errno);
  return MonoTime(std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec));
}

bool IsWorthRepeating(Code code) {
  return code == Code::kDeadlineExceeded || code == Code::kUnavailable ||
         code == Code::kNotLeader || code == Code::kUnknownOutcome || code == Code::kNoSpace;
}

void SessionState::Lose(std::string why) {
  if (!lost_.ok()) return;
  lost_ = {Code::kSessionExpired, std::move(why)};
  changed_.NotifyAll();
}

void SessionState::NoteTime(MonoTime now) {
  if (!lost_.ok() || term_.IsSure(now)) return;
  std::string why = "the session was not renewed within its time to live of " +
                    std::to_string(ttl_.count()) + " ms";
  if (!last_failure_.ok()) why += ": " + last_failure_.message();
  Lose(std::move(why));
}

Status SessionState::status() {
  const MutexLock lock(mutex_);
  NoteTime(LeaseNow());
  return lost_;
}

Duration SessionState::Left() {
  const MutexLock lock(mutex_);
  const MonoTime now = LeaseNow();
  NoteTime(now);
  return lost_.ok() ? term_.Left(now) : Duration::zero();
}

Status SessionState::WaitUntilLost(std::chrono::milliseconds timeout) {
  if (Status may = MayBlock("the wait for the loss of a session"); !may.ok()) return may;
  const auto deadline = std::chrono::steady_clock::now() + BoundedTimeout(timeout);
  MutexLock lock(mutex_);
  while (true) {
    const MonoTime now = LeaseNow();
    NoteTime(now);
    if (!lost_.ok()) return lost_;
    const auto steady = std::chrono::steady_clock::now();
    if (steady >= deadline) return {Code::kDeadlineExceeded, "the session is alive"};
    changed_.WaitUntil(lock, std::min(deadline, steady + BoundedTimeout(term_.Left(now))));
  }
}

bool SessionState::WaitForRenewal() {
  MutexLock lock(mutex_);
  while (true) {
    const MonoTime now = LeaseNow();
    NoteTime(now);
    if (!lost_.ok()) return false;
    if (!asks_ && now >= next_) {
      asks_ = true;
      return true;
    }
    const MonoTime until = asks_ ? term_.end() : std::min(next_, term_.end());
    changed_.WaitUntil(lock, std::chrono::steady_clock::now() + BoundedTimeout(until - now));
  }
}

void SessionState::Renew() {
  // An answer that comes after the end is of no use.
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(Left());
  WriteOptions options;
  options.timeout = std::min(left, kLongestRenewal);
  const MutexLock lock(kv_mutex_);
  if (kv_ == nullptr) return;
  kv_->KeepAliveAsync(
      {lease_}, options,
      [self = shared_from_this(), sent = LeaseNow()](const Result<std::vector<LeaseInfo>>& result) {
        self->OnRenewed(sent, result);
      });
}

void SessionState::OnRenewed(MonoTime sent, const Result<std::vector<LeaseInfo>>& result) {
  const MutexLock lock(mutex_);
  const MonoTime now = LeaseNow();
  asks_ = false;
  NoteTime(now);
  if (result.ok() && (result->empty() || result->front().ttl.count() == 0)) {
    Lose("the lease of the session has expired or was revoked");
    ended_ = true;
  } else if (result.ok()) {
    term_.Renew(sent, now);
    next_ = sent + ttl_ / 3;
    last_failure_ = Status::Ok();
  } else if (result.code() == Code::kCancelled) {
    Lose("the session cannot be renewed: " + result.status().message());
  } else {
    last_failure_ = result.status();
    next_ =
        now + std::clamp(ttl_ / 30, std::chrono::milliseconds(5), std::chrono::milliseconds(200));
  }
  changed_.NotifyAll();
}

void SessionState::TellIfLost() {
  Status why;
  {
    const MutexLock lock(mutex_);
    if (closed_ || lost_.ok() || !on_lost_) return;
    why = lost_;
  }
  RunHostCode("the callback of a session", nullptr, [&] { on_lost_(why); });
}

void SessionState::Close() {
  const MutexLock lock(mutex_);
  closed_ = true;
  Lose("the session was closed");
}

void SessionState::Leave() {
  Close();
  const MutexLock lock(kv_mutex_);
  if (kv_ == nullptr) return;
  kv_->RevokeLeaseAsync(lease_, {}, nullptr);
  kv_ = nullptr;
}

void SessionState::SetEnded() {
  const MutexLock lock(mutex_);
  ended_ = true;
}

bool SessionState::ended() {
  const MutexLock lock(mutex_);
  return ended_;
}

bool SessionState::TakeKey(const std::string& key) {
  const MutexLock lock(mutex_);
  return keys_.insert(key).second;
}

void SessionState::FreeKey(const std::string& key) {
  const MutexLock lock(mutex_);
  keys_.erase(key);
}

Result<std::unique_ptr<SessionKeeper>> SessionKeeper::Start(std::shared_ptr<SessionState> state) {
  std::unique_ptr<SessionKeeper> keeper(new SessionKeeper(std::move(state)));
  Result<std::thread> thread = StartThread("raftkv-session", [self = keeper.get()] {
    const HostScope no_waiting(&self->own_threads_);
    while (self->state_->WaitForRenewal()) self->state_->Renew();
    self->state_->TellIfLost();
  });
  if (!thread.ok()) return thread.status();
  {
    const MutexLock lock(keeper->mutex_);
    keeper->thread_ = *std::move(thread);
  }
  return keeper;
}

void SessionKeeper::Stop() {
  state_->Close();
  const MutexLock lock(mutex_);
  const WaitsFor waits(own_threads_);
  if (thread_.joinable()) thread_.join();
}

/// Releases the thread wherever the session is released: see ThreadedOwner.
struct Session::Owner {
  explicit Owner(std::unique_ptr<SessionKeeper> started) : keeper(std::move(started)) {}
  ThreadedOwner<SessionKeeper> keeper;
};

Session::Session(KV& kv, std::shared_ptr<SessionState> state) : kv_(kv), state_(std::move(state)) {}

Result<std::unique_ptr<Session>> Session::Open(KV& kv, SessionOptions options) {
  const MonoTime sent = LeaseNow();
  WriteOptions grant;
  grant.timeout = options.timeout;
  const Result<LeaseInfo> lease = kv.GrantLease(options.ttl, 0, grant);
  if (!lease.ok()) return lease.status();
  auto state = std::make_shared<SessionState>(kv, *lease, sent, std::move(options.on_lost));
  auto keeper = SessionKeeper::Start(state);
  if (!keeper.ok()) {
    state->Leave();
    return keeper.status();
  }
  std::unique_ptr<Session> session(new Session(kv, std::move(state)));
  session->owner_ = std::make_unique<Owner>(*std::move(keeper));
  return session;
}

Session::~Session() {
  if (owner_ == nullptr) return;
  const Status may = owner_->keeper.MayBlock("the end of a session");
  if (may.ok()) {
    static_cast<void>(Close(kToCloseAtTheEnd));
  } else if (InCallback()) {
    // The KV may be destroyed as soon as this callback returns.
    state_->Leave();
  }
}

std::uint64_t Session::lease() const { return state_->lease(); }
std::chrono::milliseconds Session::ttl() const { return state_->ttl(); }
bool Session::alive() const { return state_->status().ok(); }
Status Session::status() const { return state_->status(); }

Status Session::WaitUntilLost(std::chrono::milliseconds timeout) {
  return state_->WaitUntilLost(timeout);
}

Status Session::Close(std::chrono::milliseconds timeout) {
  if (Status may = owner_->keeper.MayBlock("Close"); !may.ok()) return may;
  owner_->keeper->Stop();
  if (state_->ended()) return Status::Ok();
  WriteOptions options;
  options.timeout = timeout;
  const Result<DeleteResult> revoked = kv_.RevokeLease(state_->lease(), options);
  if (!revoked.ok() && revoked.code() != Code::kNotFound) return revoked.status();
  state_->SetEnded();
  return Status::Ok();
}

}  // namespace raftkv
