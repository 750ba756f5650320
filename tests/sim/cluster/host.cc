#include "tests/sim/cluster/host.h"

#include <xxhash.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/mutants.h"
#include "lib/kv/change_set.h"
#include "tests/sim/world.h"

namespace raftkv::sim {

namespace {

/// More than that go through the store together; fewer one by one, so that the state of each index
/// is compared.
constexpr std::size_t kApplyOneByOne = 16;
constexpr Nanos kLongestWrite = kSecond;
/// More parts than one even for a small state.
constexpr std::size_t kSnapshotPartBytes = 700;

}  // namespace

Process::Process(World& world, Host& host) : world_(world), host_(host) {
  SimDisk& disk = host_.disk;
  Random& random = world_.chance().identity;
  if (disk.member == kNobody) disk.member = NodeId(random.Next() | 1);
  ++disk.boot.counter;
  disk.boot.nonce = random.Next();
  OpenStore();
  node::Birth birth;
  birth.name = host_.plays.empty() ? host_.name : host_.plays;
  birth.member = disk.member;
  birth.cluster = disk.cluster;
  birth.boot = disk.boot;
  birth.formation = disk.formation;
  birth.peer_boots = disk.peer_boots;
  birth.raft = disk.Initial();
  birth.raft.applied = store_->applied();
  if (!disk.suspect) {
    committed_at_start_ = std::max(disk.hard_state().commit, store_->applied());
  }
  const auto log = [this](node::LogSeverity /*severity*/, const std::string& line) {
    world_.Trace("%s: %s", host_.name.c_str(), line.c_str());
  };
  member_ =
      std::make_unique<node::Member>(Options(), std::move(birth), store_->replicated_time_ms(),
                                     node::Ports{*this, *this, *this, *this, *this, *this, log,
                                                 world_.plan().snapshots ? this : nullptr});
  member_->SetWakeup([this] { host_.needs_pump = true; });
}

void Process::OpenStore() {
  // Whatever is in the cache, the records are equal.
  constexpr std::size_t kCacheBytes[] = {300, 0, 64 << 10, 600, 2'000};
  kv::StoreOptions options = world_.plan().store;
  options.counts_cache_bytes = kCacheBytes[host_.index % std::size(kCacheBytes)];
  auto store = kv::Store::Open(host_.disk.engine, options);
  RAFTKV_CHECK(store.ok(), store.status().ToString());
  store_ = *std::move(store);
  retention_ = {};
  retention_.Note(*store_, 0);
}

node::MemberOptions Process::Options() const {
  node::MemberOptions options;
  options.name = host_.plays.empty() ? host_.name : host_.plays;
  options.advertise = host_.name;
  options.opaque_addresses = true;
  options.zone = host_.zone;
  options.quorum = world_.plan().quorum;
  options.cluster = world_.cluster();
  options.join = host_.joining;
  const bool listed = std::any_of(options.cluster.begin(), options.cluster.end(),
                                  [&](const MemberAddress& m) { return m.name == options.name; });
  if (!listed) options.cluster.push_back({options.name, host_.name});
  options.seed = world_.chance().identity.Next();
  options.election_timeout = host_.election_timeout;
  options.heartbeat = host_.heartbeat;
  options.core = world_.plan().core;
  options.core.lease_reads = host_.lease_reads;
  options.log_keep_entries = world_.plan().log_keep_entries;
  options.watches = world_.plan().watches.hub;
  return options;
}

bool Process::PortCall() {
  if (dead_) return false;
  if (calls_left_ < 0 || calls_left_-- > 0) return true;
  world_.Trace("%s dies between two effects", host_.name.c_str());
  dead_ = true;
  return false;
}

MonoTime Process::Now() { return host_.clock.Now(world_.now()); }
std::uint64_t Process::WallTimeMs() { return host_.clock.WallTimeMs(world_.now()); }

// --- The log.

Nanos Process::WriteTime() {
  Random& random = world_.chance().disk;
  const DiskPlan& plan = world_.plan().disk;
  Nanos time = Around(random, plan.mean_write) * host_.write_factor;
  Nanos longest = kLongestWrite;
  const bool varies = !world_.calm() || world_.lasts();
  if (varies && Chance(random, plan.slow_ppm)) time *= Between(random, 10, 100);
  // Beside a fault that lasts writes may be slow, but not as slow as if they hung: a leader that
  // hands over then does what it should.
  if (world_.lasts()) longest = world_.plan().core.hang_timeout.count() * 4 / 5;
  return std::max(std::min(time, longest), host_.least_write);
}

void Process::Write(node::LogWrite write, node::DoneStatus done) {
  if (!PortCall()) return;
  RAFTKV_CHECK(!writing_);
  world_.checks().OnWrite(host_, write);
  writing_ = true;
  write_ = std::move(write);
  write_done_ = std::move(done);
  world_.AtHost(host_, WriteTime(), [this] { FinishWrite(); });
}

/// A write that does not fit, or does not end, waits.
bool Process::Stalls() {
  if (!host_.stalls()) return false;
  if (!stalled_since_) stalled_since_ = world_.now();
  if (host_.disk_hangs || !RAFTKV_MUTANT(kFullDropsWrite) || installing_) return true;
  stalled_since_.reset();
  writing_ = false;
  std::exchange(write_done_, nullptr)(Status::Ok());
  return true;
}

Nanos Process::StalledFor() const { return stalled_since_ ? world_.now() - *stalled_since_ : 0; }

void Process::ContinueWrites() {
  if (!stalled_since_ || host_.stalls()) return;
  stalled_since_.reset();
  world_.AtHost(host_, WriteTime(), [this] { installing_ ? FinishInstall() : FinishWrite(); });
}

void Process::FinishWrite() {
  if (Stalls()) return;
  writing_ = false;
  const Status status = std::exchange(next_write_fails_, {});
  disk_failed_ = disk_failed_ || !status.ok();
  const bool synced = status.ok() && write_.sync && !RAFTKV_MUTANT(kNoSync);
  if (status.ok() || status.code() == Code::kIOError) {
    // After a failed sync the write may be in the file, and may be lost.
    host_.disk.Write(write_, synced);
    if (synced) world_.checks().OnDurable(host_);
  }
  if (world_.tracing()) {
    world_.Trace("%s: %s write of %zu entries, log ends at %llu", host_.name.c_str(),
                 status.ok() ? "synced" : "failed", write_.entries.size(),
                 static_cast<unsigned long long>(host_.disk.last_index().value));
  }
  if (status.ok() || RAFTKV_MUTANT(kSyncErrorIgnored)) {
    std::exchange(write_done_, nullptr)(Status::Ok());
  } else {
    std::exchange(write_done_, nullptr)(status);
  }
}

void Process::LoseOrKeepWrites() {
  Random& random = world_.chance().disk;
  if (writing_) {
    // What does not fit is not there as a whole.
    const bool fits = host_.space != raft::Space::kNone;
    if (Chance(random, world_.plan().disk.keep_in_flight_ppm) && fits) {
      if (installing_) {
        PutInPlace(*installing_, write_);
      } else {
        host_.disk.Write(write_, true);
      }
      world_.checks().OnDurable(host_);
    } else {
      // Half a batch on the disk is found when it is opened, and cut.
      world_.Count(random.Below(2) == 0 ? Fault::kLostWrite : Fault::kTornWrite);
    }
  }
  // Of what was received the end may be lost.
  std::string& received = host_.disk.unfinished.bytes;
  if (random.Below(2) == 0) received.resize(random.Below(received.size() + 1));
  if (host_.disk.LoseUnsynced(random)) world_.Count(Fault::kLostWrite);
  host_.disk.engine.LoseUnflushed();
}

Result<std::vector<raft::Entry>> Process::ReadEntries(Index first, Index last,
                                                      std::size_t max_bytes) {
  std::vector<raft::Entry> entries;
  const Status cut(Code::kUnavailable, "cut meanwhile");
  if (!next_read_fails_.ok()) {
    disk_failed_ = true;
    const Status status = std::exchange(next_read_fails_, {});
    return RAFTKV_MUTANT(kReadErrorIsEnd) ? cut : status;
  }
  std::size_t bytes = 0;
  if (first < host_.disk.first_index()) return cut;
  for (Index index = first; index <= last && index <= host_.disk.last_index(); ++index) {
    if (host_.disk.damaged.count(index) != 0) {
      disk_failed_ = true;
      if (RAFTKV_MUTANT(kReadErrorIsEnd)) break;
      return Status(Code::kCorruption, "entry " + std::to_string(index.value) + " is damaged");
    }
    const raft::Entry& entry = host_.disk.At(index);
    bytes += entry.Footprint();
    if (!entries.empty() && bytes > max_bytes) break;
    entries.push_back(entry);
  }
  if (entries.empty()) return cut;
  return entries;
}

void Process::Read(Index first, Index last, std::size_t max_bytes,
                   node::Done<std::vector<raft::Entry>> done) {
  if (!PortCall()) return;
  AfterRead(WriteTime() / 4, [this, first, last, max_bytes, done = std::move(done)]() mutable {
    done(ReadEntries(first, last, max_bytes));
  });
}

void Process::AfterRead(Nanos time, OnceFunction<void()> work) {
  world_.AtHost(host_, time, [this, work = std::move(work)]() mutable {
    if (!host_.reads_hang) return work();
    hung_reads_.push_back(std::move(work));
  });
}

void Process::ContinueReads() {
  for (auto& read : std::exchange(hung_reads_, {})) {
    world_.AtHost(host_, WriteTime() / 4, std::move(read));
  }
}

// --- The state machine.

void Process::Apply(std::vector<raft::Entry> entries, node::Done<node::Applied> done) {
  if (!PortCall()) return;
  RAFTKV_CHECK(applying_.empty());
  RAFTKV_CHECK(!entries.empty());
  world_.checks().OnApply(host_, entries);
  applying_ = std::move(entries);
  apply_done_ = std::move(done);
  world_.AtHost(host_, Around(world_.chance().disk, world_.plan().disk.mean_apply),
                [this] { FinishApply(); });
}

Status Process::ApplyEntries(const std::vector<raft::Entry>& entries, node::Applied& applied) {
  auto results = store_->Apply(entries);
  if (!results.ok()) return results.status();
  const bool changed = host_.disk.engine.TakeDataChanged();
  world_.checks().OnApplied(host_, entries, host_.disk.engine.hash(), changed);
  for (auto& result : *results) {
    world_.checks().OnResponse(result.index, result.response);
    applied.responses.push_back(std::move(result.response));
    if (result.changes != nullptr) applied.changes.push_back(std::move(result.changes));
  }
  retention_.Note(*store_, kv::Store::PastBytes(*results));
  const kv::Revisions revisions = store_->revisions();
  world_.checks().OnRevisions(host_, store_->applied(), revisions);
  // What is compacted goes some time, or never.
  const bool may_raise = revisions.compacted > host_.disk.engine.lowest_revision();
  if (may_raise && world_.chance().disk.Below(2) == 0) {
    host_.disk.engine.RaiseLowestRevision(revisions.compacted);
    CheckChanges(revisions);
  }
  return Status::Ok();
}

/// Each revision that is not compacted changed something, and that can still be read.
void Process::CheckChanges(const kv::Revisions& revisions) {
  const auto view = host_.disk.engine.NewView(kv::ReadTier::kAll);
  const auto page =
      kv::ReadChanges(*view, revisions.compacted, revisions.revision, /*max_bytes=*/SIZE_MAX);
  std::uint64_t next = std::max(revisions.compacted, kv::kFirstRevision + 1);
  if (page.ok()) {
    for (const auto& change : page->changes) {
      if (change.revision == next) ++next;
    }
  }
  if (next > revisions.revision) return;
  world_.Fail("change sets", host_.name + " lacks the changes of revision " + std::to_string(next) +
                                 ", compacted to " + std::to_string(revisions.compacted));
}

void Process::ContinueApply() {
  if (!std::exchange(apply_stalled_, false)) return;
  world_.AtHost(host_, Around(world_.chance().disk, world_.plan().disk.mean_apply),
                [this] { FinishApply(); });
}

void Process::FinishApply() {
  if (host_.apply_stalls) {
    apply_stalled_ = true;
    return;
  }
  const std::vector<raft::Entry> entries = std::exchange(applying_, {});
  node::Applied applied;
  applied.responses.reserve(entries.size());
  Status status;
  if (entries.size() > kApplyOneByOne ||
      Chance(world_.chance().disk, world_.plan().disk.together_ppm)) {
    status = ApplyEntries(entries, applied);
  } else {
    // A flush may come at any time, so also within a batch.
    const bool flushes = Chance(world_.chance().disk, world_.plan().disk.flush_ppm / 2);
    if (flushes) host_.disk.engine.FlushAfterNextWrite();
    std::vector<raft::Entry> one(1);
    for (std::size_t i = 0; i < entries.size() && status.ok(); ++i) {
      one.front() = entries[i];
      status = ApplyEntries(one, applied);
      if (flushes && i == 0) host_.disk.flushed = store_->applied();
    }
  }
  applied.index = store_->applied();
  applied.revisions = store_->revisions();
  applied.event_bytes = world_.plan().watches.hub.event_bytes;
  applied.replicated_time_ms = store_->replicated_time_ms();
  if (Chance(world_.chance().disk, world_.plan().disk.flush_ppm)) {
    host_.disk.Flush(applied.index);
  }
  applied.durable = host_.disk.flushed;
  auto done = std::exchange(apply_done_, nullptr);
  if (status.ok()) {
    done(std::move(applied));
  } else {
    done(status);
  }
}

Result<Bytes> Process::Answer(std::string_view request, std::size_t max_bytes,
                              std::uint64_t clock_ms) {
  const DiskPlan& plan = world_.plan().disk;
  return kv::Read(host_.disk.engine, kv::ReadTier::kAll, request,
                  std::min(max_bytes, plan.max_answer_bytes), plan.max_visited_bytes, clock_ms);
}

void Process::Read(Bytes request, std::size_t max_bytes, std::uint64_t clock_ms,
                   node::Done<Bytes> done) {
  if (!PortCall()) return;
  const Nanos time = Around(world_.chance().disk, world_.plan().disk.mean_apply);
  if (world_.plan().disk.read_late) {
    AfterRead(time, [this, request = std::move(request), max_bytes, clock_ms,
                     done = std::move(done)]() mutable {
      done(Answer(request.view(), max_bytes, clock_ms));
    });
    return;
  }
  AfterRead(time, [answer = Answer(request.view(), max_bytes, clock_ms),
                   done = std::move(done)]() mutable { done(answer); });
}

void Process::ReadEvents(kv::WatchOp op, std::uint64_t last, node::Done<kv::WatchLogPage> done) {
  if (!PortCall()) return;
  world_.stats().Count(WatchCount::kLogReads);
  AfterRead(Around(world_.chance().watches, world_.plan().disk.mean_apply),
            [this, op = std::move(op), last, done = std::move(done)]() mutable {
              done(kv::ReadWatchLog(host_.disk.engine, op, last,
                                    world_.plan().watches.max_visited_bytes));
            });
}

// --- Snapshots.

namespace {

class DumpSource final : public node::SnapshotSource {
 public:
  DumpSource(World& world, Host& host, std::string dump)
      : world_(world), host_(host), dump_(std::move(dump)) {}

  void Read(std::uint64_t offset, std::size_t max_bytes, node::Done<Part> done) override {
    const std::string_view all = dump_;
    const std::string_view part = all.substr(std::min<std::size_t>(offset, all.size()),
                                             std::min(max_bytes, kSnapshotPartBytes));
    Part result{Bytes(std::string(part)), offset + part.size() >= all.size()};
    world_.AtHost(host_, Around(world_.chance().disk, world_.plan().disk.mean_apply),
                  [result, done = std::move(done)]() mutable { done(result); });
  }

 private:
  World& world_;
  Host& host_;
  const std::string dump_;
};

}  // namespace

void Process::Make(node::Done<Made> done) {
  if (!PortCall()) return;
  world_.Count(Fault::kSnapshot);
  // Two of one state may have their records in another order: they are two.
  std::string dump = host_.disk.engine.Dump(world_.chance().disk.Below(2) == 0);
  const std::uint64_t id = XXH3_64bits(dump.data(), dump.size());
  Made made{store_->applied(), id, std::make_shared<DumpSource>(world_, host_, std::move(dump))};
  world_.AtHost(host_, WriteTime(), [made, done = std::move(done)]() mutable { done(made); });
}

void Process::Receive(const raft::SnapshotMeta& snapshot, std::uint64_t id, std::uint64_t offset,
                      Bytes data, bool last, node::Done<std::uint64_t> done) {
  if (!PortCall()) return;
  SimDisk::Unfinished& unfinished = host_.disk.unfinished;
  if (unfinished.id != id || !(unfinished.snapshot == snapshot)) {
    RAFTKV_CHECK(offset == 0, offset);
    unfinished = {snapshot, id, {}};
  }
  if (offset == 0 && !unfinished.bytes.empty()) {
    // It is the one that was begun before: what is there need not come again.
    world_.Count(Fault::kResumed);
  } else {
    RAFTKV_CHECK(unfinished.bytes.size() == offset, unfinished.bytes.size(), offset);
    unfinished.bytes += data.view();
  }
  const std::uint64_t next = unfinished.bytes.size();
  world_.Trace("%s receives a snapshot at %llu, %zu bytes%s", host_.name.c_str(),
               static_cast<unsigned long long>(snapshot.last.index.value),
               static_cast<std::size_t>(next), last ? ", whole" : "");
  world_.AtHost(host_, WriteTime(), [next, done = std::move(done)]() mutable { done(next); });
}

void Process::DropUnfinished() {
  if (!PortCall() || installing_) return;
  host_.disk.unfinished = {};
}

void Process::PutInPlace(const raft::SnapshotMeta& snapshot, const node::LogWrite& write) {
  host_.disk.Install(snapshot, write);
  host_.disk.engine.Load(host_.disk.unfinished.bytes);
  host_.disk.unfinished = {};
  host_.disk.flushed = snapshot.last.index;
  world_.Count(Fault::kInstall);
  world_.checks().OnInstalled(host_, snapshot);
}

void Process::Install(const raft::SnapshotMeta& snapshot, node::LogWrite write,
                      node::Done<std::uint64_t> done) {
  if (!PortCall()) return;
  RAFTKV_CHECK(!writing_);
  RAFTKV_CHECK(applying_.empty());
  writing_ = true;
  installing_ = snapshot;
  write_ = std::move(write);
  install_done_ = std::move(done);
  world_.AtHost(host_, WriteTime(), [this] { FinishInstall(); });
}

void Process::FinishInstall() {
  if (Stalls()) return;
  writing_ = false;
  PutInPlace(*std::exchange(installing_, std::nullopt), write_);
  world_.checks().OnDurable(host_);
  OpenStore();
  world_.Trace("%s: installed a snapshot at %llu", host_.name.c_str(),
               static_cast<unsigned long long>(host_.disk.base().index.value));
  std::exchange(install_done_, nullptr)(store_->replicated_time_ms());
}

void Process::Compact(Index through) {
  if (!PortCall()) return;
  world_.Count(Fault::kCompaction);
  world_.checks().OnCompact(host_, through);
  host_.disk.Compact(through);
}

// --- The network and what is written beside the log.

void Process::Send(NodeId to, node::PeerMessage message) {
  if (!PortCall()) return;
  if (const auto* raft_message = std::get_if<raft::Message>(&message)) {
    world_.checks().OnSend(host_, *raft_message);
  }
  world_.network().Send(host_, to, std::move(message));
}

void Process::SetPeers(std::vector<Peer> peers) {
  if (!PortCall()) return;
  world_.network().SetPeers(host_, std::move(peers));
}

void Process::SaveFormation(ClusterId cluster, Bytes payload, node::DoneStatus done) {
  if (!PortCall()) return;
  world_.AtHost(host_, WriteTime(), [this, cluster, payload, done = std::move(done)]() mutable {
    host_.disk.Form(cluster, payload);
    world_.checks().OnFormed(host_);
    done(Status::Ok());
  });
}

void Process::SavePeerBoot(NodeId peer, node::PeerBoot boot, node::DoneStatus done) {
  if (!PortCall()) return;
  world_.AtHost(host_, WriteTime(), [this, peer, boot, done = std::move(done)]() mutable {
    host_.disk.peer_boots[peer] = boot;
    done(Status::Ok());
  });
}

void Process::CountElection() {
  if (!dead_) ++world_.stats().elections;
}

}  // namespace raftkv::sim
