#include "storage/disk/disk_watch.h"

#include <chrono>
#include <utility>

#include <rocksdb/file_system.h>

#include "lib/base/check.h"
#include "storage/disk/guarded_fs.h"

namespace raftkv::storage {

namespace {

constexpr auto kLookEvery = std::chrono::milliseconds(200);
constexpr auto kReclaimEvery = std::chrono::seconds(1);
/// How soon what did not fit is tried again.
constexpr auto kRetryEvery = std::chrono::milliseconds(50);
/// What is free need not be ours: under a quota the reserve may not fit all the same, and trying
/// takes the rest of it for a moment.
constexpr auto kTakeEvery = std::chrono::seconds(2);
/// After the last thing that did not fit it may be the next one's turn to be tried.
constexpr auto kStarvedFor = 3 * kRetryEvery;

thread_local int no_waiting = 0;

}  // namespace

DiskWatch::NoWaiting::NoWaiting() { ++no_waiting; }
DiskWatch::NoWaiting::~NoWaiting() { --no_waiting; }

DiskWatch::DiskWatch(DiskWatchOptions options)
    : options_(std::move(options)),
      rules_(options_.reserve_bytes),
      env_(rocksdb::NewCompositeEnv(
          std::make_shared<GuardedFs>(options_.env->GetFileSystem(), *this))) {
  RAFTKV_CHECK((options_.space == nullptr) == (options_.reserve_bytes == 0));
  // Perhaps: an earlier open may have left it.
  held_ = options_.space != nullptr;
}

void DiskWatch::Start(std::function<void()> reclaim, std::function<Status()> in_place) {
  reclaim_ = std::move(reclaim);
  in_place_ = std::move(in_place);
  {
    const MutexLock lock(mutex_);
    if (held_) held_ = options_.space->TakeReserve();
  }
  Look();
  thread_ = std::make_unique<Worker>("raftkv-space", 1);
  RAFTKV_CHECK(thread_->Post([this] { Run(); }));
}

void DiskWatch::Run() {
  auto reclaimed_at = Clock::now();
  while (true) {
    {
      MutexLock lock(mutex_);
      const auto deadline = Clock::now() + kLookEvery;
      while (!stopped_ && !look_now_ && changed_.WaitUntil(lock, deadline)) {
      }
      if (stopped_) return;
      look_now_ = false;
    }
    Look();
    if (const Status there = in_place_(); !there.ok()) Gone(there.message());
    const auto now = Clock::now();
    if (space() == raft::Space::kEnough || now < reclaimed_at + kReclaimEvery) continue;
    reclaimed_at = now;
    reclaim_();
  }
}

void DiskWatch::StopWaiting() {
  {
    const MutexLock lock(mutex_);
    stopped_ = true;
  }
  changed_.NotifyAll();
}

void DiskWatch::Stop() {
  StopWaiting();
  if (thread_) thread_->Stop();
}

Status DiskWatch::failure() const {
  const MutexLock lock(mutex_);
  return failure_;
}

/// How it stands now; gives up the reserve, or takes it again.
void DiskWatch::Look() {
  node::DiskHealth health;
  {
    const MutexLock lock(mutex_);
    const std::optional<std::uint64_t> free =
        options_.space ? options_.space->Free() : std::optional<std::uint64_t>();
    const bool starved = waiting_ > 0 || Clock::now() < starved_at_ + kStarvedFor;
    raft::Space now = free ? told_space_.load() : raft::Space::kEnough;
    if (free) {
      if (held_ && rules_.ShouldRelease(*free)) {
        options_.space->ReleaseReserve();
        held_ = false;
      } else if (!held_ && !starved && rules_.ShouldTake(*free) && Clock::now() >= take_at_) {
        held_ = options_.space->TakeReserve();
        if (!held_) take_at_ = Clock::now() + kTakeEvery;
      }
      now = rules_.Judge(now, options_.space->Free().value_or(*free), held_);
    }
    if (starved) now = raft::Space::kNone;
    now = steady_.Tell(now, Clock::now());
    if (now == told_space_.load()) return;
    told_space_.store(now);
    health = {now, failure_};
  }
  if (options_.tell) options_.tell(health);
}

bool DiskWatch::WaitForSpace() {
  {
    const MutexLock lock(mutex_);
    if (held_) {
      options_.space->ReleaseReserve();
      held_ = false;
      return true;
    }
    starved_.store(true);
    if (stopped_ || no_waiting > 0) return false;
    ++waiting_;
    starved_at_ = Clock::now();
  }
  Look();
  bool stopped = false;
  {
    MutexLock lock(mutex_);
    const auto deadline = Clock::now() + kRetryEvery;
    while (!stopped_ && changed_.WaitUntil(lock, deadline)) {
    }
    stopped = stopped_;
    --waiting_;
    starved_at_ = Clock::now();
  }
  return !stopped;
}

void DiskWatch::Wrote(std::uint64_t bytes) {
  if (options_.space == nullptr) return;
  if (wrote_.fetch_add(bytes) + bytes < options_.reserve_bytes / 4) return;
  wrote_.store(0);
  {
    const MutexLock lock(mutex_);
    look_now_ = true;
  }
  changed_.NotifyAll();
}

void DiskWatch::Failed(const std::string& doing, const std::string& path, const std::string& why) {
  Fail("could not " + doing + " " + path + ": " + why +
       "; this member stops for good: check the disk, then start it again");
}

void DiskWatch::Gone(const std::string& what) {
  Fail(what +
       "; this member stops for good, since anything that it writes would be lost: put the data "
       "folder back as it was, or replace the member");
}

void DiskWatch::Fail(std::string what) {
  node::DiskHealth health;
  {
    const MutexLock lock(mutex_);
    if (!failure_.ok()) return;
    failure_ = Status(Code::kIOError, std::move(what));
    health = {told_space_.load(), failure_};
  }
  if (options_.tell) options_.tell(health);
}

}  // namespace raftkv::storage
