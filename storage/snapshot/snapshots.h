// How is a member that is far behind helped, and the log kept from growing for ever?
//
// node::Snapshots over checkpoints of the key-value database (snapshot_source.h) and folders that
// other members' bytes become (snapshot_intake.h). A thread of its own makes, reads and receives;
// all else is of the loop.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "lib/kv/store.h"
#include "lib/node/ports.h"
#include "storage/disk/completions.h"
#include "storage/disk/worker.h"
#include "storage/kv/kv_engine.h"
#include "storage/kv/kv_state_machine.h"
#include "storage/log/log_store.h"
#include "storage/snapshot/backup_source.h"
#include "storage/snapshot/snapshot_intake.h"
#include "storage/snapshot/snapshot_source.h"

namespace raftkv::storage {

struct SnapshotsOptions {
  /// The data folder.
  std::string dir;
  /// How a received database is opened; its folder is filled in.
  KvEngineOptions engine;
  kv::StoreOptions kv;
  node::LogSink log_sink;
  /// Told if the key-value database cannot be copied because it is damaged; from any thread.
  std::function<void(const Status&)> on_damage = [](const Status&) {};
  /// Of a checkpoint that an earlier open left; 0: none.
  std::uint64_t left_snapshot = 0;
  /// Of the folder of a snapshot that an earlier open was receiving; 0: none.
  std::uint64_t left_intake = 0;
};

class Snapshots final : public node::Snapshots {
 public:
  /// Store and machine are borrowed.
  Snapshots(SnapshotsOptions options, LogStore& log, KvStateMachine& machine,
            Completions completions);
  ~Snapshots() override { Stop(); }

  void Make(node::Done<Made> done) override;
  /// Of what is applied now, in any case; its head lacks what only the core knows.
  void MakeBackup(node::Done<std::shared_ptr<CheckpointBackup>> done);
  void Receive(const raft::SnapshotMeta& snapshot, std::uint64_t id, std::uint64_t offset,
               Bytes data, bool last, node::Done<std::uint64_t> done) override;
  void Install(const raft::SnapshotMeta& snapshot, node::LogWrite write,
               node::Done<std::uint64_t> done) override;
  void DropUnfinished() override;
  void Compact(Index through) override;
  Index Beyond(std::uint64_t bytes) override { return log_.Beyond(bytes); }

  /// Space is short: what an earlier open received, and no snapshot has asked for, goes. Safe from
  /// any thread.
  void Reclaim();

  /// Cuts short what is made or read, ends what is queued, joins the thread. No other call
  /// afterwards.
  void Stop() {
    cancel_.Cancel();
    worker_->Stop();
  }

 private:
  /// A received database, opened and found to be what it should be.
  struct Ready {
    std::string folder;
    std::shared_ptr<KvEngine> engine;
    std::unique_ptr<kv::Store> store;
  };
  struct Received {
    std::uint64_t next = 0;
    std::shared_ptr<Ready> ready;
  };

  Result<std::shared_ptr<SnapshotFiles>> MakeNow(KvEngine& engine, Index base);
  Result<std::shared_ptr<SnapshotFiles>> MakeAnew(KvEngine& engine, bool verify);
  std::shared_ptr<SnapshotFiles> TakeLeft(Index base);
  void DropLeft(Index through);
  [[nodiscard]] std::string CheckpointFolder(std::uint64_t number) const;
  Result<Received> ReceiveNow(Index index, std::uint64_t id, std::uint64_t offset,
                              const Bytes& data, const std::string& live);
  Result<std::shared_ptr<Ready>> OpenReceived(Index index);
  void TakeReadyBack();

  // Constant after construction.
  const SnapshotsOptions options_;
  LogStore& log_;
  KvStateMachine& machine_;
  Completions completions_;
  const CancelToken cancel_;

  // Owned by the loop.
  std::shared_ptr<Ready> ready_;
  bool may_have_left_;

  // Owned by the worker.
  SnapshotIntake intake_;
  std::uint64_t left_snapshot_;  ///< 0: none, or it was used
  std::uint64_t next_checkpoint_;
  /// Of the tables of `checksums_of_`.
  TableChecksums checksums_;
  std::string checksums_of_;

  // Ends before what it runs on.
  const std::shared_ptr<Worker> worker_;
};

}  // namespace raftkv::storage
