// Does no file of real members hold plaintext, and what does the command line say of keys?
#include <chrono>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/process/key_files.h"
#include "tests/support/process/process_cluster.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;

constexpr char kKeyMarker[] = "name-of-a-key-nobody-else-has";
constexpr char kValueMarker[] = "value-that-stands-nowhere-else";
constexpr std::uint64_t kKeepEntries = 200;

ProcessClusterOptions WithKeys(const std::vector<std::string>& key_files) {
  ProcessClusterOptions options;
  options.members = key_files.size();
  options.flags = {"--log-keep-entries", std::to_string(kKeepEntries), "--log-keep-bytes", "1MiB"};
  for (const std::string& file : key_files) {
    options.member_flags.push_back(file.empty()
                                       ? std::vector<std::string>()
                                       : std::vector<std::string>{"--encryption-key-file", file});
  }
  return options;
}

/// Files of all members that hold one of the markers, or how a RocksDB names its options.
std::vector<std::string> FilesWithPlaintext(const ProcessCluster& cluster) {
  std::vector<std::string> found;
  for (std::size_t member = 0; member < cluster.size(); ++member) {
    std::error_code gone;  // files come and go
    for (std::filesystem::recursive_directory_iterator it(cluster.data_dir(member), gone), end;
         it != end && !gone; it.increment(gone)) {
      std::error_code one;
      if (!it->is_regular_file(one)) continue;
      const std::string content = ReadFile(it->path());
      for (const char* marker : {kKeyMarker, kValueMarker, "raftkvrc", "rocksdb"}) {
        if (content.find(marker) == std::string::npos) continue;
        found.push_back(it->path().string() + ": " + marker);
        break;
      }
    }
  }
  return found;
}

void PutMarkers(ProcessCluster& cluster, int first, int count) {
  const auto client = cluster.Connect();
  for (int i = first; i < first + count; ++i) {
    const std::string number = std::to_string(i);
    ASSERT_TRUE(client->kv().Put(kKeyMarker + number, kValueMarker + number).ok());
  }
}

/// The log of the leader begins behind what `away`, which is killed, has.
void LeaveBehind(ProcessCluster& cluster, std::size_t leader, std::size_t away) {
  const auto before = cluster.Status(away);
  ASSERT_TRUE(before.ok());
  cluster.Kill(away);
  PutMarkers(cluster, 1000, 20);
  ASSERT_EQ(cluster
                .Cli({"bench", "put", "--total", "3000", "--value-size", "200"},
                     {.environment = {}, .stdin_content = {}, .timeout = 120s})
                .exit_code,
            0);
  PutMarkers(cluster, 2000, 20);
  ASSERT_TRUE(WaitFor(60s, [&] {
    const auto status = cluster.Status(leader);
    return status.ok() && status->node.log_first_index > before->node.log_last_index + 1;
  })) << "the log is not cut";
}

void ExpectEqualContent(ProcessCluster& cluster) {
  const auto statuses = cluster.WaitUntilEqual(30s);
  ASSERT_EQ(statuses.size(), cluster.size()) << "the members do not reach an equal index";
  for (const auto& status : statuses) EXPECT_EQ(status.content_hash, statuses[0].content_hash);
}

/// All that puts bytes on a disk: writes, a cut log, a snapshot sent and installed, kills, a clean
/// stop. `look` is called at each stage.
template <class Look>
void LiveWith(const std::vector<std::string>& key_files, const Look& look) {
  ProcessCluster cluster(WithKeys(key_files));
  ASSERT_TRUE(cluster.StartAll());
  PutMarkers(cluster, 0, 50);
  const auto leader = cluster.WaitForLeader(10s);
  ASSERT_TRUE(leader.has_value());
  const std::size_t away = (*leader + 1) % 3;
  ASSERT_EQ(cluster.WaitUntilEqual(10s).size(), 3U);
  ASSERT_NO_FATAL_FAILURE(LeaveBehind(cluster, *leader, away));
  ASSERT_TRUE(cluster.Start(away));
  ASSERT_TRUE(cluster.process(away).WaitForStderr("received the snapshot at entry", 60s));
  ExpectEqualContent(cluster);
  look(cluster, "running");
  for (std::size_t i = 0; i < 3; ++i) cluster.Kill(i);
  look(cluster, "killed");
  ASSERT_TRUE(cluster.StartAll());
  EXPECT_EQ(cluster.Cli({"get", std::string(kKeyMarker) + "7", "--print-value-only"}).out,
            std::string(kValueMarker) + "7\n");
  ExpectEqualContent(cluster);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(cluster.Terminate(i, 10s), 0);
  look(cluster, "stopped");
}

TEST(Encryption, NoFileHoldsPlaintext) {
  int looked = 0;
  LiveWith({KeyFile(1), KeyFile(2), KeyFile(3)},
           [&](const ProcessCluster& cluster, const std::string& stage) {
             EXPECT_EQ(FilesWithPlaintext(cluster), std::vector<std::string>()) << stage;
             ++looked;
           });
  EXPECT_EQ(looked, 3);
}

TEST(Encryption, WithoutItTheSameSearchFindsPlaintext) {
  LiveWith({"", "", ""}, [](const ProcessCluster& cluster, const std::string& stage) {
    EXPECT_GT(FilesWithPlaintext(cluster).size(), 9U) << stage;
  });
}

TEST(Encryption, ASnapshotGoesToAMemberWithoutAKeyAndBack) {
  ProcessCluster cluster(WithKeys({KeyFile(1), KeyFile(2), ""}));
  ASSERT_TRUE(cluster.StartAll());
  PutMarkers(cluster, 0, 20);
  struct Way {
    std::size_t from = 0;
    std::size_t to = 0;
  };
  for (const Way& way : {Way{0, 2}, Way{2, 1}}) {
    ASSERT_TRUE(WaitFor(20s, [&] {
      if (cluster.WaitForLeader(5s) == way.from) return true;
      static_cast<void>(cluster.Cli({"move-leader", cluster.name(way.from)}));
      return false;
    }));
    ASSERT_EQ(cluster.WaitUntilEqual(10s).size(), 3U);
    ASSERT_NO_FATAL_FAILURE(LeaveBehind(cluster, way.from, way.to));
    ASSERT_TRUE(cluster.Start(way.to));
    ASSERT_TRUE(cluster.process(way.to).WaitForStderr("received the snapshot at entry", 60s));
    ExpectEqualContent(cluster);
  }
}

// --- The command line.

std::map<std::string, std::string> Everything(const std::filesystem::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    files[entry.path()] = entry.is_regular_file() ? ReadFile(entry.path()) : "";
  }
  return files;
}

class Keys : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(cluster_.StartAll());
    ASSERT_EQ(cluster_.Cli({"put", kKeyMarker, kValueMarker}).exit_code, 0);
    cluster_.Kill(0);
  }

  /// Runs with these arguments: refused with one line that contains `words`.
  void ExpectRefused(std::vector<std::string> arguments, int exit_code, const std::string& words,
                     const RunOptions& options = {}) {
    const auto before = Everything(cluster_.data_dir(0));
    arguments.insert(arguments.end(), {"--data-dir", cluster_.data_dir(0)});
    const RunResult result = RunRaftkv(arguments, options);
    EXPECT_EQ(result.exit_code, exit_code) << result.err;
    EXPECT_EQ(result.ErrorLines(), 1U) << result.err;
    EXPECT_NE(result.err.find(words), std::string::npos) << result.err;
    EXPECT_EQ(Everything(cluster_.data_dir(0)), before);
  }
  std::vector<std::string> Serve(const std::string& key_file) {
    std::vector<std::string> arguments = {
        "serve", "--name", "n1", "--listen", cluster_.address(0), "--log-level", "warn"};
    if (!key_file.empty()) {
      arguments.insert(arguments.end(), {"--encryption-key-file", key_file});
    }
    return arguments;
  }
  void ExpectServing(const std::string& key_file) {
    std::vector<std::string> command = Serve(key_file);
    command.insert(command.begin(), RAFTKV_BINARY);
    command.insert(command.end(), {"--data-dir", cluster_.data_dir(0)});
    Process process({.command = command,
                     .environment = {},
                     .stdin_content = {},
                     .stdout_path = cluster_.folder() / "again.stdout",
                     .stderr_path = cluster_.folder() / "again.stderr"});
    ASSERT_TRUE(process.WaitForLine("ready", 20s)) << process.Stderr();
    EXPECT_EQ(cluster_.Cli({"get", kKeyMarker, "--print-value-only"}).out,
              std::string(kValueMarker) + "\n");
    process.Kill();
  }

  ProcessCluster cluster_{WithKeys({KeyFile(1)})};
};

TEST_F(Keys, AWrongKeyIsRefusedWithOneLine) {
  ExpectRefused(Serve(KeyFile(2)), 1, "encrypted with another key");
  ExpectRefused(Serve(""), 1, "name its key with --encryption-key-file");
  ExpectRefused(Serve("/no/such/file"), 128, "/no/such/file: No such file");
  ExpectRefused(Serve(""), 1, "encrypted with another key",
                {.environment = {{"RAFTKV_ENCRYPTION_KEY_FILE", KeyFile(2)}},
                 .stdin_content = {},
                 .timeout = 15s});
  ExpectRefused({"rekey", "--old-key-file", KeyFile(2), "--new-key-file", KeyFile(3)}, 1,
                "is not the key");
  ExpectRefused({"rekey"}, 128, "--new-key-file");
  ExpectServing(KeyFile(1));
}

TEST_F(Keys, RekeyChangesTakesAndGivesOne) {
  const std::string dir = cluster_.data_dir(0);
  RunResult done = RunRaftkv(
      {"rekey", "--data-dir", dir, "--old-key-file", KeyFile(1), "--new-key-file", KeyFile(2)});
  EXPECT_EQ(done.exit_code, 0) << done.err;
  EXPECT_NE(done.out.find("is encrypted with the key in " + KeyFile(2)), std::string::npos)
      << done.out;
  ExpectRefused(Serve(KeyFile(1)), 1, "encrypted with another key");
  ExpectServing(KeyFile(2));
  EXPECT_EQ(FilesWithPlaintext(cluster_), std::vector<std::string>());

  done = RunRaftkv({"rekey", "--data-dir", dir, "--old-key-file", KeyFile(2)});
  EXPECT_EQ(done.exit_code, 0) << done.err;
  EXPECT_NE(done.out.find("is not encrypted"), std::string::npos) << done.out;
  ExpectRefused(Serve(KeyFile(2)), 1, "raftkv rekey");
  ExpectServing("");
  EXPECT_GT(FilesWithPlaintext(cluster_).size(), 2U);

  done = RunRaftkv({"rekey", "--data-dir", dir, "--new-key-file", KeyFile(3)});
  EXPECT_EQ(done.exit_code, 0) << done.err;
  EXPECT_EQ(FilesWithPlaintext(cluster_), std::vector<std::string>());
  ExpectServing(KeyFile(3));
}

TEST_F(Keys, RekeyKeepsOffAFolderInUse) {
  ASSERT_TRUE(cluster_.Start(0));
  const RunResult refused =
      RunRaftkv({"rekey", "--data-dir", cluster_.data_dir(0), "--old-key-file", KeyFile(1)});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_NE(refused.err.find("is in use by another process"), std::string::npos) << refused.err;
  EXPECT_EQ(cluster_.Cli({"get", kKeyMarker, "--print-value-only"}).out,
            std::string(kValueMarker) + "\n");
}

}  // namespace
}  // namespace raftkv::test
