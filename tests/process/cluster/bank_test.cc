// Do transfers between accounts keep the sum of all in every state that anybody reads, while
// leaders are killed?
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "lib/base/random.h"
#include "tests/support/process/process.h"
#include "tests/support/process/process_cluster.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;

constexpr int kAccounts = 50;
constexpr std::int64_t kEach = 100;
constexpr int kKills = 5;

std::string Account(int number) { return "account/" + std::to_string(10 + number); }

class Bank {
 public:
  explicit Bank(ProcessCluster& cluster) : cluster_(cluster) {
    for (int teller = 0; teller < 4; ++teller) {
      threads_.emplace_back([this, teller] { Transfer(teller); });
    }
    for (std::size_t member = 0; member < cluster.size(); ++member) {
      threads_.emplace_back([this, member] { Audit(member); });
    }
  }
  ~Bank() { Stop(); }

  void Stop() {
    stopped_ = true;
    for (std::thread& thread : threads_) {
      if (thread.joinable()) thread.join();
    }
  }
  bool WaitForTransfers(int more, std::chrono::seconds timeout) {
    const int wanted = transfers_ + more;
    return WaitFor(timeout, [&] { return transfers_ >= wanted; });
  }
  [[nodiscard]] int audits() const { return audits_; }
  [[nodiscard]] int wrong_sums() const { return wrong_sums_; }

 private:
  /// From one account to another, if both are as they were read.
  void Transfer(int teller) {
    const auto client = cluster_.Connect(static_cast<std::size_t>(teller) % cluster_.size());
    Random chance(static_cast<std::uint64_t>(teller) + 1);
    while (!stopped_) {
      const std::string from = Account(static_cast<int>(chance.Below(kAccounts)));
      const std::string to = Account(static_cast<int>(chance.Below(kAccounts)));
      if (from == to) continue;
      const auto read = client->kv().Txn().Then({Op::Get(from), Op::Get(to)}).Commit({2s});
      if (!read.ok()) continue;
      const KeyValue& a = read->results[0].found.kvs.at(0);
      const KeyValue& b = read->results[1].found.kvs.at(0);
      const std::int64_t amount = 1 + static_cast<std::int64_t>(chance.Below(10));
      const auto done = client->kv()
                            .Txn()
                            .If({Compare::ModRevision(from, Compare::kEqual, a.mod_revision),
                                 Compare::Value(to, Compare::kEqual, b.value)})
                            .Then({Op::Put(from, std::to_string(std::stoll(a.value) - amount)),
                                   Op::Increment(to, amount)})
                            .Commit({2s});
      if (done.ok() && done->succeeded) ++transfers_;
    }
  }

  /// What the member itself has applied, and what is so of the whole cluster.
  void Audit(std::size_t member) {
    const auto own = cluster_.ConnectOnlyTo(member);
    const auto any = cluster_.Connect(member);
    ScanOptions options;
    options.timeout = 2s;
    while (!stopped_) {
      options.consistency = Consistency::kLocal;
      Check(own->kv().Scan(KeyRange::Prefix("account/"), options), /*may_be_empty=*/true);
      options.consistency = Consistency::kLinearizable;
      Check(any->kv().Scan(KeyRange::Prefix("account/"), options), /*may_be_empty=*/false);
      WaitFor(10ms, [this] { return stopped_.load(); });
    }
  }

  /// `may_be_empty`: the member may not have come to the accounts yet.
  void Check(const Result<ScanResult>& found, bool may_be_empty) {
    if (!found.ok() || (may_be_empty && found->kvs.empty())) return;
    std::int64_t sum = 0;
    for (const KeyValue& kv : found->kvs) sum += std::stoll(kv.value);
    ++audits_;
    if (sum != kAccounts * kEach || found->kvs.size() != kAccounts) ++wrong_sums_;
  }

  ProcessCluster& cluster_;
  std::atomic<bool> stopped_{false};
  std::atomic<int> transfers_{0};
  std::atomic<int> audits_{0};
  std::atomic<int> wrong_sums_{0};
  std::vector<std::thread> threads_;
};

TEST(Bank, TransfersKeepTheSumInEveryReadWhileLeadersAreKilled) {
  ProcessCluster cluster;
  ASSERT_TRUE(cluster.StartAll());
  Batch open;
  for (int i = 0; i < kAccounts; ++i) open.Put(Account(i), std::to_string(kEach));
  ASSERT_TRUE(cluster.Connect()->kv().Write(open, {60s}).ok());
  Bank bank(cluster);
  for (int kill = 0; kill < kKills; ++kill) {
    SCOPED_TRACE("kill " + std::to_string(kill));
    ASSERT_TRUE(bank.WaitForTransfers(20, 60s));
    const auto leader = cluster.WaitForLeader(60s);
    ASSERT_TRUE(leader.has_value());
    cluster.Kill(*leader);
    ASSERT_TRUE(bank.WaitForTransfers(5, 60s)) << "none after the kill";
    ASSERT_TRUE(cluster.Start(*leader));
  }
  ASSERT_TRUE(bank.WaitForTransfers(20, 60s));
  bank.Stop();
  EXPECT_EQ(bank.wrong_sums(), 0);
  EXPECT_GT(bank.audits(), 50);
  ASSERT_EQ(cluster.WaitUntilEqual(60s).size(), 3U);
}

}  // namespace
}  // namespace raftkv::test
