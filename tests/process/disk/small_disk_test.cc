// What does a member need of a disk at least, and is a limit on files a full disk?
#include <sys/resource.h>
#include <sys/statvfs.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "lib/base/bytes.h"
#include "lib/base/random.h"
#include "tests/support/process/mounts.h"
#include "tests/support/process/process_cluster.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kMiB = 1 << 20;
constexpr std::uint64_t kDefaultReserve = 16 * kMiB;

std::string Noise(Random& chance, std::size_t bytes) {
  std::string value;
  while (value.size() < bytes) AppendBigEndian64(value, chance.Next());
  return value;
}

std::uint64_t TakenOn(const std::filesystem::path& folder) {
  struct statvfs disk {};
  EXPECT_EQ(statvfs(folder.c_str(), &disk), 0);
  return std::uint64_t{disk.f_blocks - disk.f_bfree} * disk.f_frsize;
}

int Count(const std::string& text, const std::string& what) {
  int found = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) {
    ++found;
  }
  return found;
}

TEST(SmallDisk, OnADiskOf120MiBAMemberTakesWritesAsOnALargeOne) {
  ASSERT_EQ(MakeMountsPrivate(), "");
  ProcessCluster cluster({.members = 1});
  const SmallDisk disk(cluster.data_dir(0), 120 * kMiB);
  ASSERT_EQ(disk.problem(), "");
  ASSERT_TRUE(cluster.StartAll());
  ASSERT_EQ(cluster.Cli({"put", "k", "v"}).exit_code, 0);
  const std::uint64_t empty = TakenOn(cluster.data_dir(0)) - kDefaultReserve;
  RecordProperty("empty_member_bytes", std::to_string(empty));
  EXPECT_LE(empty, 4 * kMiB) << "what an empty member takes beside its reserve";
  const auto client = cluster.Connect();
  Random chance(1);
  for (int i = 0; i < 300; ++i) {
    const auto put = client->kv().Put("k" + std::to_string(i), Noise(chance, 100'000));
    ASSERT_TRUE(put.ok()) << i << ": " << put.status().ToString();
  }
  const std::string said = cluster.process(0).Stderr();
  EXPECT_EQ(Count(said, "no space is left on the disk"), 0) << said;
  EXPECT_EQ(Count(said, "has space again"), 0) << said;
}

/// Puts that are repeated whatever becomes of them, until it ends.
class Insistent {
 public:
  explicit Insistent(KV& kv) {
    for (int i = 0; i < 8; ++i) {
      threads_.emplace_back([this, &kv, i] {
        Random chance(static_cast<std::uint64_t>(i) + 1);
        for (int n = 0; !stopping_; ++n) {
          const std::string key = std::to_string(i) + "/" + std::to_string(n);
          if (!kv.Put(key, Noise(chance, 4096), {.timeout = 5s}).ok()) {
            ++refused_;
            WaitFor(10ms, [this] { return stopping_.load(); });
          }
        }
      });
    }
  }
  ~Insistent() {
    stopping_ = true;
    for (std::thread& thread : threads_) thread.join();
  }
  [[nodiscard]] int refused() const { return refused_; }

 private:
  std::atomic<bool> stopping_{false};
  std::atomic<int> refused_{0};
  std::vector<std::thread> threads_;
};

// What the log and the compactions give back is taken by the next puts.
TEST(SmallDisk, OneThatPutsFillIsFullOnceInHalfAMinuteAndSaysSoInOneLine) {
  ASSERT_EQ(MakeMountsPrivate(), "");
  ProcessCluster cluster({.members = 1});
  const SmallDisk disk(cluster.data_dir(0), 120 * kMiB);
  ASSERT_EQ(disk.problem(), "");
  ASSERT_TRUE(cluster.StartAll());
  const auto client = cluster.Connect();
  const Insistent puts(client->kv());
  const std::string full = "no space is left on the disk";
  ASSERT_TRUE(cluster.process(0).WaitForStderr(full, 120s));
  const auto begin = std::chrono::steady_clock::now();
  // For a while, since it is about what does not come.
  const bool more = WaitFor(25s, [&] { return Count(cluster.process(0).Stderr(), full) > 2; });
  const auto took = std::chrono::steady_clock::now() - begin;
  const std::string said = cluster.process(0).Stderr();
  EXPECT_TRUE(!more || took > 25s) << said;
  EXPECT_GT(puts.refused(), 0);
  EXPECT_EQ(Count(said, "not enough space for a compaction"), 0) << said;
  EXPECT_TRUE(cluster.process(0).Running());
}

TEST(SmallDisk, AReserveThatTheDiskCannotHoldIsRefusedWithFigures) {
  ASSERT_EQ(MakeMountsPrivate(), "");
  ProcessCluster cluster({.members = 1});
  const SmallDisk disk(cluster.data_dir(0), 32 * kMiB);
  ASSERT_EQ(disk.problem(), "");
  ASSERT_FALSE(cluster.Start(0));
  EXPECT_EQ(cluster.process(0).WaitForExit(20s), 128);
  const std::string said = cluster.process(0).Stderr();
  EXPECT_NE(said.find(std::to_string(kDefaultReserve) + " bytes"), std::string::npos) << said;
  EXPECT_NE(said.find(std::to_string(32 * kMiB) + " bytes in all"), std::string::npos) << said;
  EXPECT_NE(said.find("--disk-reserve"), std::string::npos) << said;
  EXPECT_TRUE(std::filesystem::is_empty(cluster.data_dir(0)));
}

/// May write files of at most `bytes` from now on.
void LimitFiles(Process& process, rlim_t bytes) {
  rlimit limit{};
  limit.rlim_cur = bytes;
  limit.rlim_max = RLIM_INFINITY;
  ASSERT_EQ(prlimit(process.pid(), RLIMIT_FSIZE, &limit, nullptr), 0);
}

// Not the end of the process: SIGXFSZ would be.
TEST(FileLimit, IsAFullDiskUntilItIsRaised) {
  ProcessClusterOptions options;
  options.members = 1;
  options.flags = {"--disk-reserve", "1MiB"};
  ProcessCluster cluster(options);
  ASSERT_TRUE(cluster.StartAll());
  ASSERT_EQ(cluster.Cli({"put", "k", "v"}).exit_code, 0);
  LimitFiles(cluster.process(0), 2 * kMiB);
  const auto client = cluster.Connect();
  Random chance(1);
  Status last;
  for (int i = 0; i < 100 && last.ok(); ++i) {
    last = client->kv().Put("k" + std::to_string(i), Noise(chance, 100'000)).status();
  }
  ASSERT_FALSE(last.ok()) << "it writes files that are larger than it may";
  RunResult put;
  EXPECT_TRUE(WaitFor(30s,
                      [&] {
                        put = cluster.Cli({"put", "k", "w"});
                        return put.exit_code == 4;
                      }))
      << put.exit_code << " " << put.err;
  EXPECT_EQ(cluster.Cli({"get", "k", "--print-value-only"}).out, "v\n");
  EXPECT_TRUE(cluster.process(0).Running()) << cluster.process(0).Stderr();
  LimitFiles(cluster.process(0), RLIM_INFINITY);
  EXPECT_TRUE(WaitFor(30s, [&] { return cluster.Cli({"put", "k", "x"}).exit_code == 0; }));
  EXPECT_EQ(cluster.Cli({"get", "k", "--print-value-only"}).out, "x\n");
  EXPECT_TRUE(cluster.process(0).Running()) << cluster.process(0).Stderr();
}

// A client writes files as well.
TEST(FileLimit, OfABackupIsSaidAndNothingIsLeft) {
  ProcessCluster cluster({.members = 1});
  ASSERT_TRUE(cluster.StartAll());
  Random chance(1);
  const auto client = cluster.Connect();
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(client->kv().Put("k" + std::to_string(i), Noise(chance, 100'000)).ok());
  }
  const std::string file = cluster.folder() / "backup";
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit small = before;
  small.rlim_cur = 64 << 10;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const RunResult saved = cluster.Cli({"snapshot", "save", file});
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_EQ(saved.exit_code, 6) << saved.err;
  EXPECT_NE(saved.err.find("File too large"), std::string::npos) << saved.err;
  EXPECT_FALSE(std::filesystem::exists(file));
}

}  // namespace
}  // namespace raftkv::test
