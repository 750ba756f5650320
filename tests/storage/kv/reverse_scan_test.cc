// Does the database show the same keys in both directions?
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <rocksdb/env.h>

#include "lib/base/random.h"
#include "storage/kv/kv_engine.h"
#include "tests/support/process/process.h"

namespace raftkv::test {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

std::string KeyOf(std::uint64_t number) { return "d" + std::to_string(1000 + number); }

class ReverseScan : public testing::Test {
 protected:
  ReverseScan() {
    storage::KvEngineOptions options;
    options.folder = folder_ / "kv";
    options.env = rocksdb::Env::Default();
    EXPECT_TRUE(storage::KvEngine::Create(options).ok());
    auto engine = storage::KvEngine::Open(options);
    EXPECT_TRUE(engine.ok()) << engine.status().ToString();
    engine_ = *engine;
  }
  void Write(const kv::Mutation& mutation) { ASSERT_TRUE(engine_->Write({mutation}).ok()); }
  /// The first `limit` pairs.
  static Pairs Scan(kv::View& view, const std::string& begin, const std::string& end, bool reverse,
                    std::size_t limit = SIZE_MAX) {
    Pairs pairs;
    const auto visit = [&](std::string_view key, std::string_view value) {
      pairs.emplace_back(key, value);
      return pairs.size() < limit;
    };
    const Status status =
        reverse ? view.ScanReverse(begin, end, visit) : view.Scan(begin, end, visit);
    EXPECT_TRUE(status.ok()) << status.ToString();
    return pairs;
  }

  const TempFolder folder_;
  std::shared_ptr<storage::KvEngine> engine_;
};

TEST_F(ReverseScan, ShowsWhatAForwardScanDoes) {
  Random dice(3);
  for (int i = 0; i < 3000; ++i) {
    const std::string key = KeyOf(dice.Below(300));
    const std::string value = std::to_string(i);
    const auto revision = static_cast<std::uint64_t>(i) + 2;
    switch (dice.Below(10)) {
      case 0:
      case 1: Write({.kind = kv::Mutation::Kind::kDelete, .key = key, .revision = revision}); break;
      default: Write({.key = key, .value = value, .revision = revision}); break;
    }
    if (dice.Below(500) == 0) {
      ASSERT_TRUE(engine_->Flush().ok());
    }
    if (dice.Below(20) != 0) continue;
    const auto view = engine_->NewView(kv::ReadTier::kAll);
    std::string begin = KeyOf(dice.Below(320));
    std::string bound = KeyOf(dice.Below(320));
    if (bound < begin) std::swap(begin, bound);
    if (dice.Below(4) == 0) begin.clear();
    if (dice.Below(4) == 0) bound.clear();
    Pairs forward = Scan(*view, begin, bound, /*reverse=*/false);
    std::reverse(forward.begin(), forward.end());
    ASSERT_EQ(Scan(*view, begin, bound, /*reverse=*/true), forward) << begin << " to " << bound;
    forward.resize(std::min<std::size_t>(forward.size(), 3));
    ASSERT_EQ(Scan(*view, begin, bound, /*reverse=*/true, 3), forward);
  }
}

TEST_F(ReverseScan, BeginsBelowItsEndAndEndsAtItsBeginning) {
  for (const char* key : {"a", "d1", "d2", "d3", "e"}) Write({.key = key, .value = "v"});
  const auto view = engine_->NewView(kv::ReadTier::kAll);
  EXPECT_EQ(Scan(*view, "d1", "d3", true), (Pairs{{"d2", "v"}, {"d1", "v"}}));
  EXPECT_EQ(Scan(*view, "d", "e", true), (Pairs{{"d3", "v"}, {"d2", "v"}, {"d1", "v"}}));
  EXPECT_EQ(Scan(*view, "d2", "d2", true), Pairs());
  EXPECT_EQ(Scan(*view, "", "", true, 1), (Pairs{{"e", "v"}}));
}

}  // namespace
}  // namespace raftkv::test
