// How do log writes leave the loop, and how do their completions return?
//
// node::LogStore and node::MetaStore over LogDb: one disk thread writes, in order; another thread
// reads old entries and writes the record, so that reads do not wait behind syncs.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <raftkv/status.h>

#include "lib/node/ports.h"
#include "storage/disk/completions.h"
#include "storage/disk/disk_watch.h"
#include "storage/disk/worker.h"
#include "storage/folder/record_keeper.h"
#include "storage/log/log_db.h"

namespace raftkv::storage {

struct LogStoreOptions {
  rocksdb::Env* env = nullptr;
  /// The data folder, where the record is.
  std::string folder;
  node::LogSink log_sink;
  /// See RecordKeeper.
  Duration record_idle = RecordKeeper::kIdle;
  /// May be null. Called on the loop; outlives the store or its Stop().
  node::Observer* observer = nullptr;
  /// Called for anything that can no longer be read; from any thread.
  std::function<void(const Status&)> on_damage = [](const Status&) {};
  /// Called when this store is no longer suspect; from the disk thread.
  std::function<void()> on_refilled = [] {};
  /// Outlives the store.
  const DiskWatch* disk = nullptr;
};

class LogStore final : public node::LogStore, public node::MetaStore {
 public:
  /// `record`: as it stands on disk, of this open.
  LogStore(LogStoreOptions options, std::unique_ptr<LogDb> db, Record record,
           Completions completions);
  ~LogStore() override { static_cast<void>(Close(/*clean=*/false)); }

  void Write(node::LogWrite write, node::DoneStatus done) override;
  void Read(Index first, Index last, std::size_t max_bytes,
            node::Done<std::vector<raft::Entry>> done) override;
  void SaveFormation(ClusterId cluster, Bytes payload, node::DoneStatus done) override;
  void SavePeerBoot(NodeId peer, node::PeerBoot boot, node::DoneStatus done) override;

  /// Removes the log's entries up to `through`, and frees their space, in the background.
  void Compact(Index through);
  /// Frees space that the compacted part of the log still takes. Safe from any thread.
  void Reclaim() { Warn(db_->Reclaim()); }
  /// See LogDb. Safe from any thread.
  [[nodiscard]] std::uint64_t UnflushedBytes() const { return db_->UnflushedBytes(); }
  /// See LogDb::Install.
  void Install(const raft::SnapshotMeta& snapshot, node::LogWrite write, std::string live_kv,
               node::DoneStatus done);
  /// The last entry before the log, as on disk.
  [[nodiscard]] Index base() const { return db_->base(); }
  /// See LogDb::Beyond.
  [[nodiscard]] Index Beyond(std::uint64_t bytes) const { return db_->Beyond(bytes); }

  /// See LogDb. Both safe from any thread.
  [[nodiscard]] bool has_peers() const { return db_->has_peers(); }
  [[nodiscard]] std::vector<std::string> Tables() const { return db_->Tables(); }
  /// See RecordKeeper. Safe from any thread.
  Status MarkDamaged(Damaged damaged) { return keeper_.MarkDamaged(damaged); }
  Status CheckRecordInPlace() const { return keeper_.CheckInPlace(); }
  /// Synced writes of the log database since the open.
  [[nodiscard]] std::uint64_t sync_count() const { return db_->sync_count(); }

  /// Ends what is queued, joins the threads, closes the database. `clean`: marks the folder as
  /// closed cleanly if nothing failed. No other call afterwards.
  Status Close(bool clean);

 private:
  /// What a batch adds to the log.
  struct Amount {
    std::size_t entries = 0;
    std::size_t bytes = 0;
  };
  /// The result of a batch.
  struct Ran {
    explicit Ran(Status status) : outcome(std::move(status)) {}
    Status outcome;
    bool synced = false;
    Duration took{};
  };
  /// Runs one batch on the disk thread and posts its outcome.
  void OnDisk(OnceFunction<Status(LogDb&)> batch, Amount amount, node::DoneStatus done);
  Ran Run(OnceFunction<Status(LogDb&)> batch, Amount amount);
  [[nodiscard]] Record Bounds() const;
  /// The beginning of the log has changed. On the disk thread.
  void Begun();
  void Refilled();
  void Warn(const Status& status);

  // Constant after construction.
  const LogStoreOptions options_;
  const std::unique_ptr<LogDb> db_;  ///< written by the disk thread only
  const Record opened_;              ///< identity and boot; its bounds become outdated
  Completions completions_;
  // Ends before what it runs on.
  Worker disk_;
  Worker reader_;
  RecordKeeper keeper_;
  bool closed_ = false;
};

}  // namespace raftkv::storage
