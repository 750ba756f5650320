// Does a member open where a power cut tore the last record of a list of tables, and only there?
// RocksDB tolerates a record that ends early, and refuses one with a hole.
#include "tests/support/faults/torn_manifest.h"

#include <gtest/gtest.h>

#include "tests/storage/member/store_world.h"

namespace raftkv::test {
namespace {

constexpr int kEntries = 40;

/// A member alone with entries 2 to 41, as a power cut left it.
std::shared_ptr<CrashFs> MakeDisk() {
  StoreWorld world;
  EXPECT_TRUE(world.Open().ok());
  EXPECT_TRUE(world.Form().ok());
  EXPECT_TRUE(world.WriteEntries(Index(2), Term(1), kEntries).ok());
  world.Drop();
  return world.fs->Copy();
}

/// The folders of the log and of the keys.
std::vector<std::string> DatabasesOf(const CrashFs& fs) {
  std::vector<std::string> found;
  for (const auto& [path, content] : fs.Everything()) {
    if (path.ends_with("/CURRENT")) found.push_back(path.substr(0, path.rfind('/')));
  }
  return found;
}

struct Opened {
  Status status;
  std::uint64_t last_index = 0;
};

Opened OpenWith(const CrashFs& disk, const std::string& path, const std::string& content,
                const std::string& machine_boot) {
  StoreWorld world(disk.Copy());
  world.fs->SetContent(path, content);
  world.options.machine_boot = machine_boot;
  Opened opened;
  opened.status = world.Open();
  if (!opened.status.ok()) return opened;
  opened.last_index = world.store->birth().raft.last_index.value;
  EXPECT_TRUE(world.WriteEntries(Index(opened.last_index + 1), Term(1), 1).ok());
  world.Drop();
  StoreWorld again(world.fs->Copy());
  again.options.machine_boot = machine_boot;
  EXPECT_TRUE(again.Open().ok()) << "it was cut off for good";
  return opened;
}

TEST(TornManifest, AfterARebootARecordThatLacksASectorIsCutOff) {
  const std::shared_ptr<CrashFs> disk = MakeDisk();
  const std::vector<std::string> databases = DatabasesOf(*disk);
  ASSERT_EQ(databases.size(), 2u);
  for (const std::string& folder : databases) {
    const std::string path = ManifestPath(*disk, folder);
    const std::string whole = disk->Content(path);
    for (const std::string& torn : {WithTornRecord(whole), WithTornEnd(whole)}) {
      const Opened opened = OpenWith(*disk, path, torn, "boot-2");
      EXPECT_TRUE(opened.status.ok()) << path << ": " << opened.status.ToString();
      EXPECT_EQ(opened.last_index, 1u + kEntries);
      EXPECT_EQ(OpenWith(*disk, path, torn, "boot-1").status.code(), Code::kCorruption)
          << "a kill does not leave that";
    }
  }
}

TEST(TornManifest, AfterARebootAnyOtherBrokenRecordIsDamage) {
  const std::shared_ptr<CrashFs> disk = MakeDisk();
  for (const std::string& folder : DatabasesOf(*disk)) {
    const std::string path = ManifestPath(*disk, folder);
    const std::string whole = disk->Content(path);
    std::string changed = whole + LogFragment(1, std::string(1500, 'r'));
    changed[changed.size() - 700] = 'x';
    EXPECT_EQ(OpenWith(*disk, path, changed, "boot-2").status.code(), Code::kCorruption)
        << "all of it was written";
    const std::string followed = WithTornRecord(whole) + LogFragment(1, "later");
    EXPECT_EQ(OpenWith(*disk, path, followed, "boot-2").status.code(), Code::kCorruption)
        << "it was synced before the next one was written";
  }
}

TEST(TornManifest, OfACleanCloseIsDamage) {
  StoreWorld world;
  ASSERT_TRUE(world.Open().ok());
  ASSERT_TRUE(world.Form().ok());
  ASSERT_TRUE(world.CloseCleanly().ok());
  const std::shared_ptr<CrashFs> disk = world.fs->Copy();
  for (const std::string& folder : DatabasesOf(*disk)) {
    const std::string path = ManifestPath(*disk, folder);
    const Opened opened = OpenWith(*disk, path, WithTornRecord(disk->Content(path)), "boot-2");
    EXPECT_EQ(opened.status.code(), Code::kCorruption);
  }
}

}  // namespace
}  // namespace raftkv::test
