#include "storage/log/log_store.h"

#include <chrono>
#include <utility>

#include "lib/base/check.h"
#include "storage/folder/data_folder.h"

namespace raftkv::storage {

namespace {

// A node has one write under way, and one meta write a peer: these bounds are never met by a sane
// one.
constexpr std::size_t kMaxQueuedWrites = 256;
constexpr std::size_t kMaxQueuedLogReads = 256;

}  // namespace

LogStore::LogStore(LogStoreOptions options, std::unique_ptr<LogDb> db, Record record,
                   Completions completions)
    : options_(std::move(options)),
      db_(std::move(db)),
      opened_(std::move(record)),
      completions_(std::move(completions)),
      disk_("raftkv-disk", kMaxQueuedWrites),
      reader_("raftkv-reader", kMaxQueuedLogReads),
      keeper_(*options_.env, options_.folder, opened_, reader_, options_.log_sink,
              options_.record_idle) {
  RAFTKV_CHECK(options_.disk != nullptr);
}

Record LogStore::Bounds() const {
  Record record = opened_;
  record.cluster = db_->identity().cluster;
  record.batch_number = db_->mark().number;
  record.durable_index = db_->hard_state().commit;
  record.term = db_->hard_state().term;
  record.vote = db_->hard_state().vote;
  record.has_peers = db_->has_peers();
  return record;
}

void LogStore::OnDisk(OnceFunction<Status(LogDb&)> batch, Amount amount, node::DoneStatus done) {
  RunOn(
      disk_, completions_,
      [this, batch = std::move(batch), amount]() mutable { return Run(std::move(batch), amount); },
      [observer = options_.observer, amount, done = std::move(done)](Ran ran) mutable {
        if (observer != nullptr && ran.synced) {
          observer->Observe(node::Stage::kLogSync, ran.took);
          observer->CountLogSync(amount.entries, amount.bytes);
        }
        done(std::move(ran.outcome));
      });
}

LogStore::Ran LogStore::Run(OnceFunction<Status(LogDb&)> batch, Amount amount) {
  const std::uint64_t syncs_before = db_->sync_count();
  const auto begin = std::chrono::steady_clock::now();
  // Nothing is promised any more once anything could not be written or synced.
  Ran ran(options_.disk->failure());
  if (ran.outcome.ok()) ran.outcome = batch(*db_);
  if (Status failed = options_.disk->failure(); !failed.ok()) ran.outcome = std::move(failed);
  ran.took = std::chrono::steady_clock::now() - begin;
  ran.synced = db_->sync_count() != syncs_before;
  if (ran.synced && ran.outcome.ok()) ran.outcome = keeper_.Durable(Bounds(), amount.bytes);
  if (!db_->failure().ok()) keeper_.TailMayBeTorn(Bounds());
  if (ran.outcome.code() == Code::kCorruption) options_.on_damage(ran.outcome);
  return ran;
}

void LogStore::Write(node::LogWrite write, node::DoneStatus done) {
  const std::size_t entries = write.entries.size();
  std::size_t bytes = 0;
  for (const raft::Entry& entry : write.entries) bytes += entry.Footprint();
  OnDisk(
      [this, write = std::move(write)](LogDb& db) {
        Status written = db.Write(write);
        if (written.ok() && write.refilled) Refilled();
        return written;
      },
      {.entries = entries, .bytes = bytes}, std::move(done));
}

/// What this member had before it was repaired is of no use to anybody any more.
void LogStore::Refilled() {
  options_.on_refilled();
  static_cast<void>(reader_.Post([this] { Warn(RemoveSetAside(*options_.env, options_.folder)); }));
}

void LogStore::SaveFormation(ClusterId cluster, Bytes payload, node::DoneStatus done) {
  const std::size_t bytes = payload.size();
  OnDisk([cluster,
          payload = std::move(payload)](LogDb& db) { return db.SaveFormation(cluster, payload); },
         {.entries = 1, .bytes = bytes}, std::move(done));
}

void LogStore::SavePeerBoot(NodeId peer, node::PeerBoot boot, node::DoneStatus done) {
  OnDisk([peer, boot](LogDb& db) { return db.SavePeerBoot(peer, boot); }, Amount{},
         std::move(done));
}

void LogStore::Read(Index first, Index last, std::size_t max_bytes,
                    node::Done<std::vector<raft::Entry>> done) {
  RunOn(
      reader_, completions_,
      [this, first, last, max_bytes] {
        auto read = db_->Read(first, last, max_bytes);
        if (read.code() == Code::kCorruption) options_.on_damage(read.status());
        return read;
      },
      std::move(done));
}

void LogStore::Begun() {
  constexpr std::size_t kNoLogBytes = 0;
  static_cast<void>(keeper_.Durable(Bounds(), kNoLogBytes, /*soon=*/true));
  // Where the queue is full the next cut deletes what this one leaves.
  static_cast<void>(reader_.Post([this] { Warn(db_->DropCutFiles()); }));
}

void LogStore::Warn(const Status& status) {
  if (!status.ok() && options_.log_sink) {
    options_.log_sink(node::LogSeverity::kWarn, status.message());
  }
}

void LogStore::Compact(Index through) {
  const bool posted = disk_.Post([this, through] {
    const Status cut = db_->Compact(through);
    if (!db_->failure().ok()) keeper_.TailMayBeTorn(Bounds());
    Warn(cut);
    if (cut.ok()) Begun();
  });
  if (!posted) Warn(QueueFull());
}

void LogStore::Install(const raft::SnapshotMeta& snapshot, node::LogWrite write,
                       std::string live_kv, node::DoneStatus done) {
  OnDisk(
      [this, snapshot, write = std::move(write), live_kv = std::move(live_kv)](LogDb& db) {
        Status installed = db.Install(snapshot, write, live_kv);
        if (installed.ok()) Begun();
        if (installed.ok() && write.refilled) Refilled();
        return installed;
      },
      Amount{}, std::move(done));
}

Status LogStore::Close(bool clean) {
  if (std::exchange(closed_, true)) return Status::Ok();
  disk_.Stop();
  reader_.Stop();
  // It may write a last batch.
  const Status status = db_->Close();
  if (!db_->failure().ok()) keeper_.TailMayBeTorn(Bounds());
  keeper_.Stop();
  if (!status.ok() || !clean) return status;
  return keeper_.WriteCleanClose(Bounds());
}

}  // namespace raftkv::storage
