// Is a log write one batch and one sync, and is the log read back as it was written?
#include <mutex>
#include <thread>

#include <gtest/gtest.h>

#include "lib/kv/request.h"
#include "tests/storage/member/store_world.h"

namespace raftkv::test {
namespace {

TEST(LogStore, ANewFolderIsOpenedWithAnEmptyLog) {
  StoreWorld world;
  ASSERT_TRUE(world.Open().ok());
  const node::Birth& birth = world.store->birth();
  EXPECT_EQ(birth.name, "n1");
  EXPECT_NE(birth.member, kNobody);
  EXPECT_EQ(birth.cluster, ClusterId());
  EXPECT_EQ(birth.boot.counter, 1u);
  EXPECT_NE(birth.boot.nonce, 0u);
  EXPECT_TRUE(birth.formation.empty());
  EXPECT_EQ(birth.raft.last_index, Index());
  EXPECT_TRUE(birth.raft.term_runs.empty());
}

TEST(LogStore, EachOpenRaisesTheBootAndDrawsANonce) {
  StoreWorld world;
  ASSERT_TRUE(world.Open().ok());
  const node::Boot first = world.store->birth().boot;
  const NodeId member = world.store->birth().member;
  ASSERT_TRUE(world.CloseCleanly().ok());
  ASSERT_TRUE(world.Open().ok());
  EXPECT_EQ(world.store->birth().boot.counter, first.counter + 1);
  EXPECT_NE(world.store->birth().boot.nonce, first.nonce);
  EXPECT_EQ(world.store->birth().member, member);
}

// A look at the tables leaves the write-ahead logs alone, and RocksDB calls that dropping them.
TEST(LogStore, AnOrdinaryStartWarnsOfNothing) {
  for (const bool clean : {false, true}) {
    StoreWorld world;
    world.options.log_keep_bytes = 4 << 20;  // so that there are several write-ahead logs
    std::mutex mutex;
    std::vector<std::string> warnings;
    world.options.log_sink = [&](node::LogSeverity severity, std::string_view line) {
      const std::lock_guard lock(mutex);
      if (severity >= node::LogSeverity::kWarn) warnings.emplace_back(line);
    };
    ASSERT_TRUE(world.Open().ok());
    ASSERT_TRUE(world.Form().ok());
    for (std::uint64_t first = 2; first < 26; first += 8) {
      ASSERT_TRUE(world.WriteEntries(Index(first), Term(2), 8, 70'000).ok());
    }
    if (clean) {
      ASSERT_TRUE(world.CloseCleanly().ok());
    } else {
      world.Drop();
    }
    int logs = 0;
    for (const std::string& name : world.fs->List("/data/n1/log")) {
      if (name.ends_with(".log") && !world.fs->Content("/data/n1/log/" + name).empty()) ++logs;
    }
    EXPECT_GE(logs, 2);
    ASSERT_TRUE(world.Open().ok());
    EXPECT_EQ(world.store->birth().raft.last_index, Index(25));
    const std::lock_guard lock(mutex);
    EXPECT_EQ(warnings, std::vector<std::string>()) << "closed cleanly: " << clean;
  }
}

TEST(LogStore, WhatWasWrittenIsFoundAgain) {
  StoreWorld world;
  ASSERT_TRUE(world.Open().ok());
  ASSERT_TRUE(world.Form().ok());
  ASSERT_TRUE(world.WriteEntries(Index(2), Term(2), 5).ok());
  ASSERT_TRUE(world.WriteEntries(Index(7), Term(4), 3).ok());
  bool saved = false;
  world.store->meta().SavePeerBoot(NodeId(9), {{5, 6}, 2}, [&](Status s) { saved = s.ok(); });
  ASSERT_TRUE(world.loop.RunUntil([&] { return saved; }));
  const NodeId member = world.store->birth().member;
  world.Drop();

  ASSERT_TRUE(world.Open().ok());
  const node::Birth& birth = world.store->birth();
  EXPECT_EQ(birth.cluster, ClusterId(77));
  EXPECT_EQ(birth.formation, TestConfiguration(ClusterId(77), member));
  EXPECT_EQ(birth.peer_boots.at(NodeId(9)), (node::PeerBoot{{5, 6}, 2}));
  EXPECT_EQ(birth.raft.last_index, Index(9));
  const std::vector<raft::TermRun> runs = {
      {Term(1), Index(1)}, {Term(2), Index(2)}, {Term(4), Index(7)}};
  EXPECT_EQ(birth.raft.term_runs, runs);
  EXPECT_EQ(birth.raft.configurations.back().first, Index(1));
  EXPECT_TRUE(birth.raft.configurations.back().second.IsVoter(member));
  EXPECT_EQ(birth.raft.hard_state, (raft::HardState{Term(4), kNobody, Index(1)}));

  Result<std::vector<raft::Entry>> read = world.Read(Index(2), Index(6), 1 << 20);
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(*read, MakeEntries(Index(2), Term(2), 5, 20));
}

TEST(LogStore, ALogWriteIsOneSync) {
  StoreWorld world;
  ASSERT_TRUE(world.Open().ok());
  ASSERT_TRUE(world.Form().ok());
  const std::uint64_t before = world.store->sync_count();
  ASSERT_TRUE(world.WriteEntries(Index(2), Term(1), 100).ok());
  EXPECT_EQ(world.store->sync_count(), before + 1);
  ASSERT_TRUE(world.WriteEntries(Index(50), Term(2), 10).ok()) << "a cut and an append";
  EXPECT_EQ(world.store->sync_count(), before + 2);
}

TEST(LogStore, ACommitIndexAloneIsNotSyncedAndRidesWithTheNextBatch) {
  StoreWorld world;
  ASSERT_TRUE(world.Open().ok());
  ASSERT_TRUE(world.Form().ok());
  ASSERT_TRUE(world.WriteEntries(Index(2), Term(1), 3).ok());
  const std::uint64_t before = world.store->sync_count();
  node::LogWrite commit;
  commit.hard_state = raft::HardState{Term(1), kNobody, Index(3)};
  ASSERT_TRUE(world.Write(commit).ok());
  EXPECT_EQ(world.store->sync_count(), before);
  node::LogWrite append;
  append.entries = MakeEntries(Index(5), Term(1), 1, 10);
  append.sync = true;
  ASSERT_TRUE(world.Write(append).ok());
  EXPECT_EQ(world.store->sync_count(), before + 1);
  world.Drop();
  ASSERT_TRUE(world.Open().ok());
  EXPECT_EQ(world.store->birth().raft.hard_state.commit, Index(3));
}

TEST(LogStore, ACommitIndexThatRidesIsWrittenByACleanClose) {
  StoreWorld world;
  ASSERT_TRUE(world.Open().ok());
  ASSERT_TRUE(world.Form().ok());
  ASSERT_TRUE(world.WriteEntries(Index(2), Term(1), 3).ok());
  node::LogWrite commit;
  commit.hard_state = raft::HardState{Term(1), kNobody, Index(4)};
  ASSERT_TRUE(world.Write(commit).ok());
  ASSERT_TRUE(world.CloseCleanly().ok());
  ASSERT_TRUE(world.Open().ok());
  EXPECT_EQ(world.store->birth().raft.hard_state.commit, Index(4));
}

// Known bug 22.
TEST(LogStore, ACutReplacesTheTail) {
  StoreWorld world;
  ASSERT_TRUE(world.Open().ok());
  ASSERT_TRUE(world.Form().ok());
  ASSERT_TRUE(world.WriteEntries(Index(2), Term(1), 20).ok());
  ASSERT_TRUE(world.WriteEntries(Index(10), Term(3), 2).ok());
  Result<std::vector<raft::Entry>> gone = world.Read(Index(12), Index(15), 1 << 20);
  EXPECT_EQ(gone.code(), Code::kUnavailable);
  world.Drop();
  ASSERT_TRUE(world.Open().ok());
  EXPECT_EQ(world.store->birth().raft.last_index, Index(11));
  Result<std::vector<raft::Entry>> read = world.Read(Index(9), Index(11), 1 << 20);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->at(0).term, Term(1));
  EXPECT_EQ(read->at(1), MakeEntries(Index(10), Term(3), 2, 20).front());
}

TEST(LogStore, AReadIsBoundedInBytesButGivesOneEntry) {
  StoreWorld world;
  ASSERT_TRUE(world.Open().ok());
  ASSERT_TRUE(world.Form().ok());
  ASSERT_TRUE(world.WriteEntries(Index(2), Term(1), 50, 1000).ok());
  EXPECT_EQ(world.Read(Index(2), Index(40), 1)->size(), 1u);
  EXPECT_EQ(world.Read(Index(2), Index(40), 5 * 1100)->size(), 5u);
  EXPECT_EQ(world.Read(Index(2), Index(40), 1 << 20)->size(), 39u);
}

// Known bug 24: a failed write is final.
TEST(LogStore, AFailedWriteIsNeverRetried) {
  StoreWorld world;
  ASSERT_TRUE(world.Open().ok());
  ASSERT_TRUE(world.Form().ok());
  world.fs->CrashAt(2);  // after the append, at its sync
  EXPECT_FALSE(world.WriteEntries(Index(2), Term(1), 1).ok());
  const std::uint64_t operations = world.fs->operations();
  EXPECT_FALSE(world.WriteEntries(Index(2), Term(1), 1).ok());
  EXPECT_FALSE(world.WriteEntries(Index(3), Term(1), 1).ok());
  EXPECT_EQ(world.fs->operations(), operations) << "nothing more was tried";
  EXPECT_FALSE(world.CloseCleanly().ok());
}

TEST(LogStore, NoCompletionRunsAfterTheyWereStopped) {
  StoreWorld world;
  ASSERT_TRUE(world.Open().ok());
  bool ran = false;
  world.store->meta().SavePeerBoot(NodeId(9), {{1, 1}, 1}, [&](Status) { ran = true; });
  world.store->StopCompletions();
  ASSERT_TRUE(world.CloseCleanly().ok());
  bool marker = false;
  world.loop.Post([&] { marker = true; });
  ASSERT_TRUE(world.loop.RunUntil([&] { return marker; }));
  EXPECT_FALSE(ran);
}

class CountingObserver final : public node::Observer {
 public:
  void Observe(node::Stage stage, Duration took) override {
    EXPECT_EQ(stage, node::Stage::kLogSync);
    EXPECT_GT(took.count(), 0);
    EXPECT_EQ(std::this_thread::get_id(), loop);
    ++observed;
  }
  void CountProposal(Code) override {}
  void CountLogSync(std::size_t entry_count, std::size_t byte_count) override {
    entries += entry_count;
    bytes += byte_count;
  }
  void CountElection() override {}
  void CountSnapshotSent(std::size_t) override {}
  void CountSnapshotReceived(std::size_t) override {}

  const std::thread::id loop = std::this_thread::get_id();
  int observed = 0;
  std::size_t entries = 0;
  std::size_t bytes = 0;
};

TEST(LogStore, SyncsAreMeasuredOnTheLoop) {
  CountingObserver observer;
  StoreWorld world;
  world.options.observer = &observer;
  ASSERT_TRUE(world.Open().ok());
  ASSERT_TRUE(world.Form().ok());
  ASSERT_TRUE(world.WriteEntries(Index(2), Term(1), 7).ok());
  EXPECT_EQ(observer.observed, 2);
  EXPECT_EQ(observer.entries, 8u);
  EXPECT_GT(observer.bytes, 7u * 20);
}

raft::Entry CommandEntry(Index index, const std::string& key, const std::string& value) {
  kv::RequestHeader header;
  header.session = 5;
  header.opened_at_ms = 1;
  header.sequence = index.value;
  raft::Entry entry;
  entry.index = index;
  entry.term = Term(1);
  entry.kind = raft::EntryKind::kCommand;
  entry.time_ms = 1000;
  entry.payload = kv::EncodeRequest(header, {kv::PutOp{key, value}});
  return entry;
}

TEST(KvStateMachine, AppliesAndReadsAndKeepsWhatWasFlushed) {
  StoreWorld world;
  ASSERT_TRUE(world.Open().ok());
  ASSERT_TRUE(world.Form().ok());
  Result<std::vector<raft::Entry>> first = world.Read(Index(1), Index(1), 1 << 20);
  ASSERT_TRUE(first.ok());
  node::LogWrite write;
  write.entries = {CommandEntry(Index(2), "k", "v")};
  write.sync = true;
  ASSERT_TRUE(world.Write(write).ok());
  ASSERT_TRUE(world.Apply(*first).ok());
  Result<node::Applied> applied = world.Apply(write.entries);
  ASSERT_TRUE(applied.ok()) << applied.status().ToString();
  EXPECT_EQ(applied->index, Index(2));
  EXPECT_EQ(applied->responses.size(), 1u);
  EXPECT_EQ(applied->replicated_time_ms, 1000u);

  kv::ReadOp op;
  op.range = kv::Range::Single("k");
  const auto read_k = [&] {
    std::optional<Result<Bytes>> answer;
    world.store->machine().Read(kv::EncodeReadRequest({op}), 1 << 20, /*clock_ms=*/0,
                                [&](Result<Bytes> bytes) { answer = std::move(bytes); });
    EXPECT_FALSE(answer.has_value()) << "never inside the call";
    EXPECT_TRUE(world.loop.RunUntil([&] { return answer.has_value(); }));
    Result<std::vector<kv::ReadAnswer>> decoded = kv::DecodeReadResponse((*answer)->view());
    EXPECT_TRUE(decoded.ok());
    return decoded->at(0);
  };
  ASSERT_EQ(read_k().kvs.size(), 1u);
  EXPECT_EQ(read_k().kvs.at(0).value, "v");
  ASSERT_TRUE(world.CloseCleanly().ok());

  ASSERT_TRUE(world.Open().ok());
  EXPECT_EQ(world.store->birth().raft.applied, Index(2));
  EXPECT_EQ(world.store->replicated_time_at_open_ms(), 1000u);
  EXPECT_EQ(read_k().kvs.at(0).value, "v") << "from the disk";
}

}  // namespace
}  // namespace raftkv::test
