// Where do the bytes of a backup come from, and what is in them?
//
// From a checkpoint that is read like a snapshot's; a thread of its own counts and hashes the keys
// in it meanwhile.
#pragma once

#include <memory>
#include <optional>

#include "lib/base/cancel_token.h"
#include "lib/node/backup.h"
#include "storage/disk/completions.h"
#include "storage/disk/worker.h"
#include "storage/kv/kv_engine.h"
#include "storage/snapshot/snapshot_source.h"

namespace raftkv::storage {

class CheckpointBackup final : public node::BackupSource {
 public:
  /// `engine`: how the checkpoint is opened; its folder is that of `files`. On the loop.
  CheckpointBackup(std::shared_ptr<SnapshotFiles> files, const KvEngineOptions& engine,
                   std::shared_ptr<Worker> worker, Completions completions);
  /// Stops counting and removes the checkpoint, later: nothing of that is done on the loop.
  ~CheckpointBackup() override;

  [[nodiscard]] const node::BackupHead& head() const override { return head_; }
  /// Whoever knows more of the member fills that in before it hands this on.
  [[nodiscard]] node::BackupHead& head() { return head_; }
  void Read(std::uint64_t offset, std::size_t bytes, node::Done<Bytes> done) override;
  void Content(node::Done<node::BackupContent> done) override;

 private:
  /// Of the loop; shared with what comes back there.
  struct Counted {
    std::optional<Result<node::BackupContent>> content;
    node::Done<node::BackupContent> waits;
  };

  node::BackupHead head_;
  std::shared_ptr<SnapshotFiles> files_;
  const std::shared_ptr<Worker> worker_;
  Completions completions_;
  const std::shared_ptr<Counted> counted_ = std::make_shared<Counted>();
  const CancelToken cancel_;
  std::shared_ptr<Worker> counter_;
};

}  // namespace raftkv::storage
