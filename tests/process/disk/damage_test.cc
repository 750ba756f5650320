// Do real members whose disks were damaged come back right, without an operator, and without one
// wrong answer? (known bug 26)
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "lib/base/bytes.h"
#include "lib/base/random.h"
#include "tests/support/process/process_cluster.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

using Content = std::map<std::string, std::string>;

std::string RandomText(Random& chance, std::size_t bytes) {
  // Text, so that the command line prints it as it is.
  std::string text;
  while (text.size() < bytes) text += std::to_string(chance.Next());
  return text;
}

/// A byte of a file; Flip() changes it, and once more back again, whatever name the file has by
/// then.
class FlippedByte {
 public:
  FlippedByte(const fs::path& path, std::uint64_t at)
      : file_(path, std::ios::in | std::ios::out | std::ios::binary),
        at_(static_cast<std::streamoff>(at)) {
    EXPECT_TRUE(file_.is_open()) << path;
    Flip();
  }
  void Flip() {
    file_.seekg(at_);
    const int byte = file_.get();
    file_.seekp(at_);
    file_.put(static_cast<char>(byte ^ 0x10)).flush();
  }

 private:
  std::fstream file_;
  const std::streamoff at_;
};

void FlipByte(const fs::path& path, std::uint64_t at) { FlippedByte(path, at); }

/// Files of a member that hold something.
std::vector<fs::path> FilesOf(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file() && entry.file_size() > 0) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

/// The file of `folder` that holds `text`, and where.
std::pair<fs::path, std::size_t> FindText(const fs::path& folder, const std::string& text) {
  for (const fs::path& path : FilesOf(folder)) {
    std::ifstream file(path, std::ios::binary);
    const std::string content((std::istreambuf_iterator<char>(file)), {});
    const std::size_t at = content.find(text);
    if (at != std::string::npos) return {path, at};
  }
  return {};
}

WriteOptions Patient() {
  WriteOptions options;
  options.timeout = 20s;
  return options;
}

void Put(Client& client, Content& content, Random& chance, int count, std::size_t bytes) {
  for (int i = 0; i < count; ++i) {
    const std::string key = "key" + std::to_string(chance.Below(60));
    const std::string value = RandomText(chance, bytes);
    const auto put = client.kv().Put(key, value, Patient());
    ASSERT_TRUE(put.ok()) << put.status().ToString();
    content[key] = value;
  }
}

void ExpectContent(ProcessCluster& cluster, std::size_t member, const Content& content) {
  const auto client = cluster.ConnectOnlyTo(member);
  ReadOptions local;
  local.consistency = Consistency::kLocal;
  local.timeout = 20s;
  for (const auto& [key, value] : content) {
    const auto got = client->kv().Get(key, local);
    ASSERT_TRUE(got.ok()) << cluster.name(member) << ": " << got.status().ToString();
    EXPECT_EQ(got->value, value) << cluster.name(member) << ": " << key;
  }
}

/// All three have the same, none is suspect any more.
void ExpectMended(ProcessCluster& cluster) {
  ASSERT_TRUE(WaitFor(60s, [&] {
    for (std::size_t i = 0; i < cluster.size(); ++i) {
      const auto status = cluster.Status(i, /*with_hash=*/true);
      if (!status.ok() || status->node.suspect || status->node.leader.empty()) return false;
    }
    return true;
  })) << "a member stays suspect";
  const std::vector<EndpointStatus> statuses = cluster.WaitUntilEqual(30s);
  ASSERT_EQ(statuses.size(), cluster.size());
  for (const EndpointStatus& status : statuses) {
    EXPECT_EQ(status.content_hash, statuses[0].content_hash) << status.node.name;
  }
}

ProcessClusterOptions SmallLogs() {
  ProcessClusterOptions options;
  options.flags = {"--log-keep-entries", "64", "--log-keep-bytes", "1MiB", "--scrub-rate", "0"};
  return options;
}

/// So many as RAFTKV_DAMAGE_ROUNDS says; a few by default.
int Rounds() {
  const char* const asked = std::getenv("RAFTKV_DAMAGE_ROUNDS");
  const std::string_view text = asked == nullptr ? "20" : asked;
  int rounds = 0;
  std::from_chars(text.data(), text.data() + text.size(), rounds);
  return rounds;
}

/// Asks each member, over and over, for what it has itself of keys that never change. It may have
/// no answer; another than the value is wrong.
class PinnedReader {
 public:
  PinnedReader(ProcessCluster& cluster, const Content& pinned) : pinned_(pinned) {
    for (std::size_t i = 0; i < cluster.size(); ++i) clients_.push_back(cluster.ConnectOnlyTo(i));
    thread_ = std::thread([this] { Read(); });
  }
  ~PinnedReader() {
    if (thread_.joinable()) static_cast<void>(Stop());
  }
  /// The wrong answers.
  [[nodiscard]] std::vector<std::string> Stop() {
    stop_ = true;
    thread_.join();
    EXPECT_GT(answers_, 0);
    return wrong_;
  }

 private:
  void Read() {
    ReadOptions local;
    local.consistency = Consistency::kLocal;
    local.timeout = 50ms;
    while (!stop_ && wrong_.size() < 10) {
      for (const auto& [key, value] : pinned_) {
        for (std::size_t i = 0; i < clients_.size(); ++i) {
          const auto got = clients_[i]->kv().Get(key, local);
          answers_ += got.ok();
          const bool silent = !got.ok() && got.status().code() != Code::kNotFound;
          if (silent || (got.ok() && got->value == value)) continue;
          wrong_.push_back("member " + std::to_string(i) + " of " + key + ": " +
                           (got.ok() ? got->value : got.status().ToString()));
        }
      }
    }
  }

  const Content pinned_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::atomic<bool> stop_{false};
  // Of the thread, until it is joined.
  int answers_ = 0;
  std::vector<std::string> wrong_;
  std::thread thread_;
};

TEST(Damage, AByteThatIsFlippedOnAStoppedMemberIsMendedByTheOthers) {
  const int rounds = Rounds();
  ProcessCluster cluster(SmallLogs());
  ASSERT_TRUE(cluster.StartAll());
  const auto client = cluster.Connect();
  Content pinned;
  for (int i = 0; i < 10; ++i) {
    const std::string name = "pinned" + std::to_string(i);
    ASSERT_TRUE(client->kv().Put(name, name + " stays", Patient()).ok());
    pinned[name] = name + " stays";
  }
  ASSERT_EQ(cluster.WaitUntilEqual(20s).size(), 3U);
  PinnedReader reader(cluster, pinned);
  Random chance(static_cast<std::uint64_t>(rounds));
  Content content;
  Put(*client, content, chance, 150, 3000);
  int repaired = 0;
  for (int round = 0; round < rounds && !testing::Test::HasFatalFailure(); ++round) {
    const std::size_t victim = static_cast<std::size_t>(round) % 3;
    if (chance.Below(2) == 0) {
      cluster.Kill(victim);
    } else {
      ASSERT_EQ(cluster.Terminate(victim, 20s), 0);
    }
    const std::vector<fs::path> files = FilesOf(cluster.data_dir(victim));
    const fs::path& path = files[chance.Below(files.size())];
    const std::uint64_t at = chance.Below(fs::file_size(path));
    FlippedByte flipped(path, at);
    SCOPED_TRACE("round " + std::to_string(round) + ": " + path.string() + " at " +
                 std::to_string(at));
    ASSERT_TRUE(cluster.Start(victim)) << cluster.process(victim).Stderr();
    Put(*client, content, chance, 3, 1000);
    ExpectMended(cluster);
    for (std::size_t i = 0; i < 3; ++i) ExpectContent(cluster, i, content);
    const std::string said = cluster.process(victim).Stderr();
    repaired += said.find("neither votes nor counts") != std::string::npos;
    // No read comes by every byte of a table. What was not noticed must not be there when the next
    // member is damaged: two of three are more than can be mended.
    if (path.extension() == ".sst") flipped.Flip();
  }
  EXPECT_EQ(reader.Stop(), std::vector<std::string>());
  EXPECT_GT(repaired, rounds / 6);
  RecordProperty("repaired", repaired);
}

/// Spoils a table of a member's content; it is stopped before, so that all stands in tables.
void Spoil(ProcessCluster& cluster, std::size_t victim) {
  EXPECT_EQ(cluster.Terminate(victim, 20s), 0);
  fs::path largest;
  for (const fs::path& path : FilesOf(cluster.data_dir(victim))) {
    const bool table =
        path.extension() == ".sst" && path.parent_path().filename().string().starts_with("kv-");
    if (table && (largest.empty() || fs::file_size(path) > fs::file_size(largest))) largest = path;
  }
  EXPECT_FALSE(largest.empty());
  if (!largest.empty()) FlipByte(largest, fs::file_size(largest) / 2);
}

std::size_t SpoilAFollower(ProcessCluster& cluster) {
  const auto leader = cluster.WaitForLeader(20s);
  EXPECT_TRUE(leader.has_value());
  const std::size_t victim = (leader.value_or(0) + 1) % 3;
  Spoil(cluster, victim);
  return victim;
}

ReadOptions BriefAndLocal() {
  ReadOptions options;
  options.consistency = Consistency::kLocal;
  options.timeout = 200ms;
  return options;
}

bool IsSuspect(ProcessCluster& cluster, std::size_t member) {
  const auto status = cluster.Status(member);
  return status.ok() && status->node.suspect;
}

/// Reads all of a member whose table is spoiled, so that it meets that.
bool ReadUntilSuspect(ProcessCluster& cluster, std::size_t victim) {
  const auto only = cluster.ConnectOnlyTo(victim);
  return WaitFor(20s, [&] {
    static_cast<void>(only->kv().Scan({}, ScanOptions{BriefAndLocal()}));
    return IsSuspect(cluster, victim);
  });
}

TEST(Damage, TheScrubberFindsItAndTheMemberIsMendedWithoutARestart) {
  ProcessClusterOptions options = SmallLogs();
  options.flags[5] = "16MiB/s";
  options.http = true;
  ProcessCluster cluster(options);
  ASSERT_TRUE(cluster.StartAll());
  const auto client = cluster.Connect();
  Random chance(5);
  Content content;
  Put(*client, content, chance, 100, 3000);
  const std::size_t victim = SpoilAFollower(cluster);
  ASSERT_TRUE(cluster.Start(victim));
  ASSERT_TRUE(cluster.process(victim).WaitForStderr("neither votes nor counts", 60s));
  Put(*client, content, chance, 10, 1000);
  ExpectMended(cluster);
  for (std::size_t i = 0; i < 3; ++i) ExpectContent(cluster, i, content);
  EXPECT_TRUE(cluster.process(victim).Running());
  EXPECT_FALSE(fs::exists(cluster.data_dir(victim) / "damaged-log"));
}

TEST(Damage, AMemberThatIsBeingRefilledDoesNotDenyWhatItHad) {
  ProcessClusterOptions options = SmallLogs();
  // Refilling takes some seconds.
  options.flags.insert(options.flags.end(), {"--snapshot-rate", "128KiB/s"});
  ProcessCluster cluster(options);
  ASSERT_TRUE(cluster.StartAll());
  const auto client = cluster.Connect();
  Random chance(7);
  Content content;
  Put(*client, content, chance, 200, 8000);
  const std::size_t victim = SpoilAFollower(cluster);
  ASSERT_TRUE(cluster.Start(victim));
  ASSERT_TRUE(ReadUntilSuspect(cluster, victim));
  const auto only = cluster.ConnectOnlyTo(victim);
  const RunResult backup = cluster.Cli({"snapshot", "save", cluster.folder() / "backup.tar.zst",
                                        "--endpoints", cluster.address(victim), "--timeout", "1s"});
  int refused = 0;
  const auto deadline = std::chrono::steady_clock::now() + 60s;
  while (IsSuspect(cluster, victim) && std::chrono::steady_clock::now() < deadline) {
    const auto& [key, value] = *std::next(content.begin(), chance.Below(content.size()));
    const auto got = only->kv().Get(key, BriefAndLocal());
    if (got.ok()) {
      ASSERT_EQ(got->value, value) << key;
    } else {
      ASSERT_NE(got.status().code(), Code::kNotFound) << key;
      refused += got.status().message().find("ask another member") != std::string::npos;
    }
  }
  EXPECT_GT(refused, 0) << "it was refilled before anybody could ask";
  EXPECT_NE(backup.exit_code, 0) << "a backup of what is left";
  EXPECT_NE(backup.err.find("ask another member"), std::string::npos) << backup.err;
  ExpectContent(cluster, victim, content);
  ExpectMended(cluster);
}

TEST(Damage, AReadThatMeetsItIsAnsweredRightInTheEnd) {
  ProcessCluster cluster(SmallLogs());
  ASSERT_TRUE(cluster.StartAll());
  const auto client = cluster.Connect();
  Random chance(6);
  Content content;
  Put(*client, content, chance, 100, 3000);
  const std::size_t victim = SpoilAFollower(cluster);
  ASSERT_TRUE(cluster.Start(victim));
  ExpectMended(cluster);
  for (std::size_t i = 0; i < 3; ++i) ExpectContent(cluster, i, content);
  EXPECT_NE(cluster.process(victim).Stderr().find("neither votes nor counts"), std::string::npos);
}

// Two of three are more than the third can mend: nobody leads, nobody says what is wrong, and what
// the third has is the way out.
TEST(Damage, OfAMajorityLeavesABackupOfWhoIsWhole) {
  ProcessCluster cluster(SmallLogs());
  ASSERT_TRUE(cluster.StartAll());
  const auto client = cluster.Connect();
  Random chance(8);
  Content content;
  Put(*client, content, chance, 200, 3000);
  ASSERT_EQ(cluster.WaitUntilEqual(20s).size(), 3U);
  // Not killed: alone it could not know that the last entry is committed.
  EXPECT_EQ(cluster.Terminate(2, 20s), 0);
  for (const std::size_t victim : {std::size_t{0}, std::size_t{1}}) Spoil(cluster, victim);
  // Without the third: the damage of one is found when it is read, and until that of the other is,
  // two that seem whole would refill it.
  for (const std::size_t victim : {std::size_t{0}, std::size_t{1}}) {
    ASSERT_TRUE(cluster.Start(victim));
  }
  for (const std::size_t victim : {std::size_t{0}, std::size_t{1}}) {
    ASSERT_TRUE(ReadUntilSuspect(cluster, victim)) << cluster.name(victim);
    const auto [key, value] = *content.begin();
    const auto got = cluster.ConnectOnlyTo(victim)->kv().Get(key, BriefAndLocal());
    EXPECT_FALSE(got.ok());
    EXPECT_NE(got.status().code(), Code::kNotFound);
  }
  ASSERT_TRUE(cluster.Start(2));
  EXPECT_NE(cluster.Cli({"--timeout", "2s", "put", "k", "v"}).exit_code, 0);
  ExpectContent(cluster, 2, content);

  const std::string backup = cluster.folder() / "backup.tar.zst";
  const RunResult saved = cluster.Cli({"snapshot", "save", backup});
  ASSERT_EQ(saved.exit_code, 0) << saved.err;
  ProcessCluster fresh;
  for (std::size_t i = 0; i < 3; ++i) {
    const RunResult restored =
        RunRaftkv({"snapshot", "restore", backup, "--data-dir", fresh.data_dir(i), "--name",
                   fresh.name(i), "--cluster", fresh.cluster_flag()});
    ASSERT_EQ(restored.exit_code, 0) << restored.err;
  }
  ASSERT_TRUE(fresh.StartAll());
  ASSERT_EQ(fresh.WaitUntilEqual(20s).size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) ExpectContent(fresh, i, content);
}

// What nobody has any more is not made up, and not forgotten.
TEST(Damage, ACommittedEntryThatIsDamagedEverywhereIsNotServedWithout) {
  ProcessCluster cluster(SmallLogs());
  ASSERT_TRUE(cluster.StartAll());
  const auto client = cluster.Connect();
  const std::string marker = "the value that every member loses, and nobody can give back";
  ASSERT_TRUE(client->kv().Put("before", "x").ok());
  ASSERT_TRUE(client->kv().Put("lost", marker).ok());
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(client->kv().Put("after", "y").ok());
  ASSERT_EQ(cluster.WaitUntilEqual(20s).size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) cluster.Kill(i);
  for (std::size_t i = 0; i < 3; ++i) {
    const auto [path, at] = FindText(cluster.data_dir(i) / "log", marker);
    ASSERT_FALSE(path.empty()) << cluster.name(i);
    FlipByte(path, at + 5);
  }
  for (std::size_t i = 0; i < 3; ++i) ASSERT_TRUE(cluster.Start(i));
  for (std::size_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(cluster.process(i).WaitForStderr("its log is kept up to entry", 20s));
    const auto status = cluster.Status(i);
    ASSERT_TRUE(status.ok());
    EXPECT_TRUE(status->node.suspect);
    ASSERT_FALSE(status->node.errors.empty());
    EXPECT_NE(status->node.errors[0].find("its log is kept up to entry"), std::string::npos);
    EXPECT_TRUE(fs::exists(cluster.data_dir(i) / "damaged-log")) << "nothing is thrown away";
  }
  EXPECT_FALSE(cluster.WaitForLeader(3s).has_value());
  const RunResult put = cluster.Cli({"--timeout", "2s", "put", "k", "v"});
  EXPECT_NE(put.exit_code, 0);
  const RunResult get = cluster.Cli({"--timeout", "2s", "get", "lost"});
  EXPECT_NE(get.exit_code, 0) << get.out;
}

}  // namespace
}  // namespace raftkv::test
