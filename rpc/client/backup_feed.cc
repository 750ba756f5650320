#include "rpc/client/backup_feed.h"

#include <algorithm>
#include <map>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/mutex.h"

namespace raftkv::rpc {
namespace {

/// Small, so that a slow connection shows signs of life.
constexpr std::uint64_t kPartBytes = 512 << 10;
/// In flight, or not taken yet.
constexpr std::uint64_t kWindowBytes = 4 << 20;
constexpr auto kLook = std::chrono::milliseconds(200);
constexpr Duration kAgainAfter = std::chrono::milliseconds(20);
/// How long the source may say "not now".
constexpr Duration kPatience = std::chrono::seconds(30);

}  // namespace

struct LoopBackupFeed::Shared {
  explicit Shared(EventLoop& on) : loop(on) {}

  EventLoop& loop;
  // Of the loop.
  std::shared_ptr<node::BackupSource> source;
  std::uint64_t total = 0;
  std::uint64_t asked = 0;
  std::uint64_t taken = 0;
  // Of both.
  Mutex mutex;
  Condition came;
  std::map<std::uint64_t, Bytes> parts RAFTKV_GUARDED_BY(mutex);
  std::optional<node::BackupContent> content RAFTKV_GUARDED_BY(mutex);
  Status failure RAFTKV_GUARDED_BY(mutex);
};

LoopBackupFeed::LoopBackupFeed(EventLoop& loop, std::shared_ptr<node::BackupSource> source,
                               std::function<bool()> ended)
    : head_(source->head()), ended_(std::move(ended)), shared_(std::make_shared<Shared>(loop)) {
  shared_->source = std::move(source);
  shared_->total = head_.stream_bytes;
  loop.Post([shared = shared_] { Ask(shared); });
}

LoopBackupFeed::~LoopBackupFeed() {
  // If the loop has ended, no other thread uses it.
  EventLoop& loop = shared_->loop;
  const auto let_go = [this] { shared_->source = nullptr; };
  if (!loop.Call(let_go)) let_go();
}

void LoopBackupFeed::Fail(Shared& shared, const Status& why) {
  const MutexLock lock(shared.mutex);
  if (shared.failure.ok()) shared.failure = why;
  shared.came.NotifyOne();
}

// --- On the loop.

void LoopBackupFeed::Ask(const std::shared_ptr<Shared>& shared) {
  while (shared->source != nullptr && shared->asked < shared->total &&
         shared->asked - shared->taken < kWindowBytes) {
    const std::uint64_t offset = shared->asked;
    shared->asked = std::min(offset + kPartBytes, shared->total);
    ReadPart(shared, offset, shared->loop.Now() + kPatience);
  }
}

void LoopBackupFeed::ReadPart(const std::shared_ptr<Shared>& shared, std::uint64_t offset,
                              MonoTime give_up) {
  if (shared->source == nullptr) return;
  const std::uint64_t bytes = std::min(kPartBytes, shared->total - offset);
  shared->source->Read(
      offset, bytes, [weak = std::weak_ptr(shared), offset, bytes, give_up](Result<Bytes> part) {
        const auto open = weak.lock();
        if (open == nullptr) return;
        if (part.code() == Code::kUnavailable && open->loop.Now() < give_up) {
          open->loop.At(open->loop.Now() + kAgainAfter, [weak, offset, give_up] {
            if (const auto still = weak.lock()) ReadPart(still, offset, give_up);
          });
          return;
        }
        if (!part.ok()) return Fail(*open, part.status());
        if (part->size() != bytes) {
          return Fail(*open, {Code::kCorruption, "received another part than the one requested"});
        }
        const MutexLock lock(open->mutex);
        open->parts.emplace(offset, *std::move(part));
        open->came.NotifyOne();
      });
}

void LoopBackupFeed::AskContent(const std::shared_ptr<Shared>& shared) {
  if (shared->source == nullptr) return;
  shared->source->Content([weak = std::weak_ptr(shared)](Result<node::BackupContent> content) {
    const auto open = weak.lock();
    if (open == nullptr) return;
    if (!content.ok()) return Fail(*open, content.status());
    const MutexLock lock(open->mutex);
    open->content = *content;
    open->came.NotifyOne();
  });
}

// --- On the thread that waits.

Status LoopBackupFeed::Ended() const {
  if (!ended_ || !ended_()) return Status::Ok();
  return {Code::kCancelled, "the member was closed during the backup"};
}

Result<std::optional<Bytes>> LoopBackupFeed::Next() {
  RAFTKV_CHECK(next_ < head_.stream_bytes, next_);
  if (Status ended = Ended(); !ended.ok()) return ended;
  MutexLock lock(shared_->mutex);
  const auto deadline = std::chrono::steady_clock::now() + kLook;
  while (!shared_->parts.contains(next_) && shared_->failure.ok() &&
         shared_->came.WaitUntil(lock, deadline)) {
  }
  auto part = shared_->parts.extract(next_);
  if (part.empty()) {
    if (!shared_->failure.ok()) return shared_->failure;
    return std::optional<Bytes>();
  }
  lock.Unlock();
  next_ += part.mapped().size();
  shared_->loop.Post([shared = shared_, taken = next_] {
    shared->taken = taken;
    Ask(shared);
  });
  return std::optional<Bytes>(std::move(part.mapped()));
}

Result<std::optional<node::BackupContent>> LoopBackupFeed::Content() {
  if (Status ended = Ended(); !ended.ok()) return ended;
  if (!std::exchange(content_asked_, true)) {
    shared_->loop.Post([shared = shared_] { AskContent(shared); });
  }
  MutexLock lock(shared_->mutex);
  const auto deadline = std::chrono::steady_clock::now() + kLook;
  while (!shared_->content.has_value() && shared_->failure.ok() &&
         shared_->came.WaitUntil(lock, deadline)) {
  }
  if (!shared_->failure.ok()) return shared_->failure;
  return shared_->content;
}

}  // namespace raftkv::rpc
