// Is what a closed raftkv::Log says of itself true after a power cut: the mark of a clean close,
// and that its folder is there?
#include <gtest/gtest.h>

#include "tests/storage/local_log/log_world.h"
#include "tests/storage/member/store_world.h"

namespace raftkv::test {
namespace {

constexpr std::uint64_t kSeeds = 40;

/// The machine starts again after a power cut.
void Cut(LogWorld& world, std::uint64_t seed) {
  world.fs->Crash();
  world.log.reset();
  world.fs->Reboot(seed);
  world.ground.machine_boot = "boot-2";
}

TEST(LogClose, WithoutSyncLosesNothingThatWasThereWhenItWasClosed) {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    LogWorld world(std::make_shared<CrashFs>(seed));
    world.options.sync = false;
    ASSERT_TRUE(world.Open().ok());
    for (int i = 1; i <= 8; ++i) ASSERT_TRUE(world.log->Append(EntryText(i, 9'000)).ok());
    ASSERT_TRUE(world.log->Close().ok());
    Cut(world, seed);
    const Status opened = world.Open();
    ASSERT_TRUE(opened.ok()) << seed << ": " << opened.ToString();
    EXPECT_EQ(world.log->Seq(), 8U) << seed;
  }
}

TEST(LogClose, OfALogThatIsOnlyDroppedIsTheSame) {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    LogWorld world(std::make_shared<CrashFs>(seed));
    ASSERT_TRUE(world.Open().ok());
    ASSERT_TRUE(world.log->Append(EntryText(1)).ok());
    ASSERT_TRUE(world.log->Append(EntryText(2, 50'000), {.sync = false}).ok());
    ASSERT_TRUE(world.log->TrimSuffix(2, {.sync = false}).ok());
    world.log.reset();
    Cut(world, seed);
    const Status opened = world.Open();
    ASSERT_TRUE(opened.ok()) << seed << ": " << opened.ToString();
    EXPECT_EQ(world.log->Seq(), 1U) << seed;
  }
}

// A cut at any step of the close leaves a log that opens.
TEST(LogClose, CutShortAnywhereLeavesALogThatOpens) {
  bool over = false;
  for (std::uint64_t at = 1; !over; ++at) {
    LogWorld world(std::make_shared<CrashFs>(at));
    world.options.sync = false;
    ASSERT_TRUE(world.Open().ok());
    ASSERT_TRUE(world.log->Append(EntryText(1), {.sync = true}).ok());
    for (int i = 2; i <= 6; ++i) ASSERT_TRUE(world.log->Append(EntryText(i, 9'000)).ok());
    world.fs->CrashAt(at);
    const Status closed = world.log->Close();
    over = !world.fs->crashed();
    EXPECT_EQ(closed.ok(), over) << at;
    Cut(world, at);
    const Status opened = world.Open();
    ASSERT_TRUE(opened.ok()) << at << ": " << opened.ToString();
    EXPECT_GE(world.log->Seq(), over ? 6U : 1U) << at;
    ASSERT_LT(at, 200U);
  }
}

TEST(FolderMadeBeforehand, OfALogIsThereAfterAPowerCut) {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    LogWorld world(std::make_shared<CrashFs>(seed));
    ASSERT_TRUE(world.env->CreateDir("/data").ok());
    ASSERT_TRUE(world.env->CreateDir("/data/log").ok());
    ASSERT_TRUE(world.Open().ok());
    ASSERT_TRUE(world.log->Append("kept").ok());
    Cut(world, seed);
    ASSERT_TRUE(world.Open().ok());
    EXPECT_EQ(world.log->Seq(), 1U) << seed;
  }
}

TEST(FolderMadeBeforehand, OfAMemberIsThereAfterAPowerCut) {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    StoreWorld world(std::make_shared<CrashFs>(seed));
    ASSERT_TRUE(world.env->CreateDir("/data").ok());
    ASSERT_TRUE(world.env->CreateDir("/data/n1").ok());
    ASSERT_TRUE(world.Open().ok());
    ASSERT_TRUE(world.Form().ok());
    world.fs->Crash();
    world.Drop();
    world.fs->Reboot(seed);
    EXPECT_TRUE(world.env->FileExists("/data/n1/record").ok()) << seed;
    world.options.machine_boot = "boot-2";
    ASSERT_TRUE(world.Open().ok()) << seed;
    EXPECT_EQ(world.store->birth().boot.counter, 2U) << seed;
  }
}

}  // namespace
}  // namespace raftkv::test
