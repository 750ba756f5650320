// Does a leader that was stopped for a while, and does not know it, answer with what is old?
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/process/process_cluster.h"
#include "tests/support/process/process_workload.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;

constexpr auto kThreeElectionTimeouts = 3 * 600ms;

// Reads that are sent to one member only and wait in its socket while it is paused.
class DirectReads {
 public:
  DirectReads(ProcessCluster& cluster, std::size_t member, Workload& workload)
      : workload_(workload) {
    ClientOptions options;
    options.endpoints = {cluster.address(member)};
    options.follow_leader = false;
    options.coalesce = false;  // else the second read waits in the client for the first
    auto client = Client::Connect(options);
    EXPECT_TRUE(client.ok()) << client.status().ToString();
    client_ = std::move(client).value();
  }
  ~DirectReads() {
    // The callbacks are over before what they refer to goes.
    EXPECT_TRUE(WaitFor(20s, [this] { return ended_ == begun_; }));
    client_.reset();
  }

  void Begin() {
    CountedKey& key = *workload_.keys()[begun_ % workload_.keys().size()];
    ++begun_;
    const std::uint64_t floor = key.Floor();
    client_->kv().GetAsync(key.key, {.timeout = 8s}, [this, &key, floor](Result<KeyValue> answer) {
      if (answer.ok()) ++answered_;
      // That it does not respond in time is no wrong answer.
      const std::string problem = answer.ok() ? key.Check(answer, floor) : std::string();
      if (!problem.empty()) workload_.Report("a stale read: " + problem);
      ++ended_;
    });
  }
  [[nodiscard]] std::uint64_t begun() const { return begun_; }
  [[nodiscard]] std::uint64_t ended() const { return ended_; }
  [[nodiscard]] std::uint64_t answered() const { return answered_; }

 private:
  Workload& workload_;
  std::unique_ptr<Client> client_;
  std::atomic<std::uint64_t> begun_{0};
  std::atomic<std::uint64_t> ended_{0};
  std::atomic<std::uint64_t> answered_{0};
};

void PauseTheLeaderOnce(ProcessCluster& cluster, Workload& workload) {
  const auto leader = cluster.WaitForLeader(20s);
  ASSERT_TRUE(leader.has_value());
  DirectReads reads(cluster, *leader, workload);
  reads.Begin();
  ASSERT_TRUE(WaitFor(10s, [&] { return reads.answered() == 1; })) << "no read before the pause";

  cluster.Pause(*leader);
  const std::uint64_t acknowledged = workload.keys()[0]->acknowledged;
  // Some reads are begun before the others elect a leader and go on, some after.
  WaitFor(kThreeElectionTimeouts, [&] {
    if (reads.begun() - reads.ended() < 60) reads.Begin();
    return false;
  });
  EXPECT_TRUE(WaitFor(5s, [&] { return workload.keys()[0]->acknowledged > acknowledged + 5; }))
      << "the others do not go on without the leader";
  cluster.Continue(*leader);
  const std::uint64_t answered = reads.answered();
  EXPECT_TRUE(WaitFor(10s, [&] {
    if (reads.begun() - reads.ended() < 60) reads.Begin();
    return reads.answered() > answered + 100;
  })) << "the member that was paused answers no reads any more";
}

TEST(Pause, ALeaderThatWasStoppedAnswersNoStaleRead) {
  ProcessCluster cluster;
  ASSERT_TRUE(cluster.StartAll());
  Workload workload(cluster);
  ASSERT_TRUE(workload.WaitForProgress(10, 10s));
  for (int round = 0; round < 3; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    PauseTheLeaderOnce(cluster, workload);
    ASSERT_EQ(workload.Problems(), std::vector<std::string>());
    ASSERT_TRUE(workload.WaitForProgress(5, 20s));
  }
  workload.Stop();
  EXPECT_EQ(workload.Problems(), std::vector<std::string>());

  // No acknowledged write is lost: each writer's last one is what everybody has.
  ASSERT_EQ(cluster.WaitUntilEqual(20s).size(), 3U);
  const auto client = cluster.Connect();
  for (const auto& key : workload.keys()) {
    const auto found = client->kv().Get(key->key);
    ASSERT_TRUE(found.ok()) << found.status().ToString();
    EXPECT_EQ(found->value, std::to_string(key->acknowledged)) << key->key;
  }
}

}  // namespace
}  // namespace raftkv::test
