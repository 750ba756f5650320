#include "storage/local_log/group_commit.h"

#include <utility>

#include "lib/base/check.h"

namespace raftkv::storage {

namespace {

Status Closed() { return Status(Code::kCancelled, "the log is closed"); }

Status Late() {
  return Status(Code::kDeadlineExceeded, "the timeout expired before the write began");
}

}  // namespace

GroupCommit::GroupCommit(Options options, std::function<void(const Group&)> write, Worker& worker)
    : options_(options), write_(std::move(write)), worker_(worker) {}

Status GroupCommit::Enqueue(const std::shared_ptr<GroupWrite>& write) {
  if (stopped_) return Closed();
  // Alone it may be of any size that its log allows.
  const bool too_many_bytes =
      waiting_ > 0 && waiting_bytes_ + write->bytes > options_.max_waiting_bytes;
  if (too_many_bytes || waiting_ >= options_.max_waiting_writes) {
    return Status(Code::kUnavailable, "too many writes are waiting for the disk: try again later");
  }
  ++waiting_;
  waiting_bytes_ += write->bytes;
  queue_.push_back(write);
  if (std::exchange(leading_, true)) return Status::Ok();
  RAFTKV_CHECK(queue_.size() == 1, queue_.size());
  HandOn();
  return Status::Ok();
}

Result<LogRange> GroupCommit::Run(const std::shared_ptr<GroupWrite>& write) {
  MutexLock lock(mutex_);
  if (Status s = Enqueue(write); !s.ok()) return s;
  while (true) {
    bool in_time = true;
    while (!write->leads && write->state != GroupWrite::State::kDone && in_time) {
      in_time = write->wake.WaitUntil(lock, write->deadline);
    }
    const bool woken = write->leads || write->state == GroupWrite::State::kDone;
    if (std::exchange(write->leads, false)) {
      // It is the first in the queue, unless it was cancelled since.
      if (write->state == GroupWrite::State::kWaiting) LeadOne();
      HandOn();
    }
    if (write->state == GroupWrite::State::kDone) return std::move(write->result);
    if (woken) continue;
    if (write->state == GroupWrite::State::kTaken) {
      return Status(Code::kUnknownOutcome, "the timeout expired while the write was in progress");
    }
    write->abandoned = true;
    return Late();
  }
}

void GroupCommit::Post(const std::shared_ptr<GroupWrite>& write) {
  RAFTKV_CHECK(write->done != nullptr);
  Status refused;
  {
    const MutexLock lock(mutex_);
    refused = Enqueue(write);
  }
  if (refused.ok()) return;
  // Beyond the bound there is no room for it on the worker: its own thread is told.
  write->done(Result<LogRange>(std::move(refused)));
}

GroupCommit::Group GroupCommit::TakeGroup() {
  Group group;
  std::size_t bytes = 0;
  while (!queue_.empty() && (group.empty() || bytes < options_.max_group_bytes)) {
    bytes += queue_.front()->bytes;
    group.push_back(std::move(queue_.front()));
    queue_.pop_front();
    group.back()->state = GroupWrite::State::kTaken;
  }
  return group;
}

void GroupCommit::LeadOne() {
  const auto now = std::chrono::steady_clock::now();
  Group callbacks;
  Group group;
  for (std::shared_ptr<GroupWrite>& write : TakeGroup()) {
    if (write->abandoned || write->deadline <= now) {
      write->result = Late();
      Finish(write, callbacks);
    } else {
      group.push_back(std::move(write));
    }
  }
  mutex_.Unlock();
  if (!group.empty()) write_(group);
  mutex_.Lock();
  for (const std::shared_ptr<GroupWrite>& write : group) Finish(write, callbacks);
  if (!callbacks.empty()) PostCallbacks(std::move(callbacks));
}

void GroupCommit::HandOn() {
  RAFTKV_CHECK(leading_);
  if (queue_.empty()) {
    leading_ = false;
    idle_.NotifyAll();
    return;
  }
  GroupWrite& next = *queue_.front();
  // One that nobody waits for any more is the worker's to throw away.
  if (next.done || next.abandoned || options_.own_thread) {
    PostLead();
    return;
  }
  next.leads = true;
  next.wake.NotifyOne();
}

void GroupCommit::PostLead() {
  const bool posted = worker_.Post([this] {
    MutexLock lock(mutex_);
    LeadOne();
    HandOn();
  });
  RAFTKV_CHECK(posted);
}

void GroupCommit::Finish(const std::shared_ptr<GroupWrite>& write, Group& callbacks) {
  waiting_bytes_ -= write->bytes;
  write->state = GroupWrite::State::kDone;
  if (write->done) {
    callbacks.push_back(write);
    return;
  }
  --waiting_;
  write->wake.NotifyOne();
}

void GroupCommit::PostCallbacks(Group callbacks) {
  const bool posted = worker_.Post([this, callbacks = std::move(callbacks)] {
    for (const std::shared_ptr<GroupWrite>& write : callbacks) {
      // What it holds may be the caller's: it ends with the call.
      const Callback<LogRange> done = std::exchange(write->done, nullptr);
      done(std::move(write->result));
    }
    const MutexLock lock(mutex_);
    waiting_ -= callbacks.size();
  });
  RAFTKV_CHECK(posted);
}

void GroupCommit::Stop() {
  MutexLock lock(mutex_);
  stopped_ = true;
  Group callbacks;
  for (const std::shared_ptr<GroupWrite>& write : std::exchange(queue_, {})) {
    write->result = Closed();
    Finish(write, callbacks);
  }
  if (!callbacks.empty()) PostCallbacks(std::move(callbacks));
  while (leading_) idle_.Wait(lock);
}

}  // namespace raftkv::storage
