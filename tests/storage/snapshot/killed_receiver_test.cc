// Does a receiver that is killed in the middle of a snapshot continue where it was, and trust
// nothing of what it finds?
#include <algorithm>
#include <memory>
#include <string>

#include "storage/kv/kv_engine.h"
#include "tests/storage/disk/fake_space.h"
#include "tests/storage/snapshot/snapshot_world.h"
#include "tests/support/process/process.h"

namespace raftkv::test {
namespace {

using std::chrono::seconds;

class KilledReceiver : public SnapshotTest {};
class EncryptedKilledReceiver : public EncryptedSnapshotTest {};

/// `killed` becomes what a kill of `receiver` at half of `snapshot` leaves.
void SendHalfAndKill(const Snapshot& snapshot, StoreWorld& receiver, StoreWorld& killed,
                     Transfer& half) {
  half = Send(snapshot, receiver, snapshot.total / 2);
  ASSERT_FALSE(half.whole);
  killed.fs = receiver.fs->Copy();
  killed.env = rocksdb::NewCompositeEnv(killed.fs);
  killed.options.env = killed.env.get();
  killed.options.encryption_key_file = receiver.options.encryption_key_file;
  const Status opened = killed.Open();
  ASSERT_TRUE(opened.ok()) << opened.ToString();
}

void KilledAtHalf(StoreWorld& sender, StoreWorld& receiver) {
  const Snapshot snapshot = TakeSnapshot(sender);
  StoreWorld killed;
  Transfer half;
  ASSERT_NO_FATAL_FAILURE(SendHalfAndKill(snapshot, receiver, killed, half));
  // What had come of a file is continued.
  const Transfer rest = Send(snapshot, killed);
  ASSERT_TRUE(rest.whole) << rest.status.ToString();
  const std::uint64_t manifest = snapshot.parts.begin()->second.data.size();
  EXPECT_LE(half.bytes + rest.bytes, snapshot.total + manifest + kPartBytes);
  ASSERT_TRUE(killed.Install(snapshot.meta, NewTerm()).ok());
  EXPECT_EQ(HashOf(killed), HashOf(sender));
  ASSERT_TRUE(killed.CloseCleanly().ok());
  ASSERT_TRUE(killed.Open().ok());
  EXPECT_EQ(HashOf(killed), HashOf(sender));
  EXPECT_EQ(killed.fs->List("/data/n1"),
            (std::vector<std::string>{"LOCK", "kv-2", "log", "record"}));
}

TEST_F(KilledReceiver, AKilledReceiverContinuesWhereItWas) { KilledAtHalf(sender, receiver); }
TEST_F(EncryptedKilledReceiver, AKilledReceiverContinuesWhereItWas) {
  KilledAtHalf(sender, receiver);
}

// Again and again, each time a little further: no kill costs more than what was on its way.
TEST_F(KilledReceiver, AReceiverThatIsKilledOftenGetsToTheEnd) {
  const Snapshot snapshot = TakeSnapshot(sender);
  const std::uint64_t manifest = snapshot.parts.begin()->second.data.size();
  std::shared_ptr<CrashFs> fs = receiver.fs;
  std::uint64_t bytes = 0;
  int kills = 0;
  while (true) {
    ASSERT_LT(kills, 100);
    StoreWorld world(fs->Copy());
    ASSERT_TRUE(world.Open().ok());
    const Transfer transfer = Send(snapshot, world, 3 * kPartBytes + manifest);
    ASSERT_TRUE(transfer.status.ok()) << transfer.status.ToString();
    bytes += transfer.bytes;
    fs = world.fs->Copy();
    ++kills;
    if (!transfer.whole) continue;
    ASSERT_TRUE(world.Install(snapshot.meta, NewTerm()).ok());
    EXPECT_EQ(HashOf(world), HashOf(sender));
    break;
  }
  EXPECT_GT(kills, 5);
  EXPECT_LE(bytes, snapshot.total + static_cast<std::uint64_t>(kills) * (manifest + kPartBytes));
}

TEST_F(KilledReceiver, AReceiverKilledBeforeTheInstallGetsLittleAgain) {
  const Snapshot snapshot = TakeSnapshot(sender);
  ASSERT_TRUE(Send(snapshot, receiver).whole);
  StoreWorld killed(receiver.fs->Copy());
  ASSERT_TRUE(killed.Open().ok());
  const Transfer rest = Send(snapshot, killed);
  ASSERT_TRUE(rest.whole) << rest.status.ToString();
  EXPECT_LT(rest.bytes, snapshot.total / 10);
  ASSERT_TRUE(killed.Install(snapshot.meta, NewTerm()).ok());
  EXPECT_EQ(HashOf(killed), HashOf(sender));
}

// Of a name nothing is believed: each byte that was kept is read and held against the manifest.
TEST_F(KilledReceiver, WhatAKilledReceiverKeptDamagedIsAskedForAgain) {
  const Snapshot snapshot = TakeSnapshot(sender);
  int damaged = 0;
  // With a part of the first table, and with all but the last file.
  for (const std::uint64_t until : {snapshot.total / 2, snapshot.parts.rbegin()->first}) {
    StoreWorld cut_off(receiver.fs->Copy());
    ASSERT_TRUE(cut_off.Open().ok());
    ASSERT_FALSE(Send(snapshot, cut_off, until).whole);
    for (const std::string& name : cut_off.fs->List("/data/n1/kv-2")) {
      SCOPED_TRACE(name);
      StoreWorld killed(cut_off.fs->Copy());
      const std::string path = "/data/n1/kv-2/" + name;
      std::string content = killed.fs->Content(path);
      if (content.empty()) continue;
      content[content.size() / 2] = static_cast<char>(content[content.size() / 2] ^ 1);
      killed.fs->SetContent(path, content);
      ASSERT_TRUE(killed.Open().ok());
      const Transfer rest = Send(snapshot, killed);
      ASSERT_TRUE(rest.whole) << rest.status.ToString();
      ASSERT_TRUE(killed.Install(snapshot.meta, NewTerm()).ok());
      EXPECT_EQ(HashOf(killed), HashOf(sender));
      ++damaged;
    }
  }
  EXPECT_GE(damaged, 4) << "a part of a table, tables, and small files";
}

// Its tables may have the same names, and its parts the same lengths.
TEST_F(KilledReceiver, AKilledReceiverTakesNothingOfAnotherSendersSnapshot) {
  StoreWorld other;
  Random other_chance{2};
  FillSender(other, other_chance);
  const Snapshot of_other = TakeSnapshot(other);
  StoreWorld killed;
  Transfer half;
  ASSERT_NO_FATAL_FAILURE(SendHalfAndKill(TakeSnapshot(sender), receiver, killed, half));
  const Transfer whole = Send(of_other, killed);
  ASSERT_TRUE(whole.whole) << whole.status.ToString();
  EXPECT_EQ(whole.bytes, of_other.total);
  ASSERT_TRUE(killed.Install(of_other.meta, NewTerm()).ok());
  EXPECT_EQ(HashOf(killed), HashOf(other));
}

TEST_F(KilledReceiver, WhatAKilledReceiverKeptIsOneFolderAndGoesOnceNoneIsWaitedFor) {
  const Snapshot snapshot = TakeSnapshot(sender);
  StoreWorld killed;
  Transfer half;
  ASSERT_NO_FATAL_FAILURE(SendHalfAndKill(snapshot, receiver, killed, half));
  ASSERT_FALSE(Send(snapshot, killed, half.bytes / 2).whole);
  StoreWorld again(killed.fs->Copy());
  ASSERT_TRUE(again.Open().ok());
  EXPECT_EQ(again.fs->List("/data/n1"),
            (std::vector<std::string>{"LOCK", "kv-1", "kv-2", "log", "record"}));
  again.store->snapshots().DropUnfinished();
  EXPECT_TRUE(
      WaitFor(seconds(10), [&] { return again.env->FileExists("/data/n1/kv-2").IsNotFound(); }));
  ASSERT_TRUE(Send(snapshot, again).whole) << "from the start";
  ASSERT_TRUE(again.Install(snapshot.meta, NewTerm()).ok());
  EXPECT_EQ(HashOf(again), HashOf(sender));
}

/// What a kill at half leaves, opened on a disk that can become full.
class ShortOfSpace : public KilledReceiver {
 protected:
  void SetUp() override {
    KilledReceiver::SetUp();
    snapshot = TakeSnapshot(sender);
    half = Send(snapshot, receiver, snapshot.total / 2);
    ASSERT_FALSE(half.whole);
    killed.options.space = space;
    killed.options.reserve_bytes = FakeSpace::kReserve;
    killed.options.on_disk = [this](const node::DiskHealth& health) { told = health.space; };
    killed.fs = receiver.fs->Copy();
    killed.env = rocksdb::NewCompositeEnv(killed.fs);
    killed.options.env = killed.env.get();
    ASSERT_TRUE(killed.Open().ok());
    ASSERT_TRUE(killed.env->FileExists("/data/n1/kv-2").ok());
  }
  bool Becomes(std::uint64_t free, raft::Space level) {
    space->SetFree(free);
    return killed.loop.RunUntil([&] { return told == level; });
  }
  void ExpectInstalled() {
    ASSERT_TRUE(killed.Install(snapshot.meta, NewTerm()).ok());
    EXPECT_EQ(HashOf(killed), HashOf(sender));
  }

  Snapshot snapshot;
  Transfer half;
  const std::shared_ptr<FakeSpace> space = std::make_shared<FakeSpace>();
  raft::Space told = raft::Space::kEnough;
  StoreWorld killed;
};

// Nobody may ever send that snapshot again, and what is kept of it keeps writes from being taken.
TEST_F(ShortOfSpace, WhatAKilledReceiverKeptGoes) {
  ASSERT_TRUE(Becomes(FakeSpace::kReserve, raft::Space::kDeletes));
  EXPECT_TRUE(
      WaitFor(seconds(30), [&] { return killed.env->FileExists("/data/n1/kv-2").IsNotFound(); }));
  ASSERT_TRUE(Becomes(100 * FakeSpace::kReserve, raft::Space::kEnough));
  const Transfer all = Send(snapshot, killed);
  ASSERT_TRUE(all.whole) << all.status.ToString();
  EXPECT_EQ(all.bytes, snapshot.total) << "from the start";
  ExpectInstalled();
}

// A sender goes on with it: it would only come again.
TEST_F(ShortOfSpace, WhatIsAskedForAgainStays) {
  const Transfer some = Send(snapshot, killed, 2 * kPartBytes);
  ASSERT_FALSE(some.whole);
  ASSERT_TRUE(killed.Apply(*killed.Read(Index(3), Index(3), 1 << 20)).ok());
  const auto engine = std::dynamic_pointer_cast<storage::KvEngine>(killed.store->engine());
  ASSERT_LT(engine->flushed(), Index(3));
  ASSERT_TRUE(Becomes(FakeSpace::kReserve, raft::Space::kDeletes));
  // What makes room has begun, with what is kept of snapshots.
  ASSERT_TRUE(WaitFor(seconds(30), [&] { return engine->flushed() >= Index(3); }));
  const Transfer rest = Send(snapshot, killed);
  ASSERT_TRUE(rest.whole) << rest.status.ToString();
  const std::uint64_t manifest = snapshot.parts.begin()->second.data.size();
  EXPECT_LE(half.bytes + some.bytes + rest.bytes, snapshot.total + 2 * (manifest + kPartBytes));
  ExpectInstalled();
}

// Unsynced bytes read as zeros, files have lost their ends: what is used is right all the same.
TEST_F(KilledReceiver, APowerCutInTheMiddleCostsNoMoreThanWhatWasNotSynced) {
  const Snapshot snapshot = TakeSnapshot(sender);
  ASSERT_FALSE(Send(snapshot, receiver, snapshot.parts.rbegin()->first).whole);
  std::uint64_t largest = 0;
  for (const std::string& name : receiver.fs->List("/data/n1/kv-2")) {
    largest =
        std::max<std::uint64_t>(largest, receiver.fs->Content("/data/n1/kv-2/" + name).size());
  }
  ASSERT_GT(largest, snapshot.total / 2) << "the table is whole, and synced";
  receiver.fs->Crash();
  receiver.Drop();
  receiver.fs->Reboot(7);
  receiver.options.machine_boot = "boot-2";
  ASSERT_TRUE(receiver.Open().ok());
  const Transfer rest = Send(snapshot, receiver);
  ASSERT_TRUE(rest.whole) << rest.status.ToString();
  EXPECT_LT(rest.bytes, snapshot.total - largest + kPartBytes);
  ASSERT_TRUE(receiver.Install(snapshot.meta, NewTerm()).ok());
  EXPECT_EQ(HashOf(receiver), HashOf(sender));
}

}  // namespace
}  // namespace raftkv::test
