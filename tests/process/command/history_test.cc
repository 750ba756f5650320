// Does every member show the past that is kept, until it is compacted, whoever was killed or came
// later?
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <rocksdb/db.h>

#include "storage/log/log_format.h"
#include "storage/log/log_handles.h"
#include "tests/support/process/process_cluster.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;
using Json = nlohmann::ordered_json;

class HistoryVerbs : public testing::Test {
 protected:
  HistoryVerbs() : cluster_({.members = 3, .flags = {}}) {}
  void SetUp() override { ASSERT_TRUE(cluster_.StartAll()); }

  void Expect(const std::vector<std::string>& arguments, const std::string& out,
              int exit_code = 0) {
    const RunResult result = cluster_.Cli(arguments);
    EXPECT_EQ(result.out, out) << testing::PrintToString(arguments);
    EXPECT_EQ(result.exit_code, exit_code) << testing::PrintToString(arguments) << result.err;
  }
  void ExpectError(const std::vector<std::string>& arguments, int exit_code,
                   const std::string& text) {
    const RunResult result = cluster_.Cli(arguments);
    EXPECT_EQ(result.exit_code, exit_code) << testing::PrintToString(arguments) << result.err;
    EXPECT_NE(result.err.find(text), std::string::npos) << result.err;
    EXPECT_EQ(result.out, "");
  }
  std::uint64_t Put(const std::string& key, const std::string& value) {
    const RunResult result = cluster_.Cli({"put", key, value, "-w", "json"});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    const Json json = Json::parse(result.out, nullptr, /*allow_exceptions=*/false);
    return json.is_discarded() ? 0 : json["header"]["revision"].get<std::uint64_t>();
  }

  ProcessCluster cluster_;
};

TEST_F(HistoryVerbs, EveryMemberShowsThePast) {
  const std::uint64_t first = Put("key", "one");
  const std::uint64_t second = Put("key", "two");
  Expect({"del", "key"}, "1\n");
  for (std::size_t member = 0; member < 3; ++member) {
    const std::string endpoint = cluster_.address(member);
    const auto get = [&](std::uint64_t revision) {
      return std::vector<std::string>{"get",         "key",   "--rev", std::to_string(revision),
                                      "--endpoints", endpoint};
    };
    Expect(get(first), "key\none\n");
    Expect(get(second), "key\ntwo\n");
    Expect(get(second + 1), "");
    Expect(get(first - 1), "");
    ExpectError(get(second + 2), 3, "future revision");
  }
}

// As in etcd.
TEST_F(HistoryVerbs, TheHeaderTellsTheRevisionOfTheStoreAndTheKeyItsOwn) {
  const std::uint64_t first = Put("key", "one");
  const std::uint64_t second = Put("key", "two");
  for (const std::uint64_t asked : {first, second, std::uint64_t{0}}) {
    const RunResult result =
        cluster_.Cli({"get", "key", "--rev", std::to_string(asked), "-w", "json"});
    const Json json = Json::parse(result.out, nullptr, /*allow_exceptions=*/false);
    ASSERT_FALSE(json.is_discarded()) << result.out << result.err;
    EXPECT_EQ(json["header"]["revision"], second) << asked;
    EXPECT_EQ(json["kvs"][0]["mod_revision"], asked == 0 ? second : asked);
  }
}

TEST_F(HistoryVerbs, CompactedIsRefusedAlsoAfterARestart) {
  const std::uint64_t first = Put("key", "one");
  const std::uint64_t second = Put("key", "two");
  Put("key", "three");
  Expect({"compact", std::to_string(second)},
         "compacted revision " + std::to_string(second) + "\n");
  ExpectError({"compact", std::to_string(second)}, 4, "compacted already");
  ExpectError({"compact", "1000000"}, 3, "future revision");
  ExpectError({"compact", "soon"}, 3, "is not a revision");
  for (int round = 0; round < 2; ++round) {
    ExpectError({"get", "key", "--rev", std::to_string(first)}, 4,
                "the lowest one that can be read is " + std::to_string(second));
    Expect({"get", "key", "--rev", std::to_string(second)}, "key\ntwo\n");
    Expect({"get", "key"}, "key\nthree\n");
    if (round > 0) break;
    for (std::size_t member = 0; member < 3; ++member) cluster_.Kill(member);
    ASSERT_TRUE(cluster_.StartAll());
  }
}

// Whoever is asked, also while one is down, and the one that was down itself.
TEST_F(HistoryVerbs, ThePastIsTheSameWhoeverLeads) {
  std::vector<std::pair<std::uint64_t, std::string>> past;
  const auto expect_at = [&](std::size_t member) {
    for (const auto& [revision, value] : past) {
      Expect({"get", "key", "--rev", std::to_string(revision), "--endpoints",
              cluster_.address(member)},
             "key\n" + value + "\n");
    }
  };
  for (int round = 0; round < 3; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    const auto leader = cluster_.WaitForLeader(60s);
    ASSERT_TRUE(leader.has_value());
    for (int i = 0; i < 2; ++i) {
      const std::string value = std::to_string(round) + "." + std::to_string(i);
      if (i == 1) cluster_.Kill(*leader);
      const std::uint64_t revision = Put("key", value);
      ASSERT_NE(revision, 0U);
      EXPECT_TRUE(past.empty() || revision > past.back().first);
      past.emplace_back(revision, value);
    }
    expect_at((*leader + 1) % 3);
    expect_at((*leader + 2) % 3);
    ASSERT_TRUE(cluster_.Start(*leader));
    expect_at(*leader);
  }
}

TEST(HistoryOfAJoiner, AMemberThatGotASnapshotShowsThePast) {
  ProcessClusterOptions options;
  options.members = 2;
  options.founders = 1;
  options.flags = {"--log-keep-entries", "32"};
  ProcessCluster cluster(std::move(options));
  ASSERT_TRUE(cluster.StartAll());
  const auto client = cluster.Connect();
  std::vector<std::uint64_t> revisions;
  std::vector<std::string> values;
  for (int i = 0; i < 10; ++i) {
    values.push_back(std::to_string(i));
    const auto put = client->kv().Put("key", values.back());
    ASSERT_TRUE(put.ok()) << put.status().ToString();
    revisions.push_back(put->revision);
  }
  ASSERT_TRUE(client->kv().Compact(revisions[5]).ok());
  // Until the log does not reach back to any of it.
  ASSERT_TRUE(WaitFor(60s, [&] {
    for (int i = 0; i < 50; ++i) EXPECT_TRUE(client->kv().Put("other", std::to_string(i)).ok());
    const auto status = cluster.Status(0);
    return status.ok() && status->node.log_first_index > 20;
  }));
  ASSERT_EQ(cluster.Cli({"member", "add", "n2", cluster.address(1)}).exit_code, 0);
  ASSERT_TRUE(cluster.Start(1));
  ASSERT_TRUE(cluster.process(1).WaitForStderr("received the snapshot at entry ", 60s));
  ASSERT_TRUE(cluster.WaitForRole(1, MemberRole::kLearner, 60s));
  ASSERT_EQ(cluster.WaitUntilEqual(60s).size(), 2U);
  const auto joined = cluster.ConnectOnlyTo(1);
  for (std::size_t i = 0; i < revisions.size(); ++i) {
    ReadOptions at;
    at.revision = revisions[i];
    at.consistency = Consistency::kLocal;
    const auto get = joined->kv().Get("key", at);
    if (i < 5) {
      EXPECT_EQ(get.code(), Code::kCompacted) << i;
      continue;
    }
    ASSERT_TRUE(get.ok()) << get.status().ToString();
    EXPECT_EQ(get->value, values[i]);
  }
}

// One that the program of before would have written says so in its log.
TEST(HistoryOfAnOlderProgram, ItsFolderIsRefusedWithTheWayToCarryItOver) {
  ProcessCluster cluster({.members = 1, .flags = {}});
  ASSERT_TRUE(cluster.StartAll());
  ASSERT_EQ(cluster.Terminate(0, 60s), 0);
  storage::LogDbOptions log;
  log.folder = cluster.data_dir(0) / "log";
  log.env = rocksdb::Env::Default();
  {
    const auto handles = storage::OpenLogHandles(log, {});
    ASSERT_TRUE(handles.ok()) << handles.status().ToString();
    // Into a table: what stands in the write-ahead log has to be numbered.
    rocksdb::WriteOptions unlogged;
    unlogged.disableWAL = true;
    ASSERT_TRUE((*handles)
                    ->db()
                    .Put(unlogged, (*handles)->state(), std::string(storage::kFormatVersionKey),
                         storage::EncodeFormatVersion(1))
                    .ok());
    ASSERT_TRUE((*handles)->db().Flush({}, (*handles)->state()).ok());
    ASSERT_TRUE((*handles)->Close().ok());
  }
  std::vector<std::string> serve = cluster.Command(0);
  serve.erase(serve.begin());
  const RunResult refused = RunRaftkv(serve);
  EXPECT_EQ(refused.exit_code, 1) << refused.err;
  EXPECT_NE(refused.err.find("snapshot save"), std::string::npos) << refused.err;
  EXPECT_NE(refused.err.find("snapshot restore"), std::string::npos) << refused.err;
  EXPECT_EQ(refused.out, "");
}

TEST_F(HistoryVerbs, SettingsAreThoseOfTheCluster) {
  Expect({"settings", "get"}, "event-bytes=32MiB\nhistory=10m\nhistory-bytes=256MiB\n");
  Expect({"settings", "set", "history=90s"}, "OK\n");
  for (std::size_t member = 0; member < 3; ++member) {
    Expect({"settings", "get", "history", "--endpoints", cluster_.address(member)},
           "history=90s\n");
  }
  ExpectError({"settings", "set", "histroy=1h"}, 3, "event-bytes, history, history-bytes");
  ExpectError({"settings", "set", "history=soon"}, 3, "10m or 2h");
  ExpectError({"settings", "set", "history"}, 3, "NAME=VALUE");
  ExpectError({"settings", "get", "histroy"}, 3, "there is no setting");
  const RunResult json = cluster_.Cli({"settings", "get", "history", "-w", "json"});
  EXPECT_NE(json.out.find(R"("settings":{"history":"90s"})"), std::string::npos) << json.out;
}

class NoHistory : public HistoryVerbs {
 protected:
  static constexpr int kKeys = 20;

  void SetUp() override {
    HistoryVerbs::SetUp();
    client_ = cluster_.Connect();
    one_pair_.timeout = 60s;
    one_pair_.page_bytes = 1;
    for (int i = 0; i < kKeys; ++i) {
      ASSERT_NE(Write("m" + std::to_string(10 + i)), 0U);
    }
    Expect({"settings", "set", "history=0s"}, "OK\n");
  }

  /// The revision; 0: it failed.
  std::uint64_t Write(const std::string& key) {
    const auto put = client_->kv().Put(key, "value", {60s});
    EXPECT_TRUE(put.ok()) << put.status().ToString();
    return put.ok() ? put->revision : 0;
  }
  /// Whether the revisions below `revision` go at each member.
  bool WaitUntilCompacted(std::uint64_t revision) {
    return WaitFor(60s, [&] {
      for (std::size_t member = 0; member < cluster_.size(); ++member) {
        const auto status = cluster_.Status(member);
        if (!status.ok() || status->node.compacted_revision < revision) return false;
      }
      return true;
    });
  }

  std::unique_ptr<Client> client_;
  ScanOptions one_pair_;
};

TEST_F(HistoryVerbs, WithoutAHistoryTheLatestIsKeptAndNothingElse) {
  Expect({"settings", "set", "history=0s"}, "OK\n");
  const std::uint64_t first = Put("key", "one");
  const std::uint64_t last = Put("key", "two");
  ASSERT_NE(first, 0U);
  RunResult past;
  EXPECT_TRUE(WaitFor(60s, [&] {
    past = cluster_.Cli({"get", "key", "--rev", std::to_string(first)});
    return past.exit_code == 4;
  }));
  EXPECT_NE(past.err.find("has been compacted"), std::string::npos) << past.err;
  EXPECT_EQ(past.out, "");
  Expect({"get", "key"}, "key\ntwo\n");
  Expect({"get", "key", "--rev", std::to_string(last)}, "key\ntwo\n");
}

// The compacted revision itself can be read, however long a scan of it takes.
TEST_F(NoHistory, AScanOfAnIdleStoreEnds) {
  const std::uint64_t revision = Write("z");
  auto page = client_->kv().Scan(KeyRange::Prefix("m"), one_pair_);
  ASSERT_TRUE(page.ok()) << page.status().ToString();
  ASSERT_TRUE(WaitUntilCompacted(revision));
  int pairs = 1;
  while (!page->continuation.empty()) {
    ASSERT_EQ(page->kvs.size(), 1U);
    ScanOptions next = one_pair_;
    next.continuation = page->continuation;
    page = client_->kv().Scan(KeyRange::Prefix("m"), next);
    ASSERT_TRUE(page.ok()) << page.status().ToString();
    EXPECT_EQ(page->revision, revision);
    ++pairs;
  }
  EXPECT_EQ(pairs, kKeys);
}

TEST_F(NoHistory, AScanThatIsOvertakenEndsWithCompactedAndShowsNoMixture) {
  const auto page = client_->kv().Scan(KeyRange::Prefix("m"), one_pair_);
  ASSERT_TRUE(page.ok()) << page.status().ToString();
  ASSERT_FALSE(page->continuation.empty());
  ASSERT_TRUE(WaitUntilCompacted(Write("m29")));
  ScanOptions next = one_pair_;
  next.continuation = page->continuation;
  const auto lost = client_->kv().Scan(KeyRange::Prefix("m"), next);
  EXPECT_EQ(lost.code(), Code::kCompacted) << lost.status().ToString();
}

TEST_F(NoHistory, AScanOfSeveralPagesEndsWhileKeysAreWritten) {
  const std::uint64_t before = Write("m29");
  std::atomic<bool> stopping{false};
  std::thread writer([&] {
    while (!stopping) Write("m29");
  });
  // Over several looks of the leader.
  const auto end = std::chrono::steady_clock::now() + 6s;
  while (std::chrono::steady_clock::now() < end && !HasFailure()) {
    const auto all = client_->kv().ScanAll(KeyRange::Prefix("m"), one_pair_);
    EXPECT_EQ(all.code(), Code::kOk) << all.status().ToString();
    EXPECT_EQ(all.ok() ? all->kvs.size() : 0, static_cast<std::size_t>(kKeys));
  }
  EXPECT_TRUE(WaitUntilCompacted(before + 1)) << "the past goes meanwhile";
  stopping = true;
  writer.join();
}

}  // namespace
}  // namespace raftkv::test
