// How far is a stream? (the part of WatchStream that tells progress)
//
// "Everything up to R was sent" follows from the positions of the watchers alone, so it cannot
// overtake an event. A watcher without events does not notice that its member has come further:
// where progress is asked for, its position is, by a call that hardly waits.
#include <algorithm>

#include "rpc/etcd/watch_stream.h"

namespace raftkv::etcd {

namespace {

/// Requests for progress that wait; more end the stream.
constexpr std::size_t kMaxTargets = 1024;
/// Watchers whose positions are asked for at a time.
constexpr std::size_t kMaxGlances = 64;
/// Before a watcher that is still behind is looked at again.
constexpr Duration kBetweenGlances = std::chrono::milliseconds(20);
/// In a notice of progress: of all watchers of the stream.
constexpr std::int64_t kAllWatchers = -1;

}  // namespace

void WatchStream::AskProgress() {
  if (targets_.size() >= kMaxTargets) return End(kTooManyRequests);
  targets_.push_back(std::max<std::uint64_t>(shared_->backend.status().revision, 1));
  CheckProgress();
}

/// With nothing gathered.
void WatchStream::MoveTo(Watcher& watcher, const WatchPosition& sent) {
  watcher.sent = sent;
  watcher.next = sent;
  if (has_target_ && sent.next > targets_.front()) behind_.erase(watcher.id);
}

/// One that was created meanwhile counts as well: the notice will be of all watchers.
void WatchStream::NoteBehind(const Watcher& watcher) {
  if (!has_target_ || watcher.mute() || watcher.sent.next > targets_.front()) return;
  behind_.insert(watcher.id);
  to_glance_.push_back(watcher.id);
}

void WatchStream::CheckProgress() {
  while (!ended_ && !targets_.empty()) {
    if (!has_target_) {
      has_target_ = true;
      behind_.clear();
      to_glance_.clear();
      for (const auto& [id, watcher] : watchers_) NoteBehind(watcher);
    }
    if (!behind_.empty()) return Glance();
    WatchResponse progress;
    progress.header = MakeHeader(shared_->backend, targets_.front());
    progress.watch_id = kAllWatchers;
    targets_.pop_front();
    has_target_ = false;
    Send(progress);
  }
}

void WatchStream::Glance() {
  while (!reply_.full() && glances_ < kMaxGlances && !to_glance_.empty()) {
    const Id id = to_glance_.front();
    to_glance_.pop_front();
    Watcher* const watcher = Find(id);
    if (watcher != nullptr && behind_.contains(id)) Call(*watcher, Ask::kGlance);
  }
}

void WatchStream::OnGlanced(Id id) {
  if (!behind_.contains(id)) return;
  rpc::EventLoop& loop = shared_->backend.loop;
  loop.At(loop.Now() + kBetweenGlances, [weak = weak_from_this(), id] {
    const auto self = weak.lock();
    if (self == nullptr || self->ended_ || !self->behind_.contains(id)) return;
    self->to_glance_.push_back(id);
    self->CheckProgress();
  });
}

void WatchStream::NotifyLater() {
  if (std::exchange(notifies_, true)) return;
  // Up to a tenth more, so that streams that began together do not stay together.
  const Duration interval = shared_->options.progress_interval;
  const Duration tenth = std::max<Duration>(interval / 10, Duration(1));
  const Duration jitter = shared_->backend.loop.Now().time_since_epoch() % tenth;
  Later(interval + jitter, &WatchStream::Notify);
}

void WatchStream::Notify() {
  notifies_ = false;
  const auto self = shared_from_this();
  const std::uint64_t revision = shared_->backend.status().revision;
  bool wanted = false;
  for (auto& [id, watcher] : watchers_) {
    if (!watcher.notify) continue;
    wanted = true;
    const bool told = std::exchange(watcher.told, false);
    if (told || reply_.full() || !(watcher.begun || watcher.mute())) continue;
    WatchResponse progress;
    const std::uint64_t sent = watcher.mute() ? revision : watcher.sent.next - 1;
    if (std::min(revision, sent) == 0) continue;
    progress.header = MakeHeader(shared_->backend, std::min(revision, sent));
    progress.watch_id = id;
    if (!Send(progress)) return;
  }
  if (wanted) NotifyLater();
}

}  // namespace raftkv::etcd
