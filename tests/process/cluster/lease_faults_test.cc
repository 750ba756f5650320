// Does a lease live while it is kept alive, whoever leads, and end when it is not?
//
// A machine may be so slow that a lease is not kept alive in time, and then it may end. What it
// must never do is end before its time to live has passed since the last renewal that was
// acknowledged *began*: that is checked to the letter, by the clock of the client.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/process/process_cluster.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kTtl = 2s;
constexpr const char* kKey = "kept";

int Leaders() { return NumberFromEnvironment("RAFTKV_LEASE_LEADERS", 3); }

/// Keeps a lease alive from a thread of its own, and a key attached to it.
class Keeper {
 public:
  explicit Keeper(ProcessCluster& cluster)
      : client_(cluster.Connect()), thread_([this] { Run(); }) {}
  ~Keeper() { Stop(); }

  void Stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }
  [[nodiscard]] std::uint64_t renewals() const { return renewals_; }
  /// How often the lease ended because it was not kept alive in time.
  [[nodiscard]] std::uint64_t lost() const { return lost_; }
  [[nodiscard]] std::vector<std::string> Problems() {
    const std::lock_guard lock(mutex_);
    return problems_;
  }

  /// The key is there for anybody who asks, unless its lease may be over.
  void ExpectKey(Client& reader) {
    const auto begun = begun_.load();
    const auto found = reader.kv().Get(kKey, {.timeout = 30s});
    if (found.ok() || steady_clock::now() - begun >= kTtl) return;
    Report("the key is not there: " + found.status().ToString());
  }

 private:
  void Report(const std::string& problem) {
    const std::lock_guard lock(mutex_);
    problems_.push_back(problem);
  }

  /// The lease is there from here on, and the key attached to it.
  void Begin() {
    while (!stop_) {
      const auto begun = steady_clock::now();
      const auto lease = client_->kv().GrantLease(kTtl);
      if (!lease.ok()) continue;
      WriteOptions attached{30s};
      attached.lease = lease->id;
      const auto put = client_->kv().Put(kKey, "value", attached);
      if (put.ok()) {
        id_ = lease->id;
        begun_ = begun;
        return;
      }
      if (put.code() == Code::kNotFound && steady_clock::now() - begun < kTtl) {
        Report("the lease ended before it was attached to");
      }
    }
  }

  void Run() {
    Begin();
    while (!stop_) {
      WaitFor(kTtl / 4, [this] { return stop_.load(); });
      const auto begun = steady_clock::now();
      const auto renewed = client_->kv().KeepAlive({id_}, {30s});
      if (!renewed.ok()) continue;  // asked again: nobody has said that it is gone
      if (renewed->front().ttl.count() != 0) {
        begun_ = begun;
        ++renewals_;
        continue;
      }
      if (steady_clock::now() - begun_.load() < kTtl) Report("the lease ended too early");
      ++lost_;
      Begin();
    }
  }

  const std::unique_ptr<Client> client_;
  std::atomic<bool> stop_{false};
  std::atomic<std::uint64_t> renewals_{0};
  std::atomic<std::uint64_t> lost_{0};
  /// When the last call that gave the lease its whole time was begun.
  std::atomic<steady_clock::time_point> begun_{steady_clock::time_point()};
  std::uint64_t id_ = 0;  ///< of the thread alone
  std::mutex mutex_;
  std::vector<std::string> problems_;  // guarded by mutex_
  std::thread thread_;
};

bool WaitForRenewals(Keeper& keeper, std::uint64_t count) {
  const std::uint64_t before = keeper.renewals();
  return WaitFor(60s, [&] { return keeper.renewals() >= before + count; });
}

TEST(LeaseFaults, ALeaseThatIsKeptAliveOutlivesItsLeaders) {
  ProcessCluster cluster;
  ASSERT_TRUE(cluster.StartAll());
  const auto reader = cluster.Connect();
  Keeper keeper(cluster);
  ASSERT_TRUE(WaitForRenewals(keeper, 1));
  for (int round = 0; round < Leaders(); ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    auto leader = cluster.WaitForLeader(60s);
    ASSERT_TRUE(leader.has_value());
    cluster.Kill(*leader);
    ASSERT_TRUE(WaitForRenewals(keeper, 2)) << "no renewals after the kill";
    keeper.ExpectKey(*reader);
    ASSERT_TRUE(cluster.Start(*leader));

    // For less than the lease has, and every other time for more: then others lead, and the one
    // that was paused is not to end what they renewed.
    leader = cluster.WaitForLeader(60s);
    ASSERT_TRUE(leader.has_value());
    cluster.Pause(*leader);
    const milliseconds pause = round % 2 == 0 ? kTtl / 2 : kTtl * 2;
    WaitFor(pause, [] { return false; });
    cluster.Continue(*leader);
    ASSERT_TRUE(WaitForRenewals(keeper, 2)) << "no renewals after the pause";
    keeper.ExpectKey(*reader);
    ASSERT_EQ(keeper.Problems(), std::vector<std::string>());
  }
  keeper.Stop();
  EXPECT_EQ(keeper.Problems(), std::vector<std::string>());
  testing::Test::RecordProperty("renewals", std::to_string(keeper.renewals()));
  testing::Test::RecordProperty("lost on a slow machine", std::to_string(keeper.lost()));
  const auto statuses = cluster.WaitUntilEqual(60s);
  ASSERT_EQ(statuses.size(), 3U);
  for (const EndpointStatus& status : statuses) {
    EXPECT_EQ(status.content_hash, statuses.front().content_hash);
  }
}

/// From the call that granted a lease with a key until nobody finds the key; nothing keeps it
/// alive, and `fault` happens meanwhile.
template <class Fault>
milliseconds LifeOfALease(Client& client, const Fault& fault) {
  const auto begun = steady_clock::now();
  const auto lease = client.kv().GrantLease(kTtl, 0, {60s});
  EXPECT_TRUE(lease.ok()) << lease.status().ToString();
  if (!lease.ok()) return {};
  WriteOptions attached{60s};
  attached.lease = lease->id;
  const auto put = client.kv().Put("forgotten", "value", attached);
  // NotFound: the machine is so slow that it has ended before.
  EXPECT_TRUE(put.ok() || put.code() == Code::kNotFound) << put.status().ToString();
  fault();
  const auto is_gone = [&] {
    return client.kv().Get("forgotten", {.timeout = 60s}).code() == Code::kNotFound;
  };
  EXPECT_TRUE(WaitFor(120s, is_gone)) << "the key outlives its lease";
  const auto life = std::chrono::duration_cast<milliseconds>(steady_clock::now() - begun);
  EXPECT_GE(life, kTtl) << "the lease ended too early";
  return life;
}

TEST(LeaseFaults, ALeaseThatIsNotKeptAliveEnds) {
  ProcessCluster cluster;
  ASSERT_TRUE(cluster.StartAll());
  const auto client = cluster.Connect();
  const milliseconds quiet = LifeOfALease(*client, [] {});
  std::size_t killed = 0;
  const milliseconds killing = LifeOfALease(*client, [&] {
    const auto leader = cluster.WaitForLeader(60s);
    ASSERT_TRUE(leader.has_value());
    killed = *leader;
    cluster.Kill(killed);
  });
  ASSERT_TRUE(cluster.Start(killed));
  // What is promised, two election timeouts, is measured and not judged: the machine may be slow.
  testing::Test::RecordProperty("ms of a quiet cluster", std::to_string(quiet.count()));
  testing::Test::RecordProperty("ms of one without its leader", std::to_string(killing.count()));
  const auto leases = client->kv().ListLeases();
  ASSERT_TRUE(leases.ok()) << leases.status().ToString();
  EXPECT_TRUE(leases->empty());
}

}  // namespace
}  // namespace raftkv::test
