// When does a member call its disk full, and what does it do with its reserve?
#include "storage/disk/disk_space.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <filesystem>
#include <vector>

#include <gtest/gtest.h>

#include <raftkv/log.h>

#include "tests/storage/disk/fake_space.h"
#include "tests/storage/member/store_world.h"
#include "tests/support/process/process.h"

namespace raftkv::test {
namespace {

using raft::Space;

constexpr std::uint64_t kReserve = FakeSpace::kReserve;

TEST(SpaceRules, ThereIsALineToGetFullAndAHigherOneToComeBack) {
  const storage::SpaceRules rules(kReserve);
  const bool held = true;
  EXPECT_EQ(rules.Judge(Space::kEnough, 2000, held), Space::kEnough);
  EXPECT_EQ(rules.Judge(Space::kEnough, 1999, held), Space::kDeletes);
  EXPECT_EQ(rules.Judge(Space::kDeletes, 2999, held), Space::kDeletes);
  EXPECT_EQ(rules.Judge(Space::kDeletes, 3000, held), Space::kEnough);
  EXPECT_EQ(rules.Judge(Space::kEnough, 0, held), Space::kDeletes) << "there is the reserve";
}

TEST(SpaceRules, WithoutTheReserveThereIsNeverEnough) {
  const storage::SpaceRules rules(kReserve);
  const bool held = false;
  EXPECT_EQ(rules.Judge(Space::kDeletes, 1'000'000, held), Space::kDeletes);
  EXPECT_EQ(rules.Judge(Space::kDeletes, 250, held), Space::kDeletes);
  EXPECT_EQ(rules.Judge(Space::kDeletes, 249, held), Space::kNone);
  EXPECT_EQ(rules.Judge(Space::kNone, 499, held), Space::kNone);
  EXPECT_EQ(rules.Judge(Space::kNone, 500, held), Space::kDeletes);
}

TEST(SpaceRules, TheReserveIsGivenUpLateAndTakenWhereThereIsEnoughBeside) {
  const storage::SpaceRules rules(kReserve);
  EXPECT_FALSE(rules.ShouldRelease(250));
  EXPECT_TRUE(rules.ShouldRelease(249));
  EXPECT_FALSE(rules.ShouldTake(3999));
  ASSERT_TRUE(rules.ShouldTake(4000));
  EXPECT_EQ(rules.Judge(Space::kNone, 4000 - kReserve, true), Space::kEnough) << "not full again";
}

TEST(FolderSpace, TheReserveReallyTakesItsSpace) {
  const TempFolder folder;
  storage::FolderSpace space(folder.path(), 1 << 20);
  ASSERT_TRUE(space.Free().has_value());
  EXPECT_GT(*space.Free(), 0u);
  ASSERT_TRUE(space.TakeReserve());
  ASSERT_TRUE(space.TakeReserve()) << "again, after a restart";
  struct stat found {};
  const std::string path = folder / storage::kReserveName;
  ASSERT_EQ(stat(path.c_str(), &found), 0);
  EXPECT_GE(found.st_blocks * 512, 1 << 20);
  storage::FolderSpace smaller(folder.path(), 64 << 10);
  ASSERT_TRUE(smaller.TakeReserve());
  EXPECT_EQ(std::filesystem::file_size(path), 64U << 10) << "what is too much is given back";
  space.ReleaseReserve();
  EXPECT_FALSE(std::filesystem::exists(path));
  space.ReleaseReserve();
}

TEST(Reserve, ThatTheDiskCannotHoldIsRefusedWithFigures) {
  const TempFolder folder;
  const std::string later = folder / "not/made/yet";
  EXPECT_TRUE(storage::CheckReserve(later, 1 << 20).ok());
  const Status refused = storage::CheckReserve(later, std::uint64_t{1} << 60);
  EXPECT_EQ(refused.code(), Code::kInvalidArgument);
  EXPECT_NE(refused.message().find("1152921504606846976 bytes"), std::string::npos)
      << refused.message();
  EXPECT_NE(refused.message().find("bytes in all"), std::string::npos) << refused.message();
  EXPECT_FALSE(std::filesystem::exists(folder / "not"));
}

TEST(Reserve, OfAStoreIsCheckedBeforeAnythingIsMade) {
  const TempFolder folder;
  StoreWorld world;
  world.options.env = nullptr;
  world.options.dir = folder / "n1";
  world.options.reserve_bytes = std::uint64_t{1} << 60;
  EXPECT_EQ(world.Open().code(), Code::kInvalidArgument);
  EXPECT_FALSE(std::filesystem::exists(folder / "n1"));
}

TEST(Reserve, OfMoreThanAFifthOfTheDiskIsRefusedSinceItWouldNeverBeTakenAgain) {
  const TempFolder folder;
  struct statvfs disk {};
  ASSERT_EQ(statvfs(folder.path().c_str(), &disk), 0);
  const std::uint64_t size = std::uint64_t{disk.f_blocks} * disk.f_frsize;
  EXPECT_TRUE(storage::CheckReserve(folder.path(), size / 5).ok());
  const Status refused = storage::CheckReserve(folder.path(), size / 5 + 1);
  EXPECT_EQ(refused.code(), Code::kInvalidArgument);
  EXPECT_NE(refused.message().find("at most " + std::to_string(size / 5)), std::string::npos)
      << refused.message();
}

TEST(Reserve, ThatIsLargerThanAFileMayBeIsRefused) {
  const TempFolder folder;
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit small = before;
  small.rlim_cur = 1 << 20;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  EXPECT_TRUE(storage::CheckReserve(folder.path(), 1 << 20).ok());
  const Status refused = storage::CheckReserve(folder.path(), (1 << 20) + 1);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_EQ(refused.code(), Code::kInvalidArgument);
  EXPECT_NE(refused.message().find("1048576"), std::string::npos) << refused.message();
  EXPECT_NE(refused.message().find("ulimit -f"), std::string::npos) << refused.message();
}

using storage::SteadySpace;
constexpr std::chrono::milliseconds kStep(100);

TEST(SteadySpace, WorseIsToldAtOnceAndEnoughOnceItLasts) {
  SteadySpace steady;
  SteadySpace::Time now;
  EXPECT_EQ(steady.Tell(Space::kEnough, now), Space::kEnough);
  EXPECT_EQ(steady.Tell(Space::kDeletes, now), Space::kDeletes);
  EXPECT_EQ(steady.Tell(Space::kNone, now), Space::kNone);
  EXPECT_EQ(steady.Tell(Space::kDeletes, now), Space::kDeletes) << "what makes room is not kept";
  EXPECT_EQ(steady.Tell(Space::kNone, now), Space::kNone);
  EXPECT_EQ(steady.Tell(Space::kEnough, now), Space::kDeletes);
  EXPECT_EQ(steady.Tell(Space::kDeletes, now += SteadySpace::kShortest), Space::kDeletes);
  EXPECT_EQ(steady.Tell(Space::kEnough, now), Space::kDeletes) << "it begins again";
  EXPECT_EQ(steady.Tell(Space::kEnough, now += SteadySpace::kShortest), Space::kEnough);
}

/// How often "enough" comes back within `span` on a disk that is full for one step each time.
int Flaps(SteadySpace& steady, SteadySpace::Time& now, std::chrono::milliseconds span) {
  int flaps = 0;
  for (const SteadySpace::Time end = now + span; now < end; now += kStep) {
    Space told = steady.Tell(Space::kEnough, now);
    if (told != Space::kEnough) continue;
    ++flaps;
    told = steady.Tell(Space::kDeletes, now += kStep);
    EXPECT_EQ(told, Space::kDeletes);
  }
  return flaps;
}

TEST(SteadySpace, ADiskThatFillsAgainAndAgainIsFullOnceInHalfAMinute) {
  SteadySpace steady;
  SteadySpace::Time now;
  EXPECT_EQ(steady.Tell(Space::kDeletes, now), Space::kDeletes);
  EXPECT_LE(Flaps(steady, now, std::chrono::seconds(20)), 1);
  EXPECT_LE(Flaps(steady, now, std::chrono::minutes(1)), 2);
  EXPECT_LE(Flaps(steady, now, std::chrono::minutes(10)), 20);
  // One that was well for a while comes back soon again.
  EXPECT_EQ(steady.Tell(Space::kDeletes, now), Space::kDeletes);
  EXPECT_EQ(steady.Tell(Space::kEnough, now), Space::kDeletes);
  EXPECT_EQ(steady.Tell(Space::kEnough, now += SteadySpace::kLongest), Space::kEnough);
  EXPECT_EQ(steady.Tell(Space::kDeletes, now += SteadySpace::kLasting), Space::kDeletes);
  EXPECT_EQ(steady.Tell(Space::kEnough, now += kStep), Space::kDeletes);
  EXPECT_EQ(steady.Tell(Space::kEnough, now += SteadySpace::kShortest), Space::kEnough);
}

TEST(SmallDisk, TheLogKeepsNoMoreThanAnEighthOfIt) {
  const TempFolder folder;
  const std::optional<std::uint64_t> size = storage::DiskBytes(folder / "n1");
  ASSERT_TRUE(size.has_value());
  StoreWorld world;
  world.options.env = nullptr;
  world.options.dir = folder / "n1";
  world.options.log_keep_bytes = std::uint64_t{1} << 50;
  ASSERT_TRUE(world.Open().ok());
  EXPECT_EQ(world.store->log_keep_bytes(), *size / 8);
  ASSERT_TRUE(world.CloseCleanly().ok());
  world.options.log_keep_bytes = 2 << 20;
  ASSERT_TRUE(world.Open().ok());
  EXPECT_EQ(world.store->log_keep_bytes(), std::uint64_t{2} << 20);
}

/// What the files in `folder` take of the disk.
std::uint64_t BytesTaken(const std::string& folder) {
  std::uint64_t taken = 0;
  for (const auto& file : std::filesystem::recursive_directory_iterator(folder)) {
    struct stat found {};
    if (stat(file.path().c_str(), &found) == 0) taken += std::uint64_t(found.st_blocks) * 512;
  }
  return taken;
}

TEST(EmptyMember, TakesFewMiBOfDiskBesideItsReserve) {
  const TempFolder folder;
  StoreWorld world;
  world.options.env = nullptr;
  world.options.dir = folder / "n1";
  ASSERT_TRUE(world.Open().ok());
  ASSERT_TRUE(world.Form().ok());
  const std::uint64_t taken = BytesTaken(world.options.dir);
  RecordProperty("bytes", std::to_string(taken));
  EXPECT_LE(taken, std::uint64_t{4} << 20);
}

TEST(EmptyMember, TheSameOfALogOfItsOwn) {
  const TempFolder folder;
  LogOptions options;
  options.dir = folder / "log";
  auto log = Log::Open(options);
  ASSERT_TRUE(log.ok()) << log.status().ToString();
  ASSERT_TRUE((*log)->Append("entry").ok());
  const std::uint64_t taken = BytesTaken(options.dir);
  RecordProperty("bytes", std::to_string(taken));
  EXPECT_LE(taken, std::uint64_t{4} << 20);
}

TEST(DiskWatch, UnderAQuotaTheReserveIsNotTriedAgainAllTheTime) {
  const auto space = std::make_shared<FakeSpace>();
  StoreWorld world;
  world.options.space = space;
  world.options.reserve_bytes = kReserve;
  Space told = Space::kEnough;
  world.options.on_disk = [&](const node::DiskHealth& health) { told = health.space; };
  ASSERT_TRUE(world.Open().ok());
  space->SetQuota(true);
  space->SetFree(0);
  ASSERT_TRUE(world.loop.RunUntil([&] { return told == Space::kDeletes; }));
  EXPECT_FALSE(space->held());
  space->SetFree(100'000);
  ASSERT_TRUE(WaitFor(std::chrono::seconds(30), [&] { return space->refused().size() >= 2; }));
  EXPECT_GE(space->refused()[1] - space->refused()[0], std::chrono::seconds(1));
  EXPECT_EQ(told, Space::kDeletes);
  space->SetQuota(false);
  EXPECT_TRUE(world.loop.RunUntil([&] { return told == Space::kEnough; }));
}

class WatchedDisk : public testing::Test {
 protected:
  void SetUp() override {
    world.options.space = space;
    world.options.reserve_bytes = kReserve;
    world.options.on_disk = [this](const node::DiskHealth& health) { told = health.space; };
    ASSERT_TRUE(world.Open().ok());
    EXPECT_TRUE(space->held());
  }
  bool Becomes(std::uint64_t free, Space level) {
    space->SetFree(free);
    return world.loop.RunUntil([&] { return told == level; });
  }

  const std::shared_ptr<FakeSpace> space = std::make_shared<FakeSpace>();
  Space told = Space::kEnough;
  StoreWorld world;
};

TEST_F(WatchedDisk, ComesBackWithItsReserve) {
  EXPECT_TRUE(Becomes(1500, Space::kDeletes));
  EXPECT_TRUE(Becomes(3000, Space::kEnough));
  EXPECT_TRUE(space->held());
  EXPECT_TRUE(world.CloseCleanly().ok());
}

TEST_F(WatchedDisk, TellsEachLevelAndTakesTheReserveAgain) {
  EXPECT_TRUE(Becomes(100, Space::kDeletes));
  EXPECT_TRUE(WaitFor(std::chrono::seconds(20), [&] { return !space->held(); }));
  EXPECT_TRUE(Becomes(100, Space::kNone));
  EXPECT_TRUE(Becomes(600, Space::kDeletes));
  EXPECT_TRUE(Becomes(4000, Space::kEnough));
  EXPECT_TRUE(space->held());
  EXPECT_TRUE(world.CloseCleanly().ok());
}

}  // namespace
}  // namespace raftkv::test
