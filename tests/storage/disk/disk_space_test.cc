// When does a member call its disk full, and what does it do with its reserve?
#include "storage/disk/disk_space.h"

#include <sys/stat.h>

#include <filesystem>
#include <mutex>

#include <gtest/gtest.h>

#include "tests/storage/member/store_world.h"
#include "tests/support/process/process.h"

namespace raftkv::test {
namespace {

using raft::Space;

constexpr std::uint64_t kReserve = 1000;

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

class FakeSpace final : public storage::DiskSpace {
 public:
  std::optional<std::uint64_t> Free() override {
    const std::lock_guard lock(mutex_);
    return free_;
  }
  bool TakeReserve() override {
    const std::lock_guard lock(mutex_);
    if (held_) return true;
    if (free_ < kReserve) return false;
    free_ -= kReserve;
    return held_ = true;
  }
  void ReleaseReserve() override {
    const std::lock_guard lock(mutex_);
    if (std::exchange(held_, false)) free_ += kReserve;
  }
  void SetFree(std::uint64_t free) {
    const std::lock_guard lock(mutex_);
    free_ = free;
  }
  bool held() {
    const std::lock_guard lock(mutex_);
    return held_;
  }

 private:
  std::mutex mutex_;
  std::uint64_t free_ = 10'000;
  bool held_ = false;
};

TEST(DiskWatch, TellsEachLevelAndTakesTheReserveAgain) {
  const auto space = std::make_shared<FakeSpace>();
  StoreWorld world;
  world.options.space = space;
  world.options.reserve_bytes = kReserve;
  Space told = Space::kEnough;
  world.options.on_disk = [&](const node::DiskHealth& health) { told = health.space; };
  ASSERT_TRUE(world.Open().ok());
  EXPECT_TRUE(space->held());
  const auto becomes = [&](std::uint64_t free, Space level) {
    space->SetFree(free);
    return world.loop.RunUntil([&] { return told == level; });
  };
  EXPECT_TRUE(becomes(1500, Space::kDeletes));
  EXPECT_TRUE(becomes(3000, Space::kEnough));
  EXPECT_TRUE(becomes(100, Space::kDeletes));
  EXPECT_TRUE(WaitFor(std::chrono::seconds(20), [&] { return !space->held(); }));
  EXPECT_TRUE(becomes(100, Space::kNone));
  EXPECT_TRUE(becomes(600, Space::kDeletes));
  EXPECT_TRUE(becomes(4000, Space::kEnough));
  EXPECT_TRUE(space->held());
  EXPECT_TRUE(world.CloseCleanly().ok());
}

}  // namespace
}  // namespace raftkv::test
