// How does a blocking thread read a backup that lives on a loop?
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "lib/node/backup.h"
#include "rpc/loop/event_loop.h"

namespace raftkv::rpc {

/// Reads ahead in parts, with a bounded number requested or waiting. Used by one thread, which is
/// not the loop's.
class LoopBackupFeed final : public node::BackupFeed {
 public:
  /// `loop` outlives it. `ended` says, on any thread, that nothing more will arrive.
  LoopBackupFeed(EventLoop& loop, std::shared_ptr<node::BackupSource> source,
                 std::function<bool()> ended = nullptr);
  /// Releases the source, on the loop.
  ~LoopBackupFeed() override;

  [[nodiscard]] const node::BackupHead& head() const override { return head_; }
  Result<std::optional<Bytes>> Next() override;
  Result<std::optional<node::BackupContent>> Content() override;

 private:
  struct Shared;
  static void Ask(const std::shared_ptr<Shared>& shared);
  static void ReadPart(const std::shared_ptr<Shared>& shared, std::uint64_t offset,
                       MonoTime give_up);
  static void AskContent(const std::shared_ptr<Shared>& shared);
  static void Fail(Shared& shared, const Status& why);
  [[nodiscard]] Status Ended() const;

  const node::BackupHead head_;
  const std::function<bool()> ended_;
  std::shared_ptr<Shared> shared_;
  std::uint64_t next_ = 0;
  bool content_asked_ = false;
};

}  // namespace raftkv::rpc
