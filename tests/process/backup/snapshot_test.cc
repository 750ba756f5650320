// Does the log of real processes stay small, and does a member that was away, or is new, become
// what the others are by a snapshot?
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lib/base/bytes.h"
#include "lib/base/random.h"
#include "tests/support/process/process_cluster.h"
#include "tests/support/process/process_socket.h"
#include "tests/support/process/process_workload.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kKeepEntries = 200;
constexpr std::size_t kMiB = 1 << 20;

void ExpectEqualContent(const std::vector<EndpointStatus>& statuses, std::size_t members) {
  ASSERT_EQ(statuses.size(), members) << "the members do not reach an equal index";
  for (const EndpointStatus& status : statuses) {
    EXPECT_EQ(status.content_hash, statuses[0].content_hash) << status.node.name;
  }
}

std::uint64_t FolderBytes(const std::filesystem::path& folder) {
  std::uint64_t bytes = 0;
  std::error_code gone;  // files come and go
  for (std::filesystem::recursive_directory_iterator it(folder, gone), end; it != end && !gone;
       it.increment(gone)) {
    std::error_code one;
    const std::uintmax_t size = it->is_regular_file(one) ? it->file_size(one) : 0;
    if (!one) bytes += size;
  }
  return bytes;
}

/// Values that no compression makes small.
void PutRandom(Client& client, Random& chance, int first, int count, std::size_t bytes) {
  for (int i = first; i < first + count; ++i) {
    std::string value;
    while (value.size() < bytes) AppendBigEndian64(value, chance.Next());
    const auto put = client.kv().Put("big" + std::to_string(i), value);
    ASSERT_TRUE(put.ok()) << put.status().ToString();
  }
}

/// The number behind `before` in the last line of `text` that has it.
std::uint64_t NumberBehind(const std::string& text, const std::string& before) {
  const std::size_t at = text.rfind(before);
  return at == std::string::npos ? 0 : std::strtoull(&text[at + before.size()], nullptr, 10);
}

// Away for ten times the kept log, under load; what was deleted meanwhile is deleted on it.
TEST(Snapshot, AMemberThatWasAwayRejoinsUnderLoad) {
  ProcessClusterOptions options;
  options.flags = {"--log-keep-entries", std::to_string(kKeepEntries), "--log-keep-bytes", "1MiB"};
  ProcessCluster cluster(options);
  ASSERT_TRUE(cluster.StartAll());
  const auto client = cluster.Connect();
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(client->kv().Put("gone" + std::to_string(i), "value").ok());
  }
  const auto leader = cluster.WaitForLeader(10s);
  ASSERT_TRUE(leader.has_value());
  const std::size_t away = (*leader + 1) % 3;
  ASSERT_EQ(cluster.WaitUntilEqual(10s).size(), 3U);
  const auto before = cluster.Status(away);
  ASSERT_TRUE(before.ok());
  cluster.Kill(away);

  ASSERT_EQ(cluster.Cli({"del", "gone", "--prefix"}).out, "50\n");
  Workload workload(cluster);
  ASSERT_TRUE(WaitFor(60s, [&] {
    const auto status = cluster.Status(*leader);
    return status.ok() &&
           status->node.log_last_index > before->node.log_last_index + 10 * kKeepEntries;
  }));
  // It holds its log for a while for one that it heard lately.
  Result<EndpointStatus> cut = Status(Code::kUnavailable, "");
  ASSERT_TRUE(WaitFor(30s, [&] {
    cut = cluster.Status(*leader);
    return cut.ok() && cut->node.log_last_index - cut->node.log_first_index < 3 * kKeepEntries;
  })) << "it is not cut";
  EXPECT_GT(cut->snapshot_index, before->node.log_last_index) << "its log does not reach back";

  ASSERT_TRUE(cluster.Start(away));
  ASSERT_TRUE(cluster.process(away).WaitForStderr("received the snapshot at entry", 60s));
  // It catches up though writes go on.
  ASSERT_TRUE(WaitFor(60s, [&] {
    const auto there = cluster.Status(away);
    return there.ok() && there->node.applied_index > cut->node.applied_index;
  }));
  ASSERT_TRUE(workload.WaitForProgress(10, 20s));
  const auto behind = cluster.Status(away);
  const auto ahead = cluster.Status(*leader);
  ASSERT_TRUE(behind.ok() && ahead.ok());
  EXPECT_LT(
      ahead->node.commit_index - std::min(ahead->node.commit_index, behind->node.applied_index),
      kKeepEntries);
  workload.Stop();
  EXPECT_EQ(workload.Problems(), std::vector<std::string>());
  ExpectEqualContent(cluster.WaitUntilEqual(30s), 3);
  EXPECT_EQ(cluster
                .Cli({"get", "gone", "--prefix", "--count-only", "--consistency", "local",
                      "--endpoints", cluster.address(away)})
                .out,
            "0\n");
  // And it is there after a restart.
  cluster.Kill(away);
  ASSERT_TRUE(cluster.Start(away));
  ExpectEqualContent(cluster.WaitUntilEqual(30s), 3);
}

// Twenty times what is kept is written: the folder stays near the limit.
TEST(Snapshot, ALogIsGivenBack) {
  ProcessClusterOptions options;
  options.members = 1;
  options.flags = {"--log-keep-bytes", "4MiB"};
  ProcessCluster cluster(options);
  ASSERT_TRUE(cluster.StartAll());
  const auto client = cluster.Connect();
  Random chance{1};
  for (int round = 0; round < 20; ++round) {
    PutRandom(*client, chance, 0, 64, 64 << 10);  // the same keys: 4 MiB of content
    // It is about the log: the past of the keys is kept for its own reasons.
    const auto latest = client->kv().Get("big63");
    ASSERT_TRUE(latest.ok()) << latest.status().ToString();
    ASSERT_TRUE(client->kv().Compact(latest->mod_revision).ok());
    // The log, its write-ahead log, the content, and versions of it that wait for a compaction,
    // which on a busy machine takes its time.
    ASSERT_TRUE(WaitFor(60s, [&] { return FolderBytes(cluster.data_dir(0)) < 40 * kMiB; }))
        << "80 MiB are written in all; round " << round;
  }
  const auto status = cluster.Status(0);
  ASSERT_TRUE(status.ok());
  EXPECT_GT(status->snapshot_index, 900U);
  cluster.Kill(0);
  ASSERT_TRUE(cluster.Start(0));
  ASSERT_TRUE(cluster.WaitForLeader(10s).has_value());
  EXPECT_EQ(cluster.Cli({"get", "big", "--prefix", "--count-only"}).out, "64\n");
}

TEST(Snapshot, BoundsThatMakeNoSenseAreRefusedInOneLine) {
  const TempFolder folder;
  const std::vector<std::pair<std::string, std::string>> refused = {
      {"--log-keep-bytes", "1KiB"},  {"--log-keep-bytes", "much"},  {"--log-keep-bytes", "-1"},
      {"--log-keep-entries", "0"},   {"--log-keep-entries", "few"}, {"--snapshot-rate", "1KiB/s"},
      {"--snapshot-rate", "1MB/day"}};
  for (const auto& [flag, value] : refused) {
    const RunResult result = RunRaftkv({"serve", "--data-dir", folder / "data", flag, value});
    EXPECT_EQ(result.exit_code, 128) << flag << " " << value << ": " << result.err;
    EXPECT_EQ(result.ErrorLines(), 1U) << result.err;
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "data"));
}

/// What has come of snapshots to `member` since its start.
std::uint64_t ReceivedBytes(const ProcessCluster& cluster, std::size_t member) {
  const std::string metrics = HttpGet(cluster.http_address(member), "/metrics").body;
  return NumberBehind(metrics, "\nraftkv_snapshot_received_bytes_total ");
}

/// Founders have data and a log that is cut; one more is there to join.
class Joining : public testing::Test {
 protected:
  static constexpr int kValues = 256;
  static constexpr std::size_t kValueBytes = 64 << 10;

  ProcessClusterOptions Options(std::size_t members) {
    ProcessClusterOptions options;
    options.members = members;
    options.founders = 1;
    options.flags = {"--log-keep-entries", "32", "--snapshot-rate", "8MiB/s"};
    options.steady = true;
    return options;
  }
  /// 16 MiB, and an empty log behind it.
  void Fill(ProcessCluster& cluster) {
    ASSERT_TRUE(cluster.StartAll());
    const auto client = cluster.Connect();
    Random chance{1};
    PutRandom(*client, chance, 0, kValues, kValueBytes);
    // Until its tables have been compacted into one, and the next compaction is far: from then on
    // members that got them from each other keep them.
    ASSERT_TRUE(WaitFor(60s, [&] {
      const auto status = cluster.Status(0);
      if (status.ok() && status->snapshot_index > 0 && IsCompacted(cluster.data_dir(0) / "kv-1")) {
        return true;
      }
      PutRandom(*client, chance, kValues, 8, 16);
      return false;
    }));
  }
  static bool IsCompacted(const std::filesystem::path& folder) {
    std::size_t tables = 0;
    std::uintmax_t largest = 0;
    std::error_code gone;
    for (const auto& file : std::filesystem::directory_iterator(folder, gone)) {
      if (file.path().extension() != ".sst") continue;
      ++tables;
      largest = std::max(largest, file.file_size(gone));
    }
    return !gone && tables <= 2 && largest > kValues * kValueBytes / 10 * 9;
  }
  void WaitForHalf(ProcessCluster& cluster, std::size_t member) {
    ASSERT_TRUE(WaitFor(60s, [&] {
      return FolderBytes(cluster.data_dir(member) / "kv-2") > kValues * kValueBytes / 2;
    }));
    ASSERT_EQ(NumberBehind(cluster.process(member).Stderr(), "received the snapshot at entry "), 0U)
        << "it was not half of it";
  }
  void ExpectLittleSentTwice(ProcessCluster& cluster, std::size_t member) {
    ASSERT_TRUE(cluster.process(member).WaitForStderr("received the snapshot at entry ", 60s));
    const std::string log = cluster.process(member).Stderr();
    const std::size_t line = log.find("received the snapshot at entry ");
    const std::uint64_t came = NumberBehind(log.substr(line), ": ");
    const std::uint64_t all = NumberBehind(log.substr(line), " bytes were sent for ");
    EXPECT_GT(all, kValues * kValueBytes);
    EXPECT_GT(came, kValues * kValueBytes);
    EXPECT_LT(came, all + kMiB) << "less than a chunk is sent twice";
  }
};

TEST_F(Joining, TheSenderIsKilledAtHalfAndComesBack) {
  ProcessCluster cluster(Options(2));
  Fill(cluster);
  ASSERT_EQ(cluster.Cli({"member", "add", "n2", cluster.address(1)}).exit_code, 0);
  ASSERT_TRUE(cluster.Start(1));
  WaitForHalf(cluster, 1);
  cluster.Kill(0);
  ASSERT_TRUE(cluster.Start(0));
  ExpectLittleSentTwice(cluster, 1);
  ASSERT_TRUE(cluster.WaitForRole(1, MemberRole::kLearner, 20s));
  ExpectEqualContent(cluster.WaitUntilEqual(30s), 2);
}

// Counted by what it received in both of its lives. (What the sender sends meanwhile to nobody is
// none of it.)
TEST_F(Joining, TheReceiverIsKilledAtHalfAndGoesOnWhereItWas) {
  ProcessClusterOptions options = Options(2);
  options.http = true;
  ProcessCluster cluster(options);
  Fill(cluster);
  ASSERT_EQ(cluster.Cli({"member", "add", "n2", cluster.address(1)}).exit_code, 0);
  ASSERT_TRUE(cluster.Start(1));
  WaitForHalf(cluster, 1);
  const std::uint64_t before = ReceivedBytes(cluster, 1);
  cluster.Kill(1);
  ASSERT_GT(before, kValues * kValueBytes / 2);
  ASSERT_TRUE(cluster.Start(1));
  ASSERT_TRUE(cluster.process(1).WaitForStderr("received the snapshot at entry ", 60s));
  const std::string log = cluster.process(1).Stderr();
  const std::uint64_t all = NumberBehind(log, " bytes were sent for ");
  ASSERT_GT(all, kValues * kValueBytes);
  const std::uint64_t after = ReceivedBytes(cluster, 1);
  EXPECT_LT(before + after, all + 2 * kMiB) << log;
  EXPECT_LT(after, all / 2 + 2 * kMiB) << log;
  ASSERT_TRUE(cluster.WaitForRole(1, MemberRole::kLearner, 20s));
  ExpectEqualContent(cluster.WaitUntilEqual(30s), 2);
}

// The members got their databases from each other, so the new leader has the files of the old one.
TEST_F(Joining, ANewLeaderGoesOn) {
  ProcessCluster cluster(Options(4));
  Fill(cluster);
  for (std::size_t member = 1; member < 3; ++member) {
    ASSERT_EQ(
        cluster.Cli({"member", "add", cluster.name(member), cluster.address(member), "--voter"})
            .exit_code,
        0);
    ASSERT_TRUE(cluster.Start(member));
    ASSERT_TRUE(cluster.WaitForRole(member, MemberRole::kVoter, 60s));
  }
  ASSERT_EQ(cluster.Cli({"member", "add", "n4", cluster.address(3)}).exit_code, 0);
  ASSERT_TRUE(cluster.Start(3));
  WaitForHalf(cluster, 3);
  const auto leader = cluster.WaitForLeader(10s, {0, 1, 2});
  ASSERT_TRUE(leader.has_value());
  cluster.Kill(*leader);
  ExpectLittleSentTwice(cluster, 3);
  std::set<std::size_t> alive = {0, 1, 2, 3};
  alive.erase(*leader);
  ExpectEqualContent(cluster.WaitUntilEqual(60s, alive), 3);
}

}  // namespace
}  // namespace raftkv::test
