#include "storage/snapshot/snapshots.h"

#include <utility>

#include "lib/base/check.h"
#include "lib/base/host_code.h"
#include "storage/disk/files.h"
#include "storage/folder/data_folder.h"

namespace raftkv::storage {

namespace {

/// Chunks to all members, one received one, one snapshot that is made: far fewer.
constexpr std::size_t kMaxQueued = 256;

std::uint64_t NumberOf(const std::string& path) {
  return KvFolderNumber(path.substr(path.find_last_of('/') + 1));
}

}  // namespace

Snapshots::Snapshots(SnapshotsOptions options, LogStore& log, KvStateMachine& machine,
                     Completions completions)
    : options_(std::move(options)),
      log_(log),
      machine_(machine),
      completions_(std::move(completions)),
      may_have_left_(options_.left_snapshot > 0),
      intake_(*options_.engine.env, options_.dir, NumberOf(machine.engine()->folder()) + 1,
              options_.left_intake, options_.log_sink, cancel_),
      left_snapshot_(options_.left_snapshot),
      next_checkpoint_(options_.left_snapshot + 1),
      worker_(std::make_shared<Worker>("raftkv-snapshot", kMaxQueued)) {}

// --- Sending.

std::string Snapshots::CheckpointFolder(std::uint64_t number) const {
  return options_.dir + "/" + SnapshotFolderName(number);
}

/// What was being sent when this member was killed: its receiver may have most of it. It serves
/// once, and only while the log reaches back to it.
std::shared_ptr<SnapshotFiles> Snapshots::TakeLeft(Index base) {
  if (left_snapshot_ == 0) return nullptr;
  const std::string folder = CheckpointFolder(std::exchange(left_snapshot_, 0));
  TableChecksums none;  // it may be of another database
  Result<std::shared_ptr<SnapshotFiles>> left =
      SnapshotFiles::Open(options_.engine, folder, none, /*verify=*/true, cancel_);
  if (!left.ok() || (*left)->applied() < base) return nullptr;
  return *std::move(left);
}

/// The log was cut: nobody can go on behind one from before that.
void Snapshots::DropLeft(Index through) {
  if (left_snapshot_ == 0) return;
  KvEngineOptions options = options_.engine;
  options.folder = CheckpointFolder(left_snapshot_);
  const Result<kv::Position> applied = KvEngine::AppliedOf(options);
  if (applied.ok() && applied->index >= through) return;
  left_snapshot_ = 0;
  static_cast<void>(RemoveTree(*options.env, options.folder));
}

Result<std::shared_ptr<SnapshotFiles>> Snapshots::MakeNow(KvEngine& engine, Index base) {
  if (std::shared_ptr<SnapshotFiles> left = TakeLeft(base)) return left;
  return MakeAnew(engine, /*verify=*/true);
}

Result<std::shared_ptr<SnapshotFiles>> Snapshots::MakeAnew(KvEngine& engine, bool verify) {
  if (checksums_of_ != engine.folder()) checksums_.clear();
  checksums_of_ = engine.folder();
  return SnapshotFiles::Make(engine, CheckpointFolder(next_checkpoint_++), checksums_, verify,
                             cancel_);
}

void Snapshots::Make(node::Done<Made> done) {
  using Files = Result<std::shared_ptr<SnapshotFiles>>;
  RunOn(
      *worker_, completions_,
      [this, engine = machine_.engine(), base = log_.base()] {
        Files files = MakeNow(*engine, base);
        if (files.code() == Code::kCorruption) options_.on_damage(files.status());
        if (!files.ok() && files.code() != Code::kCancelled && options_.log_sink) {
          options_.log_sink(node::LogSeverity::kWarn,
                            "could not make a snapshot: " + files.status().message());
        }
        return files;
      },
      [this, done = std::move(done)](Files files) mutable {
        if (!files.ok()) return done(files.status());
        const Index applied = (*files)->applied();
        const std::uint64_t id = (*files)->id();
        done(Made{applied, id,
                  std::make_shared<CheckpointSource>(*std::move(files), worker_, completions_)});
      });
}

void Snapshots::MakeBackup(node::Done<std::shared_ptr<CheckpointBackup>> done) {
  using Files = Result<std::shared_ptr<SnapshotFiles>>;
  RunOn(
      *worker_, completions_,
      // Counting its keys reads, and verifies, all of it.
      [this, engine = machine_.engine()] { return MakeAnew(*engine, /*verify=*/false); },
      [this, done = std::move(done)](Files files) mutable {
        if (!files.ok()) return done(files.status());
        using Made = Result<std::shared_ptr<CheckpointBackup>>;
        done(OpenOrUnavailable([&]() -> Made {
          return std::make_shared<CheckpointBackup>(*std::move(files), options_.engine, worker_,
                                                    completions_);
        }));
      });
}

// --- Receiving.

void Snapshots::Receive(const raft::SnapshotMeta& snapshot, std::uint64_t id, std::uint64_t offset,
                        Bytes data, bool /*last*/, node::Done<std::uint64_t> done) {
  TakeReadyBack();  // one that was not wanted in the end
  RunOn(
      *worker_, completions_,
      [this, index = snapshot.last.index, id, offset, data = std::move(data),
       live = machine_.engine()->folder()] { return ReceiveNow(index, id, offset, data, live); },
      [this, done = std::move(done)](Result<Received> received) mutable {
        if (!received.ok()) return done(received.status());
        ready_ = std::move(received->ready);
        done(received->next);
      });
}

Result<Snapshots::Received> Snapshots::ReceiveNow(Index index, std::uint64_t id,
                                                  std::uint64_t offset, const Bytes& data,
                                                  const std::string& live) {
  const Result<std::uint64_t> next = intake_.Receive(id, offset, data.view(), live);
  if (!next.ok()) return next.status();
  Received received;
  received.next = *next;
  if (!intake_.whole() || *next != offset + data.size()) return received;
  Result<std::shared_ptr<Ready>> ready = OpenReceived(index);
  if (!ready.ok()) {
    if (options_.log_sink) {
      options_.log_sink(node::LogSeverity::kWarn,
                        "a received snapshot is unusable: " + ready.status().message());
    }
    return ready.status();
  }
  received.ready = *std::move(ready);
  return received;
}

/// Nothing is installed that does not open, or holds something else than it says.
Result<std::shared_ptr<Snapshots::Ready>> Snapshots::OpenReceived(Index index) {
  const Result<std::string> name = intake_.Finish();
  if (!name.ok()) return name.status();
  KvEngineOptions options = options_.engine;
  options.folder = options_.dir + "/" + *name;
  auto ready = std::make_shared<Ready>();
  ready->folder = *name;
  Result<std::shared_ptr<KvEngine>> engine = KvEngine::Open(options);
  if (!engine.ok()) {
    static_cast<void>(RemoveTree(*options.env, options.folder));
    return engine.status();
  }
  // Unless it comes to be installed.
  (*engine)->RemoveAtEnd(true);
  ready->engine = *std::move(engine);
  Result<std::unique_ptr<kv::Store>> store = kv::Store::Open(*ready->engine, options_.kv);
  if (!store.ok()) return store.status();
  ready->store = *std::move(store);
  if (ready->store->applied() == index) return ready;
  return Status(Code::kCorruption, "it has applied entry " +
                                       std::to_string(ready->store->applied().value) +
                                       " instead of " + std::to_string(index.value));
}

/// Its tables may be those of the next.
void Snapshots::TakeReadyBack() {
  if (ready_ == nullptr) return;
  ready_->engine->RemoveAtEnd(false);
  static_cast<void>(worker_->PostRelease([this, ready = std::exchange(ready_, nullptr)]() mutable {
    const std::string folder = ready->folder;
    ready.reset();
    if (intake_.ContinueIn(KvFolderNumber(folder))) return;
    static_cast<void>(RemoveTree(*options_.engine.env, options_.dir + "/" + folder));
  }));
}

void Snapshots::DropUnfinished() {
  // Closing and removing it takes time.
  static_cast<void>(
      worker_->PostRelease([this, ready = std::exchange(ready_, nullptr)] { intake_.Drop(); }));
}

void Snapshots::Reclaim() {
  static_cast<void>(worker_->Post([this] { intake_.DropUnseen(); }));
}

// --- In its place.

void Snapshots::Install(const raft::SnapshotMeta& snapshot, node::LogWrite write,
                        node::Done<std::uint64_t> done) {
  RAFTKV_CHECK(ready_ != nullptr, snapshot.last.index.value);
  RAFTKV_CHECK(ready_->store->applied() == snapshot.last.index, ready_->store->applied().value,
               snapshot.last.index.value);
  const std::shared_ptr<Ready> ready = std::exchange(ready_, nullptr);
  // From here on a crash may find it named.
  ready->engine->RemoveAtEnd(false);
  log_.Install(snapshot, std::move(write), ready->folder,
               [this, ready, done = std::move(done)](const Status& written) mutable {
                 if (!written.ok()) return done(written);
                 const std::uint64_t time_ms = ready->store->replicated_time_ms();
                 std::shared_ptr<KvEngine> old =
                     machine_.Replace(std::move(ready->engine), std::move(ready->store));
                 // Whoever reads it lets go of it last; the loop is not to close it.
                 old->RemoveAtEnd(true);
                 static_cast<void>(worker_->PostRelease([old = std::move(old)] {}));
                 done(time_ms);
               });
}

void Snapshots::Compact(Index through) {
  // Known bug 21: a crash takes back what is applied and not flushed; only the log has it then.
  const Index flushed = machine_.engine()->flushed();
  RAFTKV_CHECK(through <= flushed, through.value, flushed.value);
  log_.Compact(through);
  if (may_have_left_) static_cast<void>(worker_->Post([this, through] { DropLeft(through); }));
}

}  // namespace raftkv::storage
