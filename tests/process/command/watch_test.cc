// Does a watch of a real cluster show each change once and in order, whoever is killed?
#include <chrono>
#include <csignal>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <raftkv/watch.h>

#include "tests/support/process/process_cluster.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;
using Json = nlohmann::ordered_json;

class WatchVerb : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(cluster_.StartAll()); }

  std::unique_ptr<Process> Begin(std::vector<std::string> arguments, const std::string& output) {
    std::vector<std::string> command = {RAFTKV_BINARY, "watch", "--endpoints",
                                        cluster_.endpoints()};
    command.insert(command.end(), arguments.begin(), arguments.end());
    ProcessOptions options;
    options.command = std::move(command);
    options.stdout_path = cluster_.folder() / output;
    options.stderr_path = cluster_.folder() / (output + ".err");
    return std::make_unique<Process>(std::move(options));
  }
  std::uint64_t Put(const std::string& key, const std::string& value) {
    const RunResult result = cluster_.Cli({"put", key, value, "-w", "json"});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    const Json json = Json::parse(result.out, nullptr, /*allow_exceptions=*/false);
    return json.is_discarded() ? 0 : json["header"]["revision"].get<std::uint64_t>();
  }
  /// Waits until `process` has printed `text`, and nothing else.
  static void ExpectOutput(Process& process, const std::string& text) {
    EXPECT_TRUE(WaitFor(10s, [&] { return process.Stdout() == text; }))
        << process.Stdout() << process.Stderr();
  }

  ProcessCluster cluster_{{.members = 3, .flags = {}}};
};

TEST_F(WatchVerb, PrintsEachChangeAndEndsOnASignal) {
  const std::uint64_t first = Put("a1", "one");
  Put("b", "other");
  for (const int signal : {SIGTERM, SIGINT}) {
    const auto watch =
        Begin({"a", "--prefix", "--rev", std::to_string(first)}, "out" + std::to_string(signal));
    ExpectOutput(*watch, signal == SIGTERM ? "PUT\na1\none\n" : "PUT\na1\none\nDELETE\na1\n\n");
    if (signal == SIGTERM) {
      EXPECT_EQ(cluster_.Cli({"del", "a1"}).out, "1\n");
      ExpectOutput(*watch, "PUT\na1\none\nDELETE\na1\n\n");
    }
    watch->Signal(signal);
    EXPECT_EQ(watch->WaitForExit(10s), 0);
  }
}

TEST_F(WatchVerb, JsonHasOneObjectARevision) {
  const std::uint64_t first = Put("k", "one");
  EXPECT_EQ(cluster_.Cli({"put", "k", "two"}).exit_code, 0);
  EXPECT_EQ(cluster_.Cli({"del", "k"}).exit_code, 0);
  const auto watch = Begin(
      {"k", "--rev", std::to_string(first), "--prev-kv", "-w", "json", "--json-strings"}, "json");
  ASSERT_TRUE(WaitFor(10s,
                      [&] {
                        const std::string out = watch->Stdout();
                        return std::count(out.begin(), out.end(), '\n') == 3;
                      }))
      << watch->Stdout() << watch->Stderr();
  std::vector<Json> lines;
  std::string out = watch->Stdout();
  for (std::size_t begin = 0; begin < out.size();) {
    const std::size_t end = out.find('\n', begin);
    lines.push_back(Json::parse(out.substr(begin, end - begin), nullptr, false));
    begin = end + 1;
  }
  EXPECT_EQ(lines[0]["header"]["revision"], first);
  EXPECT_EQ(lines[0]["events"][0]["type"], "PUT");
  EXPECT_EQ(lines[0]["events"][0]["kv"]["value"], "one");
  EXPECT_FALSE(lines[0]["events"][0].contains("prev_kv"));
  EXPECT_EQ(lines[1]["events"][0]["prev_kv"]["value"], "one");
  EXPECT_EQ(lines[2]["events"][0]["type"], "DELETE");
  EXPECT_EQ(lines[2]["events"][0]["prev_kv"]["value"], "two");
  EXPECT_EQ(lines[2]["events"][0]["kv"]["mod_revision"], first + 2);
}

TEST_F(WatchVerb, WhatIsCompactedIsRefused) {
  const std::uint64_t first = Put("k", "one");
  const std::uint64_t second = Put("k", "two");
  EXPECT_EQ(cluster_.Cli({"compact", std::to_string(second)}).exit_code, 0);
  const RunResult result = cluster_.Cli({"watch", "k", "--rev", std::to_string(first)});
  EXPECT_EQ(result.exit_code, 4) << result.err;
  EXPECT_NE(result.err.find("the lowest one that can be read is " + std::to_string(second)),
            std::string::npos)
      << result.err;
  EXPECT_EQ(result.ErrorLines(), 1U);
  const auto at_the_bound = Begin({"k", "--rev", std::to_string(second)}, "bound");
  ExpectOutput(*at_the_bound, "PUT\nk\ntwo\n");
}

TEST_F(WatchVerb, RunsACommandForEachEvent) {
  const std::uint64_t first = Put("k", "one");
  EXPECT_EQ(cluster_.Cli({"del", "k"}).exit_code, 0);
  const std::string print =
      "echo \"$RAFTKV_WATCH_EVENT_TYPE $RAFTKV_WATCH_KEY $RAFTKV_WATCH_VALUE "
      "$RAFTKV_WATCH_REVISION\"";
  const auto watch =
      Begin({"k", "--rev", std::to_string(first), "--", "sh", "-c", print}, "command");
  ExpectOutput(*watch, "PUT\nk\none\nPUT k one " + std::to_string(first) + "\nDELETE\nk\n\n" +
                           "DELETE k  " + std::to_string(first + 1) + "\n");
  const RunResult fails =
      cluster_.Cli({"watch", "k", "--rev", std::to_string(first), "--", "sh", "-c", "exit 3"});
  EXPECT_EQ(fails.exit_code, 1);
  EXPECT_NE(fails.err.find("sh has ended with status 3"), std::string::npos) << fails.err;
}

TEST_F(WatchVerb, AFilterAndProgress) {
  const std::uint64_t first = Put("k", "one");
  EXPECT_EQ(cluster_.Cli({"del", "k"}).exit_code, 0);
  const auto deletes =
      Begin({"k", "--rev", std::to_string(first), "--filter", "delete"}, "deletes");
  ExpectOutput(*deletes, "DELETE\nk\n\n");
  const auto progress = Begin({"k", "--progress"}, "progress");
  ExpectOutput(*progress, "PROGRESS\n" + std::to_string(first + 1) + "\n");
}

TEST_F(WatchVerb, EndsWithItsReaderAndWithoutAMember) {
  const auto pipe = std::make_unique<Process>(
      ProcessOptions{.command = {"/bin/sh", "-c",
                                 std::string(RAFTKV_BINARY) + " watch k --rev 2 --endpoints " +
                                     cluster_.endpoints() + " | head -n 1"},
                     .environment = {},
                     .stdin_content = {},
                     .stdout_path = cluster_.folder() / "head",
                     .stderr_path = cluster_.folder() / "head.err"});
  Put("k", "one");
  EXPECT_EQ(pipe->WaitForExit(10s), 0) << pipe->Stderr();
  EXPECT_EQ(pipe->Stdout(), "PUT\n");
  EXPECT_EQ(pipe->Stderr(), "");
  EXPECT_EQ(RunRaftkv({"watch", "k", "--endpoints", FreeAddress(), "--timeout", "500ms"}).exit_code,
            2);
}

TEST_F(WatchVerb, EveryMemberServesWatchesAndALeaderMayBeKilled) {
  auto leader = cluster_.WaitForLeader(10s);
  ASSERT_TRUE(leader.has_value());
  std::vector<std::unique_ptr<Client>> clients;
  std::vector<Watcher> watchers;
  for (std::size_t member = 0; member < 3; ++member) {
    clients.push_back(cluster_.Connect(member));
    watchers.push_back(clients.back()->kv().Watch(KeyRange::Prefix("k"), {}));
    const auto begun = watchers.back().Next(10s);
    ASSERT_TRUE(begun.ok()) << begun.status().ToString();
    EXPECT_TRUE(begun->is_progress());
  }
  const std::uint64_t first = Put("k1", "one");
  cluster_.Kill(*leader);
  const std::uint64_t second = Put("k2", "two");
  for (Watcher& watcher : watchers) {
    const auto one = watcher.Next(20s);
    ASSERT_TRUE(one.ok()) << one.status().ToString();
    EXPECT_EQ(one->revision, first);
    const auto two = watcher.Next(20s);
    ASSERT_TRUE(two.ok()) << two.status().ToString();
    EXPECT_EQ(two->revision, second);
  }
}

/// Replays events, and counts what should not be.
struct Replayed {
  std::map<std::string, std::string> keys;
  std::uint64_t last = 0;
  std::uint64_t responses = 0;
  std::vector<std::string> wrong;

  void Take(const WatchResponse& response) {
    if (response.is_progress()) {
      if (response.revision < last) wrong.push_back("progress goes back");
      return;
    }
    ++responses;
    if (response.revision <= last) wrong.push_back("again: " + std::to_string(response.revision));
    // Each call of the writer changes something below the prefix, so that there is no gap.
    if (last != 0 && response.revision != last + 1) {
      wrong.push_back("a gap before " + std::to_string(response.revision));
    }
    last = response.revision;
    for (const WatchEvent& event : response.events) {
      if (event.kv.mod_revision != response.revision)
        wrong.push_back("an event of another revision");
      if (event.kind == WatchEvent::Kind::kDelete) {
        if (keys.erase(event.kv.key) != 1) wrong.push_back("a delete of nothing");
      } else {
        keys[event.kv.key] = event.kv.value;
      }
    }
  }
};

// The acceptance check in small: RAFTKV_WATCH_KILLS and RAFTKV_WATCH_CHANGES make it longer.
TEST_F(WatchVerb, AReplayedCopyEqualsTheStoreOverKills) {
  const int kills = NumberFromEnvironment("RAFTKV_WATCH_KILLS", 6);
  const int changes = NumberFromEnvironment("RAFTKV_WATCH_CHANGES", 3000);
  const auto writer = cluster_.Connect();
  const auto reader = cluster_.Connect(1);
  WatchOptions options;
  options.revision = 2;
  options.progress = 100ms;
  Watcher watcher = reader->kv().Watch(KeyRange::Prefix(""), options);
  Replayed copy;
  std::uint64_t last_revision = 0;
  const auto replay_until = [&](std::uint64_t revision, std::chrono::seconds limit) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (copy.last < revision && std::chrono::steady_clock::now() < end) {
      const auto response = watcher.Next(200ms);
      if (response.ok())
        copy.Take(*response);
      else
        ASSERT_EQ(response.code(), Code::kDeadlineExceeded) << response.status().ToString();
    }
  };
  for (int i = 0; i < changes; ++i) {
    const std::string key = "key" + std::to_string(i % 97);
    const std::string value = std::to_string(i);
    WriteOptions write;
    write.timeout = 30s;
    Result<WriteResult> done =
        i % 5 == 4 ? writer->kv().Write(Batch().Put(key, value).Put("last", value), write)
                   : writer->kv().Put(key, value, write);
    if (i % 11 == 10 && done.ok()) {
      const auto deleted = writer->kv().Delete(key, write);
      ASSERT_TRUE(deleted.ok()) << deleted.status().ToString();
      done = WriteResult{deleted->revision};
    }
    ASSERT_TRUE(done.ok()) << done.status().ToString();
    last_revision = done->revision;
    // It follows while members are killed, and is a little behind.
    for (auto next = watcher.Next(0ms); next.ok(); next = watcher.Next(0ms)) copy.Take(*next);
    if (kills > 0 && i % std::max(changes / (kills + 1), 1) == changes / (kills + 1) / 2) {
      const std::size_t victim = static_cast<std::size_t>(i) % 3;
      cluster_.Kill(victim);
      ASSERT_TRUE(cluster_.Start(victim));
    }
  }
  replay_until(last_revision, 60s);
  EXPECT_EQ(copy.wrong, std::vector<std::string>());
  EXPECT_EQ(copy.last, last_revision);
  const auto all = writer->kv().ScanAll(KeyRange::Prefix(""));
  ASSERT_TRUE(all.ok()) << all.status().ToString();
  std::map<std::string, std::string> stored;
  for (const KeyValue& kv : all->kvs) stored[kv.key] = kv.value;
  EXPECT_EQ(copy.keys, stored);
}

}  // namespace
}  // namespace raftkv::test
