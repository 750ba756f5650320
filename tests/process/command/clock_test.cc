// What does a wrong wall clock do to a member?
#include <chrono>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/process/process_cluster.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;

/// A file that says by how many seconds the clock of a process is off.
class WrongClock {
 public:
  explicit WrongClock(const std::string& seconds) { Set(seconds); }
  void Set(const std::string& seconds) const { WriteFile(folder_ / "offset", seconds); }
  [[nodiscard]] std::map<std::string, std::string> environment() const {
    return {{"LD_PRELOAD", RAFTKV_CLOCK_SHIM}, {"CLOCK_SHIM_OFFSET", folder_ / "offset"}};
  }

 private:
  TempFolder folder_;
};

const char* const kBefore1970 = "-4000000000";

TEST(Clock, BeforeNineteenSeventyIsRefusedAtTheStart) {
  const TempFolder folder;
  const WrongClock clock(kBefore1970);
  const RunOptions options{.environment = clock.environment(), .stdin_content = {}, .timeout = 20s};
  for (const std::vector<std::string>& verb : std::vector<std::vector<std::string>>{
           {"serve", "--data-dir", folder / "data", "--listen", FreeAddress()},
           {"snapshot", "save", folder / "backup", "--endpoints", FreeAddress()}}) {
    const RunResult run = RunRaftkv(verb, options);
    EXPECT_EQ(run.exit_code, 1) << run.err;
    EXPECT_EQ(run.ErrorLines(), 1U) << run.err;
    EXPECT_NE(run.err.find("before the year 1970"), std::string::npos) << run.err;
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "data"));
  EXPECT_FALSE(std::filesystem::exists(folder / "backup"));
}

TEST(Clock, AJumpHarmsNothing) {
  const WrongClock clock("0");
  ProcessCluster cluster({.members = 3,
                          .member_environment = {clock.environment(), {}, clock.environment()},
                          .steady = true});
  ASSERT_TRUE(cluster.StartAll());
  int number = 0;
  // Back to the first second, into the far future, before 1970, and back.
  for (const char* const seconds : {"-1790000000", "4000000000", kBefore1970, "0"}) {
    clock.Set(seconds);
    const std::string value = std::to_string(++number);
    ASSERT_EQ(cluster.Cli({"put", "k", value}).exit_code, 0) << seconds;
    EXPECT_EQ(cluster.Cli({"get", "k", "--print-value-only"}).out, value + "\n") << seconds;
    EXPECT_EQ(cluster.Cli({"get", "k", "--print-value-only", "--consistency", "bounded"}).out,
              value + "\n");
    const std::string file = cluster.folder() / ("backup" + value);
    EXPECT_EQ(cluster.Cli({"snapshot", "save", file}).exit_code, 0) << seconds;
    EXPECT_EQ(cluster.Cli({"snapshot", "status", file}).exit_code, 0) << seconds;
    for (std::size_t i = 0; i < 3; ++i) EXPECT_TRUE(cluster.process(i).Running()) << seconds;
  }
  const auto equal = cluster.WaitUntilEqual(30s);
  ASSERT_EQ(equal.size(), 3U);
  EXPECT_EQ(equal[0].content_hash, equal[2].content_hash);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(cluster.Terminate(i, 20s), 0);
}

}  // namespace
}  // namespace raftkv::test
