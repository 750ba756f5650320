// Does the checker say what a search through all orders says, and is it quick?
//
// RAFTKV_SEED=n runs one small history alone. RAFTKV_SEEDS=n runs n times as many.
#include <cstdlib>
#include <ctime>
#include <iostream>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/linearizability/linearizability.h"
#include "tests/support/linearizability/model_store.h"
#include "tests/support/linearizability/random_history.h"

namespace raftkv::test {
namespace {

std::uint64_t FromEnvironment(const char* name, std::uint64_t otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

std::string Show(const History& history) {
  std::string out;
  for (History::Id id = 0; id < history.records().size(); ++id) out += history.Describe(id) + "\n";
  return out;
}

HistoryShape SmallShape(Random& random) {
  HistoryShape shape;
  shape.clients = 2 + random.Below(4);
  shape.keys = 1 + random.Below(3);
  shape.operations = 4 + random.Below(4);
  shape.unknown_percent = random.Below(2) * random.Below(60);
  shape.batch_percent = random.Below(2) * random.Below(50);
  shape.range_percent = random.Below(2) * random.Below(40);
  shape.read_percent = 10 + random.Below(60);
  shape.increment_percent = random.Below(2) * random.Below(60);
  shape.swap_percent = random.Below(2) * random.Below(60);
  shape.unique_values = random.Below(3) == 0;
  return shape;
}

TEST(LinearizabilityRandomTest, SaysWhatASearchThroughAllOrdersSays) {
  constexpr std::uint64_t kBudget = 100'000;
  const std::uint64_t only = FromEnvironment("RAFTKV_SEED", 0);
  const std::uint64_t last = only != 0 ? only : 15'000 * FromEnvironment("RAFTKV_SEEDS", 1);
  std::uint64_t good = 0;
  std::uint64_t bad = 0;
  for (std::uint64_t seed = only != 0 ? only : 1; seed <= last; ++seed) {
    Random random{seed};
    const HistoryShape shape = SmallShape(random);
    Script script = RandomScript(shape, random);
    const CheckResult truth = CheckLinearizability(script.ToHistory(), kBudget);
    ASSERT_EQ(truth.verdict, Verdict::kLinearizable)
        << "RAFTKV_SEED=" << seed << "\n"
        << truth.explanation << Show(script.ToHistory());
    for (int round = 0; round < 3; ++round) {
      Mutate(script, random);
      const History history = script.ToHistory();
      const bool has_order = HasOrder(history);
      const CheckResult result = CheckLinearizability(history, kBudget);
      ASSERT_EQ(result.verdict, has_order ? Verdict::kLinearizable : Verdict::kNotLinearizable)
          << "RAFTKV_SEED=" << seed << " round " << round << "\n"
          << result.explanation << Show(history);
      ASSERT_EQ(result.explanation.empty(), has_order);
      ++(has_order ? good : bad);
    }
  }
  if (only != 0) return;
  // Neither verdict may be rare.
  EXPECT_GT(good, last / 2);
  EXPECT_GT(bad, last / 2);
  std::cout << good << " small histories with an order, " << bad << " without\n";
}

double CpuMs() { return 1e3 * static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

struct Measured {
  CheckResult result;
  double cpu_ms = 0;
};

Measured Measure(const History& history) {
  const double begin_ms = CpuMs();
  Measured measured;
  measured.result = CheckLinearizability(history);
  measured.cpu_ms = CpuMs() - begin_ms;
  return measured;
}

/// Checks histories of `shape`, and each with one answer changed; prints what they took.
void CheckLarge(const std::string& name, const HistoryShape& shape) {
  constexpr int kHistories = 20;
  double sum_ms = 0;
  double most_ms = 0;
  double most_mutated_ms = 0;
  std::uint64_t most_steps = 0;
  int bad = 0;
  for (std::uint64_t seed = 1; seed <= kHistories; ++seed) {
    Random random{seed};
    Script script = RandomScript(shape, random);
    const Measured good = Measure(script.ToHistory());
    ASSERT_EQ(good.result.verdict, Verdict::kLinearizable) << name << " seed " << seed << "\n"
                                                           << good.result.explanation;
    sum_ms += good.cpu_ms;
    most_ms = std::max(most_ms, good.cpu_ms);
    most_steps = std::max(most_steps, good.result.steps);
    Mutate(script, random);
    const Measured mutated = Measure(script.ToHistory());
    EXPECT_NE(mutated.result.verdict, Verdict::kGaveUp) << name << " seed " << seed << " mutated\n"
                                                        << mutated.result.explanation;
    most_mutated_ms = std::max(most_mutated_ms, mutated.cpu_ms);
    if (mutated.result.verdict == Verdict::kNotLinearizable) ++bad;
  }
  EXPECT_GT(bad, 0) << name;
  std::cout << name << ": mean " << sum_ms / kHistories << " ms of CPU, most " << most_ms << " ms ("
            << most_steps << " steps), with a change most " << most_mutated_ms << " ms; " << bad
            << " of " << kHistories << " changes are violations\n";
}

HistoryShape LargeShape(std::size_t operations) {
  HistoryShape shape;
  shape.clients = 10;
  shape.keys = 10;
  shape.operations = operations;
  shape.unknown_percent = 5;
  shape.failed_percent = 2;
  shape.batch_percent = 0;
  shape.range_percent = 0;
  shape.unique_values = true;
  return shape;
}

TEST(LinearizabilityRandomTest, KeysApart) {
  HistoryShape shape = LargeShape(1000);
  CheckLarge("1,000 operations, keys apart", shape);
  shape.operations = 2000;
  shape.unique_values = false;
  CheckLarge("2,000 operations, keys apart, few values", shape);
}

TEST(LinearizabilityRandomTest, KeysJoinedInGroups) {
  HistoryShape shape = LargeShape(1000);
  shape.batch_percent = 10;
  shape.range_percent = 5;
  shape.group = 3;
  shape.keys = 9;
  CheckLarge("1,000 operations, groups of 3 keys", shape);
}

TEST(LinearizabilityRandomTest, AllKeysJoined) {
  HistoryShape shape = LargeShape(2000);
  shape.batch_percent = 10;
  CheckLarge("2,000 operations, all joined by batches", shape);
  shape.range_percent = 10;
  CheckLarge("2,000 operations, all joined by batches and ranges", shape);
}

TEST(LinearizabilityRandomTest, OneHotKey) {
  HistoryShape shape = LargeShape(1000);
  shape.keys = 1;
  CheckLarge("1,000 operations, one key", shape);
}

}  // namespace
}  // namespace raftkv::test
