// Does a verb say so where what it reads or writes fails, instead of taking a part for the whole?
#include <fcntl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/process/process_cluster.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;

// One cluster for all tests here: each uses keys of its own.
class Streams : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    cluster_ = new ProcessCluster({.members = 1, .flags = {}});
    ASSERT_TRUE(cluster_->StartAll());
  }
  static void TearDownTestSuite() {
    delete cluster_;
    cluster_ = nullptr;
  }

  /// Runs `raftkv ARGUMENTS` as bash does with these redirections.
  static RunResult Shell(const std::string& arguments) {
    const TempFolder folder;
    Process process({.command = {"/bin/bash", "-c",
                                 std::string(RAFTKV_BINARY) + " --endpoints " +
                                     cluster_->endpoints() + " " + arguments},
                     .environment = {},
                     .stdin_content = {},
                     .stdout_path = folder / "stdout",
                     .stderr_path = folder / "stderr"});
    RunResult result;
    result.exit_code = process.WaitForExit(60s).value_or(-1);
    result.out = process.Stdout();
    result.err = process.Stderr();
    return result;
  }
  static void ExpectAbsent(const std::string& key) {
    EXPECT_EQ(cluster_->Cli({"get", key, "--count-only"}).out, "0\n") << key;
  }

  static ProcessCluster* cluster_;
};
ProcessCluster* Streams::cluster_ = nullptr;

TEST_F(Streams, AValueThatCannotBeReadIsNotWritten) {
  for (const char* const input : {"</tmp", "<&-", "0>/dev/null"}) {
    const RunResult put = Shell(std::string("put unread ") + input);
    EXPECT_EQ(put.exit_code, 6) << input << put.err;
    EXPECT_EQ(put.ErrorLines(), 1U) << put.err;
    EXPECT_NE(put.err.find("stdin cannot be read: "), std::string::npos) << put.err;
    EXPECT_EQ(put.out, "");
    ExpectAbsent("unread");
  }
}

/// The master of a terminal whose other end wrote `content` and went away: a read gives the
/// content, the next one EIO. -1: there is no terminal to be had.
int TerminalThatBreaksBehind(const std::string& content) {
  const int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) return -1;
  const int slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
  termios raw{};
  if (slave < 0 || tcgetattr(slave, &raw) != 0) return -1;
  cfmakeraw(&raw);
  if (tcsetattr(slave, TCSANOW, &raw) != 0) return -1;
  const ssize_t written = write(slave, content.data(), content.size());
  close(slave);
  return written == static_cast<ssize_t>(content.size()) ? master : -1;
}

TEST_F(Streams, AValueIsNotCutOffWhereALaterReadFails) {
  for (const std::size_t bytes : {1, 3000}) {
    const int stdin_file = TerminalThatBreaksBehind(std::string(bytes, 'v'));
    ASSERT_GE(stdin_file, 0);
    const TempFolder folder;
    Process put({.command = {RAFTKV_BINARY, "--endpoints", cluster_->endpoints(), "put", "broken"},
                 .environment = {},
                 .stdin_content = {},
                 .stdout_path = folder / "stdout",
                 .stderr_path = folder / "stderr",
                 .files = {stdin_file, -1, -1}});
    const std::optional<int> exit_code = put.WaitForExit(60s);
    close(stdin_file);
    EXPECT_EQ(exit_code, 6) << put.Stderr();
    EXPECT_NE(put.Stderr().find("stdin cannot be read: "), std::string::npos) << put.Stderr();
    ExpectAbsent("broken");
  }
}

TEST_F(Streams, AnEndlessValueIsTooLarge) {
  const RunResult put = Shell("put endless </dev/zero");
  EXPECT_EQ(put.exit_code, 3) << put.err;
  ExpectAbsent("endless");
}

TEST_F(Streams, AnEmptyAndASlowValueAreWhole) {
  EXPECT_EQ(Shell("put empty </dev/null").exit_code, 0);
  EXPECT_EQ(cluster_->Cli({"get", "empty"}).out, "empty\n\n");
  EXPECT_EQ(Shell("put slow < <(printf one; while ! [ -e /proc/self ]; do :; done; printf two)")
                .exit_code,
            0);
  EXPECT_EQ(cluster_->Cli({"get", "slow"}).out, "slow\nonetwo\n");
}

TEST_F(Streams, AnAnswerThatCannotBePrintedIsNoSuccess) {
  ASSERT_EQ(cluster_->Cli({"put", "printed", std::string(100'000, 'v')}).exit_code, 0);
  for (const char* const verb : {"get printed", "get printed -w json", "put printed x",
                                 "incr count", "endpoint status", "endpoint health", "member list",
                                 "version", "--help", "get --help", "bench put --total 10"}) {
    for (const char* const output : {">/dev/full", ">&-"}) {
      const RunResult run = Shell(std::string(verb) + " " + output);
      EXPECT_EQ(run.exit_code, 1) << verb << output << run.err;
      EXPECT_NE(run.err.find("stdout cannot be written to"), std::string::npos) << run.err;
    }
  }
  const RunResult gone = Shell("get printed --print-value-only | exec 0<&-; exit ${PIPESTATUS[0]}");
  EXPECT_NE(gone.exit_code, 0);
}

// Without care the first file that a member opens gets the number of stdout, or of stderr.
TEST_F(Streams, AMemberWithoutStandardFilesKeepsItsDataWhole) {
  const TempFolder folder;
  const std::string address = FreeAddress();
  const std::string serve = "exec " + std::string(RAFTKV_BINARY) + " serve --log-level trace" +
                            " --data-dir " + (folder / "data") + " --listen " + address;
  for (int run = 0; run < 2; ++run) {
    Process process({.command = {"/bin/bash", "-c", serve + " <&- >&- 2>&-"},
                     .environment = {},
                     .stdin_content = {},
                     .stdout_path = folder / "stdout",
                     .stderr_path = folder / "stderr"});
    ASSERT_TRUE(WaitFor(30s, [&] {
      return RunRaftkv({"put", "k" + std::to_string(run), "v", "--endpoints", address}).exit_code ==
             0;
    }));
    for (const char* const file : {"0", "1", "2"}) {
      const auto link = "/proc/" + std::to_string(process.pid()) + "/fd/" + file;
      EXPECT_EQ(std::filesystem::read_symlink(link), "/dev/null") << link;
    }
    process.Signal(SIGTERM);
    EXPECT_EQ(process.WaitForExit(30s), 0);
  }
}

TEST_F(Streams, MaelstromSaysThatItCouldNotReadOrWrite) {
  const RunResult unread = Shell("maelstrom </tmp");
  EXPECT_EQ(unread.exit_code, 6) << unread.err;
  EXPECT_NE(unread.err.find("stdin cannot be read: "), std::string::npos) << unread.err;
  const RunResult full =
      Shell(R"(maelstrom --log-level off >/dev/full <<< '{"src":"c0","dest":"n1","body":)"
            R"({"type":"init","msg_id":1,"node_id":"n1","node_ids":["n1"]}}')");
  EXPECT_EQ(full.exit_code, 1) << full.err;
  EXPECT_NE(full.err.find("stdout cannot be written to: "), std::string::npos) << full.err;
}

TEST_F(Streams, FilesThatAreNone) {
  for (const char* const file : {"/tmp", "/proc/self/mem", "/dev/zero"}) {
    const RunResult config = Shell(std::string("serve --config ") + file);
    EXPECT_EQ(config.exit_code, 128) << file << config.err;
    EXPECT_NE(config.err.find(file), std::string::npos) << config.err;
    const TempFolder folder;
    const RunResult key =
        Shell("serve --data-dir " + (folder / "data") + " --encryption-key-file " + file);
    EXPECT_EQ(key.exit_code, 128) << file << key.err;
    EXPECT_NE(key.err.find(file), std::string::npos) << key.err;
  }
}

class CutStreams : public Streams {
 protected:
  static void SetUpTestSuite() {
    Streams::SetUpTestSuite();
    const std::string value(1024 * 1024, 'x');
    for (int i = 10; i < 34; ++i) {
      const std::vector<std::string> put = {"put", "cut/" + std::to_string(i)};
      ASSERT_EQ(cluster_->Cli(put, {.environment = {}, .stdin_content = value}).exit_code, 0);
    }
  }
  /// It ended with the timeout, and left a document that says so.
  static void ExpectCut(const RunResult& get) {
    EXPECT_EQ(get.exit_code, 2) << get.err;
    const auto json = nlohmann::json::parse(get.out, nullptr, /*allow_exceptions=*/false);
    ASSERT_TRUE(json.is_object()) << get.out.substr(0, 200);
    EXPECT_EQ(json["more"], true);
    EXPECT_EQ(json["count"], json["kvs"].size());
    EXPECT_NE(json.value("error", ""), "");
  }
};

TEST_F(CutStreams, ATimeoutLeavesAWholeDocument) {
  // Nobody takes the first page in time for a second one.
  ExpectCut(
      Shell("get cut/ --prefix -w json --timeout 3s | (read -N 1 -t 4 first; read -N 1 -t 0.1 x; "
            "until [ -e /proc/nothing ] || (( SECONDS > 5 )); do :; done; printf '%s' \"$first$x\";"
            " cat); exit ${PIPESTATUS[0]}"));
}

TEST_F(CutStreams, AMemberThatStopsAnsweringLeavesAWholeDocument) {
  const std::string member = std::to_string(cluster_->process(0).pid());
  const RunResult get =
      Shell("get cut/ --prefix -w json --timeout 2s | (read -N 1 first; kill -STOP " + member +
            "; printf '%s' \"$first\"; cat); exit ${PIPESTATUS[0]}");
  cluster_->Continue(0);
  ExpectCut(get);
}

}  // namespace
}  // namespace raftkv::test
