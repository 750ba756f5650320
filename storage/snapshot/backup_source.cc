#include "storage/snapshot/backup_source.h"

#include <utility>

#include "lib/base/check.h"
#include "lib/kv/store.h"

namespace raftkv::storage {

namespace {

/// All is read just once.
constexpr std::size_t kCacheBytes = 4 << 20;

Result<node::BackupContent> Count(KvEngineOptions options, const CancelToken& cancel) {
  if (cancel.cancelled()) return Status(Code::kCancelled, "the backup is no longer needed");
  options.cache_bytes = kCacheBytes;
  const Result<std::shared_ptr<KvEngine>> engine = KvEngine::OpenReadOnly(options);
  if (!engine.ok()) return engine.status();
  const Result<kv::ContentHash> hash = kv::HashContent(**engine, cancel);
  if (!hash.ok()) return hash.status();
  return node::BackupContent{hash->hash, hash->keys};
}

}  // namespace

CheckpointBackup::CheckpointBackup(std::shared_ptr<SnapshotFiles> files,
                                   const KvEngineOptions& engine, std::shared_ptr<Worker> worker,
                                   Completions completions)
    : files_(std::move(files)),
      worker_(std::move(worker)),
      completions_(std::move(completions)),
      counter_(std::make_shared<Worker>("raftkv-backup", 1)) {
  head_.index = files_->position().index;
  head_.term = files_->position().term;
  head_.stream_bytes = files_->total_bytes();
  KvEngineOptions options = engine;
  options.folder = files_->folder();
  RunOn(
      *counter_, completions_, [cancel = cancel_, options] { return Count(options, cancel); },
      [counted = counted_](Result<node::BackupContent> content) {
        counted->content = content;
        if (counted->waits) counted->waits(std::move(content));
      });
}

CheckpointBackup::~CheckpointBackup() {
  cancel_.Cancel();
  counted_->waits = nullptr;
  // Both take time; where there is no worker any more this thread is not the loop.
  static_cast<void>(
      worker_->PostRelease([files = std::move(files_), counter = std::move(counter_)]() mutable {
        counter.reset();  // joins what reads the files
        files.reset();
      }));
}

void CheckpointBackup::Read(std::uint64_t offset, std::size_t bytes, node::Done<Bytes> done) {
  RunOn(
      *worker_, completions_,
      [files = files_, offset, bytes] { return files->ReadWhole(offset, bytes); }, std::move(done));
}

void CheckpointBackup::Content(node::Done<node::BackupContent> done) {
  RAFTKV_CHECK(!counted_->waits);
  if (!counted_->content.has_value()) {
    counted_->waits = std::move(done);
    return;
  }
  completions_.Post([done = std::move(done), content = *counted_->content]() mutable {
    done(std::move(content));
  });
}

}  // namespace raftkv::storage
