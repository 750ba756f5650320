// Is everything that was acknowledged there after a power cut at any instant? (known bugs 1, 2, 22,
// 48) One store on a disk that forgets what was not synced, with random writes; the power goes at a
// random operation, the machine comes back with a new boot id, and the store must open by itself.
#include <algorithm>
#include <map>
#include <utility>

#include <gtest/gtest.h>

#include "lib/base/random.h"
#include "lib/kv/request.h"
#include "lib/kv/store.h"
#include "storage/snapshot/snapshots.h"
#include "tests/storage/member/store_world.h"
#include "tests/support/process/key_files.h"

namespace raftkv::test {
namespace {

/// What the member was told is durable, and what it asked for last.
struct Promised {
  ClusterId cluster;
  std::vector<raft::Entry> log;
  raft::HardState hard_state;
  std::map<NodeId, node::PeerBoot> peer_boots;
};

/// What happened in the runs, so that a test of nothing does not pass.
struct Tally {
  int acknowledged = 0;
  int torn = 0;           ///< opens that cut off a torn batch
  int applied_found = 0;  ///< opens that found applied entries
  int cut_found = 0;      ///< opens that found a log without its beginning
};

class CrashRun {
 public:
  CrashRun(std::uint64_t seed, bool sync, bool encrypted = false)
      : random_(seed), world_(std::make_shared<CrashFs>(seed)), encrypted_(encrypted) {
    world_.options.sync = sync;
    if (encrypted) world_.options.encryption_key_file = KeyFile(1);
    world_.options.log_keep_entries = 20;  // flushes come as often as they can
    // And half of the logs are written to tables now and then.
    if (seed % 2 == 0) world_.options.log_keep_bytes = 1 << 20;
    world_.options.log_sink = [this](node::LogSeverity, const std::string& line) {
      if (line.find("is cut off") != std::string::npos) ++tally_.torn;
    };
    NewMachineBoot();
  }

  [[nodiscard]] const Tally& tally() const { return tally_; }

  /// A few lives, each ended by a power cut. The first thing that was promised and is not there is
  /// put into words; empty: nothing was lost.
  std::string Run() {
    for (int life = 0; life < 4; ++life) {
      // Each encrypted file begins with two operations more.
      const std::uint64_t more = encrypted_ ? 90 : 0;
      world_.fs->CrashAt(1 + random_.Below((life == 0 ? 330 : 240) + more));
      const Status opened = world_.Open();
      if (opened.ok()) {
        const Promised asked = asked_;
        const Promised promised = promised_;
        const std::string lost = Compare();
        if (world_.fs->crashed()) {
          // The power went in what the store does by itself after it was opened: nothing can be
          // read any more, and the next life compares all of it again.
          asked_ = asked;
          promised_ = promised;
        } else if (!lost.empty()) {
          return lost;
        } else {
          Live();
        }
      } else if (!world_.fs->crashed()) {
        return "did not open: " + opened.ToString();
      }
      world_.fs->Crash();
      world_.Drop();
      world_.fs->Reboot(random_.Next());
      NewMachineBoot();
    }
    if (Status opened = world_.Open(); !opened.ok()) return "did not open: " + opened.ToString();
    return Compare();
  }

 private:
  void NewMachineBoot() { world_.options.machine_boot = "boot-" + std::to_string(++boot_); }

  /// Writes until one fails, or closes: the power may go at any step of that as well.
  void Live() {
    if (member_ == kNobody) member_ = world_.store->birth().member;
    if (asked_.cluster == ClusterId()) {
      asked_.cluster = ClusterId(77);
      const Status formed = world_.Form();
      if (!formed.ok()) return;
      raft::Entry first;
      first.index = Index(1);
      first.term = Term(1);
      first.kind = raft::EntryKind::kConfiguration;
      first.payload = TestConfiguration(ClusterId(77), member_);
      asked_.log = {first};
      asked_.hard_state = {Term(1), kNobody, Index(1)};
      promised_ = asked_;
    }
    // In every other life the power goes in the middle of a batch of many pages, which tears it;
    // left to chance alone that is rare.
    std::uint64_t steps_left = random_.Below(2) == 0 ? 1 + random_.Below(12) : kNever;
    while (steps_left-- != 0 ? Step() : Tear()) {
      promised_ = asked_;
      ++tally_.acknowledged;
      if (random_.Below(40) == 0) {
        static_cast<void>(world_.CloseCleanly());
        return;
      }
    }
  }

  bool Step() {
    switch (random_.Below(10)) {
      case 0: return SavePeerBoot();
      case 1: return ApplySome();
      case 2: return Write(NewTerm(), {});
      case 3: return CutAndAppend();
      case 4: return CompactSome();
      default: return Append();
    }
  }

  /// False, unless the write was over before the power went.
  bool Tear() {
    world_.fs->CrashAt(1 + random_.Below(2));
    return Append(8, 20000);
  }

  bool SavePeerBoot() {
    const NodeId peer(1 + random_.Below(3));
    node::PeerBoot& boot = asked_.peer_boots[peer];
    boot = {.boot = {boot.boot.counter + 1, random_.Next()}, .incarnation = 1 + random_.Below(3)};
    std::optional<Status> outcome;
    world_.store->meta().SavePeerBoot(peer, boot, [&](Status s) { outcome = std::move(s); });
    return world_.loop.RunUntil([&] { return outcome.has_value(); }) && outcome->ok();
  }

  raft::HardState NewTerm() {
    raft::HardState state = asked_.hard_state;
    ++state.term;
    state.vote = NodeId(random_.Below(4));
    return state;
  }

  bool Append() {
    const int count = static_cast<int>(1 + random_.Below(8));
    // Now and then a batch of many pages, which can be torn in the middle.
    return Append(count, random_.Below(4) == 0 ? 20000 : 10 + random_.Below(300));
  }

  bool Append(int count, std::size_t bytes) {
    const Index last = asked_.log.back().index;
    raft::HardState state = asked_.hard_state;
    state.commit = std::max(state.commit, Index(random_.Below(last.value + 1)));
    std::vector<raft::Entry> entries = MakeEntries(last.Next(), state.term, count, bytes);
    if (random_.Below(2) == 0) MakeIncrement(entries.back());
    return Write(state, std::move(entries));
  }

  /// A command that shows if it is applied twice or not at all.
  void MakeIncrement(raft::Entry& entry) {
    kv::RequestHeader header;
    header.session = 5;
    header.opened_at_ms = 1;
    header.sequence = ++sequence_;
    header.acknowledged_below = header.sequence;
    entry.kind = raft::EntryKind::kCommand;
    entry.payload = kv::EncodeRequest(header, {kv::IncrementOp{"counter", 1}});
  }

  /// Known bug 12: the counter is what the applied entries make of it.
  std::string CheckCounter(const std::vector<raft::Entry>& log) {
    int want = 0;
    for (const raft::Entry& entry : log) {
      if (entry.index <= applied_ && entry.kind == raft::EntryKind::kCommand) ++want;
    }
    kv::ReadOp op;
    op.range = kv::Range::Single("counter");
    Result<Bytes> answer = kv::Read(*world_.store->engine(), kv::ReadTier::kAll,
                                    kv::EncodeReadRequest({op}).view(), 1 << 20);
    if (!answer.ok()) return answer.status().ToString();
    Result<std::vector<kv::ReadAnswer>> results = kv::DecodeReadResponse(answer->view());
    if (!results.ok()) return results.status().ToString();
    const auto& found = results->at(0).kvs;
    const std::string value = found.empty() ? "0" : found.at(0).value;
    return value == std::to_string(want) ? "" : "counter " + value + " at " + std::to_string(want);
  }

  bool CutAndAppend() {
    const raft::HardState state = NewTerm();
    const std::uint64_t room = asked_.log.back().index - state.commit;
    const Index first = state.commit.Next() + random_.Below(room + 1);
    return Write(state, MakeEntries(first, state.term, 2, 50));
  }

  bool Write(const raft::HardState& state, std::vector<raft::Entry> entries) {
    node::LogWrite write;
    write.hard_state = state;
    write.entries = std::move(entries);
    write.sync = true;
    asked_.hard_state = state;
    if (!write.entries.empty()) {
      asked_.log.resize(write.entries.front().index.value - 1);
      asked_.log.insert(asked_.log.end(), write.entries.begin(), write.entries.end());
    }
    return world_.Write(std::move(write)).ok();
  }

  /// Applies what is committed.
  bool ApplySome() {
    const Index commit = promised_.hard_state.commit;
    if (applied_ >= commit) return true;
    const std::vector<raft::Entry> entries(
        promised_.log.begin() + static_cast<std::ptrdiff_t>(applied_.value),
        promised_.log.begin() + static_cast<std::ptrdiff_t>(commit.value));
    if (!world_.Apply(entries).ok()) return false;
    applied_ = commit;
    return true;
  }

  /// The beginning of the log goes, of what is flushed.
  bool CompactSome() {
    const Index flushed = Flushed();
    if (flushed <= base_) return true;
    base_ = base_ + (1 + random_.Below(flushed - base_));
    world_.store->snapshots().Compact(base_);
    return true;
  }

  [[nodiscard]] Index Flushed() const {
    return std::static_pointer_cast<storage::KvEngine>(world_.store->engine())->flushed();
  }

  /// The store holds what was promised, or what was asked for after that, whole.
  std::string Compare() {
    const node::Birth& birth = world_.store->birth();
    if (member_ != kNobody && birth.member != member_) return "another member id";
    if (birth.boot.counter <= boot_counter_) return "the boot counter went back";
    boot_counter_ = birth.boot.counter;
    applied_ = birth.raft.applied;
    base_ = birth.raft.base.index;
    if (applied_ > Index()) ++tally_.applied_found;
    if (base_ > Index()) ++tally_.cut_found;
    if (birth.cluster == asked_.cluster) {
      const std::string against_asked = CompareTo(asked_);
      if (against_asked.empty()) {
        if (asked_.cluster != ClusterId() && asked_.log.empty()) CatchUpWithFormation();
        promised_ = asked_;
        return "";
      }
    }
    const std::string lost = CompareTo(promised_);
    asked_ = promised_;
    return lost;
  }

  /// The formation was not acknowledged but is there.
  void CatchUpWithFormation() {
    raft::Entry first;
    first.index = Index(1);
    first.term = Term(1);
    first.kind = raft::EntryKind::kConfiguration;
    first.payload = TestConfiguration(ClusterId(77), member_);
    asked_.log = {first};
    asked_.hard_state = {Term(1), kNobody, Index(1)};
  }

  std::string CompareTo(const Promised& want) {
    const node::Birth& birth = world_.store->birth();
    if (birth.cluster != want.cluster) return "another cluster id";
    if (want.cluster == ClusterId()) return birth.raft.last_index == Index() ? "" : "a log";
    Promised formed = want;
    if (formed.log.empty()) {
      formed.hard_state = {Term(1), kNobody, Index(1)};
      formed.log.resize(1);
      formed.log[0] = raft::Entry{Index(1), Term(1), raft::EntryKind::kConfiguration, 0,
                                  TestConfiguration(ClusterId(77), member_)};
    }
    if (birth.peer_boots != formed.peer_boots) return "other boots of peers";
    raft::HardState state = birth.raft.hard_state;
    if (state.term != formed.hard_state.term || state.vote != formed.hard_state.vote) {
      return "another term or vote";
    }
    if (state.commit < formed.hard_state.commit) return "a lower commit index";
    if (birth.raft.last_index.value != formed.log.size()) return "another last index";
    if (std::string other = CompareLog(formed.log); !other.empty()) return other;
    return CheckCounter(formed.log);
  }

  /// What is there of the log, and the term of what was cut off last.
  std::string CompareLog(const std::vector<raft::Entry>& log) {
    const raft::InitialState& raft = world_.store->birth().raft;
    const std::uint64_t base = raft.base.index.value;
    if (base > 0 && raft.base.term != log.at(base - 1).term) return "another term at the base";
    if (raft.base.index > raft.applied) return "the log begins behind what is applied";
    if (base == log.size()) return "";
    Result<std::vector<raft::Entry>> entries =
        world_.Read(Index(base + 1), raft.last_index, 1 << 30);
    if (!entries.ok()) return entries.status().ToString();
    const bool equal = std::equal(entries->begin(), entries->end(),
                                  log.begin() + static_cast<std::ptrdiff_t>(base), log.end());
    return equal ? "" : "other entries";
  }

  static constexpr std::uint64_t kNever = UINT64_MAX;

  Random random_;
  StoreWorld world_;
  const bool encrypted_;
  NodeId member_;
  int boot_ = 0;
  std::uint64_t sequence_ = 0;
  Tally tally_;
  std::uint64_t boot_counter_ = 0;
  Promised promised_;
  Promised asked_;
  Index applied_;
  Index base_;
};

struct Hundred {
  std::uint64_t first_seed = 0;
  bool encrypted = false;
};

/// Tests of a hundred seeds each, so that they can run side by side.
class PowerCuts : public testing::TestWithParam<Hundred> {};

TEST_P(PowerCuts, NothingAcknowledgedIsLost) {
  Tally sum;
  const Hundred& hundred = GetParam();
  for (std::uint64_t seed = hundred.first_seed; seed < hundred.first_seed + 100; ++seed) {
    CrashRun run(seed, /*sync=*/true, hundred.encrypted);
    ASSERT_EQ(run.Run(), "") << "seed " << seed;
    sum.acknowledged += run.tally().acknowledged;
    sum.torn += run.tally().torn;
    sum.applied_found += run.tally().applied_found;
    sum.cut_found += run.tally().cut_found;
  }
  RecordProperty("acknowledged", sum.acknowledged);
  RecordProperty("torn", sum.torn);
  RecordProperty("applied_found", sum.applied_found);
  RecordProperty("cut_found", sum.cut_found);
  EXPECT_GT(sum.acknowledged, 1500);
  EXPECT_GT(sum.torn, 5);
  EXPECT_GT(sum.applied_found, 12);
  EXPECT_GT(sum.cut_found, 6);
}

INSTANTIATE_TEST_SUITE_P(Seeds, PowerCuts,
                         testing::Values(Hundred{1}, Hundred{101}, Hundred{201},
                                         Hundred{301, /*encrypted=*/true}),
                         [](const testing::TestParamInfo<Hundred>& info) {
                           return std::to_string(info.param.first_seed) +
                                  (info.param.encrypted ? "Encrypted" : "");
                         });

TEST(PowerCut, WithoutSyncTheSameTestFails) {
  int losses = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    if (!CrashRun(seed, /*sync=*/false).Run().empty()) ++losses;
  }
  EXPECT_GT(losses, 10);
}

// The first open must be repeatable whatever was made when the power went.
void CutTheFirstOpen(const std::string& key_file) {
  std::uint64_t operations = 0;
  {
    StoreWorld world;
    world.options.encryption_key_file = key_file;
    ASSERT_TRUE(world.Open().ok());
    operations = world.fs->operations();
  }
  for (std::uint64_t at = 1; at <= operations; ++at) {
    StoreWorld world(std::make_shared<CrashFs>(at));
    world.options.encryption_key_file = key_file;
    world.fs->CrashAt(at);
    static_cast<void>(world.Open());
    world.fs->Crash();
    world.Drop();
    world.fs->Reboot(1000 + at);
    world.options.machine_boot = "boot-2";
    const Status opened = world.Open();
    ASSERT_TRUE(opened.ok()) << "operation " << at << ": " << opened.ToString();
    ASSERT_TRUE(world.Form().ok());
  }
}

TEST(PowerCut, AtEveryOperationOfTheFirstOpen) { CutTheFirstOpen(""); }
TEST(PowerCut, AtEveryOperationOfTheFirstOpenOfAnEncryptedFolder) { CutTheFirstOpen(KeyFile(1)); }

// A killed process leaves the page cache as it is: the next open must succeed at once as well.
TEST(PowerCut, AKillDuringTheFirstOpenIsHarmless) {
  for (std::uint64_t at = 1; at <= 80; ++at) {
    StoreWorld world;
    world.fs->CrashAt(at);
    static_cast<void>(world.Open());
    world.fs->Crash();
    world.Drop();
    StoreWorld after(world.fs->Copy());
    const Status opened = after.Open();
    ASSERT_TRUE(opened.ok()) << "operation " << at << ": " << opened.ToString();
  }
}

}  // namespace
}  // namespace raftkv::test
