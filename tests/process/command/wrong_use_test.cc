// What does wrong use get? One clear line and the right exit code; and nothing changes on disk.
#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/process/process_cluster.h"
#include "tests/support/process/process_socket.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;

// Every file below a folder, with its content.
std::map<std::string, std::string> Snapshot(const std::filesystem::path& folder) {
  std::map<std::string, std::string> files;
  if (!std::filesystem::exists(folder)) return files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    files[entry.path()] = entry.is_regular_file() ? ReadFile(entry.path()) : "";
  }
  return files;
}

// Runs `serve` with these flags: it must refuse with `exit_code` and one line that contains
// `words`.
void ExpectRefused(const std::vector<std::string>& flags, int exit_code, const std::string& words) {
  std::vector<std::string> arguments = {"serve"};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  const RunResult result =
      RunRaftkv(arguments, {.environment = {}, .stdin_content = {}, .timeout = 15s});
  EXPECT_EQ(result.exit_code, exit_code) << result.err;
  EXPECT_EQ(result.ErrorLines(), 1U) << result.err;
  EXPECT_NE(result.err.find(words), std::string::npos) << result.err;
  EXPECT_EQ(result.out, "");
}

// A cluster of one that has some data and is stopped.
class WrongUse : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(cluster_.StartAll());
    ASSERT_EQ(cluster_.Cli({"put", "key", "value"}).exit_code, 0);
  }
  void Stop() { ASSERT_EQ(cluster_.Terminate(0, 5s), 0); }
  void ExpectServing() {
    EXPECT_TRUE(cluster_.process(0).Running());
    const RunResult get = cluster_.Cli({"get", "key", "--print-value-only"});
    EXPECT_EQ(get.out, "value\n") << get.err;
    EXPECT_EQ(cluster_.Cli({"put", "another key", "value"}).exit_code, 0);
  }
  [[nodiscard]] std::string data() const { return cluster_.data_dir(0); }

  ProcessCluster cluster_{{.members = 1, .flags = {}}};
};

TEST(WrongFlags, AreNamedWithExitCode128) {
  const TempFolder folder;
  const std::string data = folder / "data";
  ExpectRefused({"--data-dir", data, "--no-such-flag"}, 128, "--no-such-flag");
  ExpectRefused({}, 128, "--data-dir");
  ExpectRefused({"--data-dir", data, "--listen", "nonsense"}, 128, "nonsense");
  ExpectRefused({"--data-dir", data, "--listen", "127.0.0.1:99999"}, 128, "127.0.0.1:99999");
  ExpectRefused({"--data-dir", data, "--http", "127.0.0.1"}, 128, "127.0.0.1");
  ExpectRefused({"--data-dir", data, "--log-level", "loud"}, 128, "loud");
  ExpectRefused({"--data-dir", data, "--election-timeout", "3"}, 128, "3");
  ExpectRefused({"--data-dir", data, "--cluster", "n1"}, 128, "n1");
  const std::string three = "n1=127.0.0.1:1,n2=127.0.0.1:2,n3=127.0.0.1:3";
  ExpectRefused({"--data-dir", data, "--name", "n9", "--cluster", three}, 128, "n9");
  ExpectRefused({"--data-dir", data, "--name", "n1", "--cluster", three + ",n1=127.0.0.1:4"}, 128,
                "n1");
  EXPECT_FALSE(std::filesystem::exists(data));
}

TEST_F(WrongUse, APortInUse) {
  Stop();
  const BusyPort busy;
  const auto before = Snapshot(data());
  ExpectRefused({"--name", "n1", "--data-dir", data(), "--listen", busy.address()}, 1,
                busy.address());
  ExpectRefused({"--name", "n1", "--data-dir", data(), "--listen", cluster_.address(0), "--http",
                 busy.address()},
                1, busy.address());
  EXPECT_EQ(Snapshot(data()), before);
  ASSERT_TRUE(cluster_.StartAll());
  ExpectServing();
}

TEST_F(WrongUse, ADataFolderThatAnotherProcessUses) {
  ExpectRefused({"--name", "n1", "--data-dir", data(), "--listen", FreeAddress()}, 1, data());
  ExpectServing();
}

TEST_F(WrongUse, ADataFolderOfAnotherMember) {
  Stop();
  const auto before = Snapshot(data());
  ExpectRefused({"--name", "n9", "--data-dir", data(), "--listen", cluster_.address(0)}, 1, "n1");
  EXPECT_EQ(Snapshot(data()), before);
  ASSERT_TRUE(cluster_.StartAll());
  ExpectServing();
}

TEST_F(WrongUse, ADataFolderThatCannotBeMade) {
  Stop();
  const std::string file = cluster_.folder() / "file";
  WriteFile(file, "no folder");
  ExpectRefused({"--data-dir", file + "/data", "--listen", FreeAddress()}, 128, file);
  ExpectRefused({"--data-dir", file, "--listen", FreeAddress()}, 128, file);
  EXPECT_EQ(ReadFile(file), "no folder");
}

TEST_F(WrongUse, GarbageOnThePort) {
  std::string garbage;
  for (int i = 0; i < 100'000; ++i) garbage.push_back(static_cast<char>(i * 7919 >> 3));
  for (const std::string& bytes :
       {std::string("GET / HTTP/1.1\r\n\r\n"), std::string("\xff\xff\xff\xff\xff\xff\xff\xff"),
        std::string(16, '\0'), garbage}) {
    RawConnection connection(cluster_.address(0));
    ASSERT_TRUE(connection.connected());
    connection.Send(bytes, 5s);
    EXPECT_TRUE(connection.ReadToEnd(10s).has_value()) << "garbage is not cut off";
    ExpectServing();
  }
}

TEST_F(WrongUse, AClientThatAnnouncesAHugeMessageIsCutOff) {
  const auto resident_kb = [&] {
    const std::string status =
        ReadFile("/proc/" + std::to_string(cluster_.process(0).pid()) + "/status");
    return std::stol(status.substr(status.find("VmRSS:") + 6));
  };
  ExpectServing();
  const auto before = resident_kb();
  // A Cap'n Proto message of one segment of almost 16 GiB, and as much of it as is taken.
  std::string message("\0\0\0\0\xf0\xff\xff\x7f", 8);
  message.append(1 << 20, 'x');
  RawConnection connection(cluster_.address(0));
  ASSERT_TRUE(connection.connected());
  while (connection.Send(message, 2s)) {
    ASSERT_LT(resident_kb(), before + 200 * 1024) << "it is taken and kept";
  }
  EXPECT_TRUE(connection.ReadToEnd(10s).has_value()) << "not cut off";
  ExpectServing();
}

TEST_F(WrongUse, ThreeHundredIdleConnections) {
  std::vector<std::unique_ptr<RawConnection>> idle;
  for (int i = 0; i < 300; ++i) {
    idle.push_back(std::make_unique<RawConnection>(cluster_.address(0)));
    ASSERT_TRUE(idle.back()->connected()) << i;
  }
  ExpectServing();
  // They do not stay: nobody shook hands.
  for (auto& connection : idle) EXPECT_TRUE(connection->ReadToEnd(15s).has_value());
  ExpectServing();
}

TEST_F(WrongUse, AValueOfAHundredMegabytes) {
  const std::string huge(100'000'000, 'v');
  const RunResult put = cluster_.Cli({"put", "huge"}, {.environment = {}, .stdin_content = huge});
  EXPECT_EQ(put.exit_code, 3) << put.err;
  EXPECT_EQ(put.ErrorLines(), 1U) << put.err;
  EXPECT_NE(put.err.find("1048576"), std::string::npos) << put.err;
  ExpectServing();

  // The library says so before it sends: here there is nobody to send to.
  ClientOptions options;
  options.endpoints = {FreeAddress()};
  auto client = Client::Connect(options);
  ASSERT_TRUE(client.ok()) << client.status().ToString();
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ((*client)->kv().Put("huge", huge).code(), Code::kInvalidArgument);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 2s);
}

TEST(WrongCluster, AMemberOfAnotherClusterIsRefusedAndStops) {
  ProcessCluster ours;
  ASSERT_TRUE(ours.StartAll());
  ASSERT_EQ(ours.Cli({"put", "key", "value"}).exit_code, 0);
  ProcessCluster theirs;
  ASSERT_TRUE(theirs.StartAll());
  ASSERT_EQ(theirs.Cli({"put", "foreign", "value"}).exit_code, 0);
  for (std::size_t i = 0; i < 3; ++i) ASSERT_EQ(theirs.Terminate(i, 5s), 0);

  // n1 of their cluster takes the place of our n1.
  ASSERT_EQ(ours.Terminate(0, 5s), 0);
  std::vector<std::string> command = ours.Command(0);
  for (std::string& word : command) {
    if (word == ours.data_dir(0)) word = theirs.data_dir(0);
  }
  command.erase(command.begin());
  const RunResult intruder =
      RunRaftkv(command, {.environment = {}, .stdin_content = {}, .timeout = 20s});
  EXPECT_EQ(intruder.exit_code, 1) << intruder.err;
  EXPECT_NE(intruder.err.find("belongs to cluster"), std::string::npos) << intruder.err;

  EXPECT_EQ(ours.Cli({"get", "", "--prefix", "--keys-only"}).out, "key\n");
  ASSERT_TRUE(ours.Start(0));
  const auto statuses = ours.WaitUntilEqual(20s);
  ASSERT_EQ(statuses.size(), 3U);
  EXPECT_EQ(statuses[0].content_hash, statuses[1].content_hash);
}

TEST(WrongCluster, ACopiedDataFolderIsRefused) {
  ProcessCluster cluster;
  ASSERT_TRUE(cluster.StartAll());
  ASSERT_EQ(cluster.Cli({"put", "key", "old"}).exit_code, 0);
  ASSERT_EQ(cluster.Terminate(2, 5s), 0);
  const auto copy = cluster.folder() / "copy";
  std::filesystem::copy(cluster.data_dir(2), copy, std::filesystem::copy_options::recursive);
  ASSERT_TRUE(cluster.Start(2));
  ASSERT_EQ(cluster.Cli({"put", "key", "new"}).exit_code, 0);
  ASSERT_EQ(cluster.WaitUntilEqual(10s).size(), 3U);
  ASSERT_EQ(cluster.Terminate(2, 5s), 0);

  // The copy is behind what this member has acknowledged since.
  std::filesystem::remove_all(cluster.data_dir(2));
  std::filesystem::rename(copy, cluster.data_dir(2));
  const bool started = cluster.Start(2);
  EXPECT_TRUE(cluster.process(2).WaitForStderr("rolled back or copied", 10s)) << started;
  EXPECT_EQ(cluster.Cli({"put", "key", "newer"}).exit_code, 0);
  EXPECT_EQ(cluster.Cli({"get", "key", "--print-value-only"}).out, "newer\n");
}

}  // namespace
}  // namespace raftkv::test
