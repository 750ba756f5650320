// Does a database leave descriptors to the rest of the process, however many tables it has?
#include <sys/resource.h>

#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include <raftkv/log.h>

#include "storage/disk/open_rocksdb.h"
#include "tests/support/process/process.h"

namespace raftkv::test {
namespace {

/// With at most `most` descriptors, until it ends.
class FewDescriptors {
 public:
  explicit FewDescriptors(rlim_t most) {
    EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &before_), 0);
    rlimit few = before_;
    few.rlim_cur = most;
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  }
  ~FewDescriptors() { EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &before_), 0); }
  FewDescriptors(const FewDescriptors&) = delete;
  FewDescriptors& operator=(const FewDescriptors&) = delete;

 private:
  rlimit before_{};
};

std::size_t OpenTables() {
  std::size_t open = 0;
  for (const auto& file : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code ignored;
    if (std::filesystem::read_symlink(file.path(), ignored).extension() == ".sst") ++open;
  }
  return open;
}

TEST(OpenTables, ADatabaseHasAShareOfTheDescriptors) {
  {
    const FewDescriptors few(1024);
    EXPECT_EQ(storage::MostOpenTables(), 128);
  }
  const FewDescriptors few(64);
  EXPECT_EQ(storage::MostOpenTables(), 32) << "with less nothing works";
}

// By far more tables than descriptors.
TEST(OpenTables, ALogOfManyTablesIsReadAndOpenedAgain) {
  const FewDescriptors few(256);
  const TempFolder folder;
  LogOptions options;
  options.dir = folder / "log";
  options.write_buffer_bytes = 64 << 10;
  options.sync = false;
  constexpr std::uint64_t kEntries = 2000;
  for (int round = 0; round < 2; ++round) {
    auto log = Log::Open(options);
    ASSERT_TRUE(log.ok()) << log.status().ToString();
    for (std::uint64_t i = (*log)->Seq(); i < kEntries; ++i) {
      ASSERT_TRUE((*log)->Append(std::string(15'000, 'x')).ok()) << i;
    }
    for (std::uint64_t i = 1; i <= kEntries; ++i) ASSERT_TRUE((*log)->Read(i).ok()) << i;
    EXPECT_LE(OpenTables(), 64U) << "RocksDB rounds up to a table a shard of its cache";
    ASSERT_TRUE((*log)->Close().ok());
  }
  std::size_t tables = 0;
  for (const auto& file : std::filesystem::directory_iterator(folder / "log/log")) {
    if (file.path().extension() == ".sst") ++tables;
  }
  EXPECT_GT(tables, 100U);
}

}  // namespace
}  // namespace raftkv::test
