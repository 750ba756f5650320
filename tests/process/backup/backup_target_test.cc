// What does `snapshot` do with a FILE that is no regular one, and with what a killed save has left?
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/process/process_cluster.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

// One cluster for all tests here.
class BackupTarget : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    cluster_ = new ProcessCluster({.members = 1, .flags = {}});
    ASSERT_TRUE(cluster_->StartAll());
    ASSERT_EQ(cluster_->Cli({"put", "key", "value"}).exit_code, 0);
  }
  static void TearDownTestSuite() {
    delete cluster_;
    cluster_ = nullptr;
  }

  static RunResult Save(const std::string& file) {
    return cluster_->Cli({"snapshot", "save", file});
  }
  static std::string SaveCommand(const std::string& file) {
    return std::string(RAFTKV_BINARY) + " snapshot save " + file + " --endpoints " +
           cluster_->endpoints();
  }
  std::unique_ptr<Process> Start(std::vector<std::string> command) {
    return std::make_unique<Process>(ProcessOptions{.command = std::move(command),
                                                    .environment = {},
                                                    .stdin_content = {},
                                                    .stdout_path = folder_ / "stdout",
                                                    .stderr_path = folder_ / "stderr"});
  }
  int Bash(const std::string& command) {
    return Start({"/bin/bash", "-c", "set -o pipefail; " + command})->WaitForExit(60s).value_or(-1);
  }
  static void ExpectBackup(const std::string& file) {
    const RunResult status = RunRaftkv({"snapshot", "status", file});
    EXPECT_EQ(status.exit_code, 0) << status.err;
  }
  [[nodiscard]] std::size_t Parts() const {
    std::size_t parts = 0;
    for (const auto& entry : fs::directory_iterator(folder_.path())) {
      parts += entry.path().extension() == ".part" ? 1 : 0;
    }
    return parts;
  }

  static ProcessCluster* cluster_;
  const TempFolder folder_;
};
ProcessCluster* BackupTarget::cluster_ = nullptr;

TEST_F(BackupTarget, ADeviceIsWrittenToAndNotReplaced) {
  // Who is not root can make no devices, and cannot replace those of the machine either.
  const bool root = geteuid() == 0;
  const std::string null = root ? folder_ / "null" : "/dev/null";
  const std::string full = root ? folder_ / "full" : "/dev/full";
  if (root) {
    ASSERT_EQ(mknod(null.c_str(), S_IFCHR | 0666, makedev(1, 3)), 0);
    ASSERT_EQ(mknod(full.c_str(), S_IFCHR | 0666, makedev(1, 7)), 0);
  }
  EXPECT_EQ(Save(null).exit_code, 0);
  EXPECT_TRUE(fs::is_character_file(null));
  const RunResult saved = Save(full);
  EXPECT_EQ(saved.exit_code, 6) << saved.err;
  EXPECT_NE(saved.err.find("No space left on device"), std::string::npos) << saved.err;
  EXPECT_TRUE(fs::is_character_file(full));
  EXPECT_EQ(Parts(), 0U);
  if (!root) return;
  // Of memory, in case somebody writes to it after all.
  const std::string disk = folder_ / "disk";
  ASSERT_EQ(mknod(disk.c_str(), S_IFBLK | 0600, makedev(1, 0)), 0);
  const RunResult refused = Save(disk);
  EXPECT_EQ(refused.exit_code, 6) << refused.err;
  EXPECT_NE(refused.err.find("is a disk"), std::string::npos) << refused.err;
  EXPECT_TRUE(fs::is_block_file(disk));
  EXPECT_EQ(Parts(), 0U);
}

TEST_F(BackupTarget, APipeIsWrittenToAndReadFrom) {
  const std::string pipe = folder_ / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  const std::string copy = folder_ / "copy";
  EXPECT_EQ(Bash("cat " + pipe + " >" + copy + " & " + SaveCommand(pipe) + " && wait $!"), 0)
      << ReadFile(folder_ / "stderr");
  EXPECT_TRUE(fs::is_fifo(pipe));
  ExpectBackup(copy);
  EXPECT_EQ(Bash("cat " + copy + " >" + pipe + " & " + RAFTKV_BINARY + " snapshot status " + pipe),
            0);
  EXPECT_EQ(Bash("cat " + copy + " >" + pipe + " & " + RAFTKV_BINARY + " snapshot restore " + pipe +
                 " --data-dir " + (folder_ / "data") + " --name n1 --cluster n1=127.0.0.1:7001"),
            0)
      << ReadFile(folder_ / "stderr");
}

TEST_F(BackupTarget, ALinkIsFollowed) {
  fs::create_directory(folder_ / "elsewhere");
  const std::string target = folder_ / "elsewhere/target";
  const std::string link = folder_ / "link";
  const std::string chain = folder_ / "chain";
  fs::create_symlink("elsewhere/target", link);
  fs::create_symlink(link, chain);
  for (const std::string& file : {link, chain}) {  // first it dangles
    EXPECT_EQ(Save(file).exit_code, 0);
    EXPECT_TRUE(fs::is_symlink(file));
    EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(target)));
    ExpectBackup(target);
    fs::remove(target);
  }
  const std::string loop = folder_ / "loop";
  fs::create_symlink("loop", loop);
  EXPECT_EQ(Save(loop).exit_code, 6);
  EXPECT_TRUE(fs::is_symlink(loop));
  const RunResult folder = Save(folder_ / "elsewhere");
  EXPECT_EQ(folder.exit_code, 6) << folder.err;
  EXPECT_NE(folder.err.find("is a folder"), std::string::npos) << folder.err;
}

TEST_F(BackupTarget, ADashIsStdout) {
  const std::string file = folder_ / "file";
  EXPECT_EQ(Bash(SaveCommand("-") + " | cat >" + file), 0);
  ExpectBackup(file);
  WriteFile(file, "");
  EXPECT_EQ(Bash(SaveCommand("-") + " -w json >>" + file), 0);
  ExpectBackup(file);
  EXPECT_FALSE(fs::exists("-"));
  EXPECT_EQ(Bash(SaveCommand("-") + " >/dev/full"), 6);
  EXPECT_EQ(Bash(SaveCommand("-") + " >&-"), 6);
  EXPECT_EQ(Bash(SaveCommand("-") + " | exec 0<&-"), 6) << ReadFile(folder_ / "stderr");
  EXPECT_EQ(Bash(SaveCommand("/dev/stdout") + " | cat >" + file), 0);
}

TEST_F(BackupTarget, ThePartOfAKilledSaveGoesWithTheNext) {
  const std::string file = folder_ / "b";
  WriteFile(folder_ / "b.1234567890.part", "of a save that was killed");
  WriteFile(folder_ / "b.other.part", "somebody else's");
  WriteFile(folder_ / "c.1234567890.part", "of another file");
  // One that is being written is locked.
  const std::string running = folder_ / "b.77.part";
  WriteFile(running, "of a save that goes on");
  const auto holder = Start({"/usr/bin/flock", running, "/bin/sleep", "100"});
  ASSERT_TRUE(WaitFor(20s, [&] { return Bash("flock -n " + running + " true") != 0; }));
  EXPECT_EQ(Save(file).exit_code, 0);
  ExpectBackup(file);
  EXPECT_FALSE(fs::exists(folder_ / "b.1234567890.part"));
  EXPECT_TRUE(fs::exists(folder_ / "b.other.part"));
  EXPECT_TRUE(fs::exists(folder_ / "c.1234567890.part"));
  EXPECT_TRUE(fs::exists(running));
  EXPECT_EQ(Parts(), 3U);
}

TEST_F(BackupTarget, TheFirstSignalEndsWhatWaits) {
  const std::string pipe = folder_ / "silent";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  const std::string sparse = folder_ / "sparse";
  WriteFile(sparse, "");
  fs::resize_file(sparse, std::uintmax_t{1} << 40);
  for (const std::string& file : {pipe, std::string("/dev/zero"), sparse}) {
    for (const int signal : {SIGINT, SIGTERM}) {
      const auto status = Start({RAFTKV_BINARY, "snapshot", "status", file});
      // Handlers are set before the file is opened.
      const std::string path = "/proc/" + std::to_string(status->pid()) + "/status";
      WaitFor(10s, [&] {
        const std::string text = ReadFile(path);
        const auto caught = text.find("SigCgt:");
        return !status->Running() || (caught != std::string::npos &&
                                      (std::stoull(text.substr(caught + 8), nullptr, 16) & 2) != 0);
      });
      status->Signal(signal);
      const auto exit_code = status->WaitForExit(20s);
      ASSERT_TRUE(exit_code.has_value()) << file;
      EXPECT_TRUE(*exit_code == 1 || *exit_code == 6) << *exit_code;
    }
  }
  const auto save = Start({"/bin/bash", "-c", "exec " + SaveCommand(pipe)});
  ASSERT_TRUE(WaitFor(20s, [&] {
    const std::string text = ReadFile("/proc/" + std::to_string(save->pid()) + "/status");
    const auto caught = text.find("SigCgt:");
    return text.find("Name:\traftkv") == 0 && caught != std::string::npos &&
           (std::stoull(text.substr(caught + 8), nullptr, 16) & 2) != 0;
  }));
  save->Signal(SIGINT);
  EXPECT_EQ(save->WaitForExit(20s), 1) << save->Stderr();
  EXPECT_TRUE(fs::is_fifo(pipe));
}

TEST_F(BackupTarget, AMissingFileIsNamedOnce) {
  const std::string file = folder_ / "nothing";
  const RunResult status = RunRaftkv({"snapshot", "status", file});
  EXPECT_EQ(status.exit_code, 6);
  EXPECT_EQ(status.err, "raftkv: could not open " + file + ": No such file or directory\n");
  const RunResult save = Save(folder_ / "no/folder");
  EXPECT_EQ(save.exit_code, 6);
  const auto reason = save.err.find("No such file or directory");
  ASSERT_NE(reason, std::string::npos) << save.err;
  EXPECT_EQ(save.err.find("No such file or directory", reason + 1), std::string::npos) << save.err;
}

TEST_F(BackupTarget, ABackupIsNoWarning) {
  EXPECT_EQ(Save(folder_ / "b").exit_code, 0);
  EXPECT_EQ(cluster_->process(0).Stderr().find("File Deletions"), std::string::npos)
      << cluster_->process(0).Stderr();
}

}  // namespace
}  // namespace raftkv::test
