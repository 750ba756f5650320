// Do the threads of a store leave the signals to the host, and do keys stay out of core dumps?
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "lib/base/thread.h"
#include "tests/storage/member/store_world.h"
#include "tests/support/process/process.h"

namespace raftkv::test {
namespace {

std::set<std::string> Threads() {
  std::set<std::string> threads;
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
    threads.insert(thread.path().filename());
  }
  return threads;
}

/// A line of /proc/self/task/.../status, without its name; empty: the thread has ended.
std::string StatusLine(const std::string& thread, const std::string& name) {
  std::ifstream status("/proc/self/task/" + thread + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(name + ":")) return line.substr(name.size() + 2);
  }
  return {};
}

// Those of RocksDB and of the scrubber as well. SIGTERM, SIGCHLD, SIGALRM: whatever the host
// handles on one of its threads must not be taken by one of these.
TEST(NoSignals, EachThreadThatAStoreStartsBlocksAllSignals) {
  const std::set<std::string> before = Threads();
  // RocksDB keeps its threads: another test of this process may have started them.
  const bool kept = std::any_of(before.begin(), before.end(), [](const std::string& thread) {
    return StatusLine(thread, "Name").starts_with("rocksdb:");
  });
  const TempFolder folder;
  StoreWorld world;
  world.options.env = nullptr;
  world.options.dir = folder / "n1";
  world.options.scrub_bytes_per_second = 1 << 20;
  world.options.scrub_pause = std::chrono::milliseconds(1);
  ASSERT_TRUE(world.Open().ok());
  ASSERT_TRUE(world.Form().ok());
  std::map<std::string, int> names;
  for (const std::string& thread : Threads()) {
    if (before.contains(thread)) continue;
    const std::string name = StatusLine(thread, "Name");
    const std::string blocked = StatusLine(thread, "SigBlk");
    if (blocked.empty()) continue;
    ++names[name];
    const std::uint64_t mask = std::stoull(blocked, nullptr, 16);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGCHLD, SIGALRM, SIGUSR1, SIGXFSZ}) {
      EXPECT_NE(mask & (std::uint64_t{1} << (signal - 1)), 0U) << name << " " << blocked;
    }
  }
  EXPECT_GE(names.size(), 3U);
  EXPECT_TRUE(kept || names.contains("rocksdb:low")) << "RocksDB has threads of its own";
}

TEST(NoSignals, TheThreadThatOpensHasItsMaskBack) {
  sigset_t before;
  ASSERT_EQ(pthread_sigmask(SIG_SETMASK, nullptr, &before), 0);
  {
    const SignalsBlocked none;
    sigset_t during;
    ASSERT_EQ(pthread_sigmask(SIG_SETMASK, nullptr, &during), 0);
    EXPECT_EQ(sigismember(&during, SIGTERM), 1);
  }
  sigset_t after;
  ASSERT_EQ(pthread_sigmask(SIG_SETMASK, nullptr, &after), 0);
  for (int signal = 1; signal < 32; ++signal) {
    EXPECT_EQ(sigismember(&after, signal), sigismember(&before, signal)) << signal;
  }
}

}  // namespace
}  // namespace raftkv::test
