// Does the database hold what a map would hold, whatever ranges were deleted, and does it give back
// the space of what is gone?
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <rocksdb/env.h>

#include "lib/base/random.h"
#include "lib/kv/store.h"
#include "storage/kv/kv_engine.h"
#include "tests/support/process/process.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;
using kv::Mutation;

using Content = std::map<std::string, std::string>;

std::string KeyOf(std::uint64_t number) {
  const std::string digits = std::to_string(number);
  return "d" + std::string(7 - digits.size(), '0') + digits;
}

class RangeDelete : public testing::Test {
 protected:
  RangeDelete() {
    EXPECT_TRUE(storage::KvEngine::Create(Options()).ok());
    Open();
  }

  storage::KvEngineOptions Options() {
    storage::KvEngineOptions options;
    options.folder = folder_ / "kv";
    options.env = rocksdb::Env::Default();
    return options;
  }
  void Open() {
    auto engine = storage::KvEngine::Open(Options());
    ASSERT_TRUE(engine.ok()) << engine.status().ToString();
    engine_ = *engine;
  }
  void Reopen() {
    ASSERT_TRUE(engine_->Close().ok());
    engine_.reset();
    Open();
  }

  void Put(const std::string& key, const std::string& value) {
    ASSERT_TRUE(engine_->Write({{.key = key, .value = value}}).ok());
  }
  void Delete(const std::string& begin, const std::string& end) {
    const Mutation mutation{.kind = Mutation::Kind::kDeleteRange, .key = begin, .end = end};
    ASSERT_TRUE(engine_->Write({mutation}).ok());
  }
  void Fill(std::uint64_t keys, std::size_t value_bytes) {
    Random dice(1);
    for (std::uint64_t i = 0; i < keys; ++i) {
      std::string value(value_bytes, '\0');
      for (char& byte : value) byte = static_cast<char>(dice.Next());
      Put(KeyOf(i), value);
    }
  }
  static Content ContentOf(kv::View& view) {
    Content content;
    const Status status = view.Scan("", "", [&](std::string_view key, std::string_view value) {
      content.emplace(key, value);
      return true;
    });
    EXPECT_TRUE(status.ok()) << status.ToString();
    return content;
  }
  Content Now() { return ContentOf(*engine_->NewView(kv::ReadTier::kAll)); }
  std::uint64_t TableBytes() {
    std::uint64_t bytes = 0;
    for (const std::string& path : engine_->Tables()) bytes += std::filesystem::file_size(path);
    return bytes;
  }

  const TempFolder folder_;
  std::shared_ptr<storage::KvEngine> engine_;
};

TEST_F(RangeDelete, TakesWhatIsInMemoryAndInTablesAndNothingBeside) {
  for (int i = 0; i < 10; ++i) Put(KeyOf(i), "table");
  ASSERT_TRUE(engine_->Flush().ok());
  Put(KeyOf(3), "memory");
  Put(KeyOf(20), "memory");
  const auto before = engine_->NewView(kv::ReadTier::kAll);
  // In one write: a put before the deletion goes, one behind it stays.
  const std::string early = KeyOf(4);
  const std::string begin = KeyOf(2);
  const std::string end = KeyOf(8);
  const std::string late = KeyOf(5);
  ASSERT_TRUE(engine_
                  ->Write({{.key = early, .value = "early"},
                           {.kind = Mutation::Kind::kDeleteRange, .key = begin, .end = end},
                           {.key = late, .value = "late"}})
                  .ok());
  const Content expected = {{KeyOf(0), "table"}, {KeyOf(1), "table"}, {KeyOf(5), "late"},
                            {KeyOf(8), "table"}, {KeyOf(9), "table"}, {KeyOf(20), "memory"}};
  EXPECT_EQ(Now(), expected);
  EXPECT_EQ(ContentOf(*before).size(), 11U) << "a view that was there before shows all";
  EXPECT_EQ(ContentOf(*before).at(KeyOf(3)), "memory");
}

TEST_F(RangeDelete, AViewKeepsWhatIsDeletedThroughFlushesAndCompactions) {
  Fill(2000, 100);
  auto before = engine_->NewView(kv::ReadTier::kAll);
  const Content all = ContentOf(*before);
  ASSERT_EQ(all.size(), 2000U);
  Delete(KeyOf(100), KeyOf(1900));
  ASSERT_TRUE(engine_->Reclaim().ok());
  EXPECT_EQ(ContentOf(*before), all);
  EXPECT_EQ(Now().size(), 200U);
  before.reset();
  ASSERT_TRUE(engine_->Reclaim().ok());
  EXPECT_EQ(Now().size(), 200U);
}

TEST_F(RangeDelete, TheSpaceComesBackWithoutBeingAskedFor) {
  Fill(20'000, 500);
  ASSERT_TRUE(engine_->Flush().ok());
  const std::uint64_t full = TableBytes();
  Delete(KeyOf(0), KeyOf(19'900));
  ASSERT_TRUE(engine_->Flush().ok());
  EXPECT_TRUE(WaitFor(60s, [&] { return TableBytes() < full / 10; }))
      << TableBytes() << " of " << full << " bytes are left";
  EXPECT_EQ(Now().size(), 100U);
}

TEST_F(RangeDelete, AnyMixtureIsWhatAMapMakesOfItAlsoAfterARestart) {
  Random dice(7);
  Content expected;
  std::vector<std::pair<std::unique_ptr<kv::View>, Content>> views;
  for (int step = 0; step < 3000; ++step) {
    const std::string a = KeyOf(dice.Below(300));
    const std::string b = KeyOf(dice.Below(300));
    switch (dice.Below(12)) {
      case 0:
        if (a >= b) break;
        Delete(a, b);
        expected.erase(expected.lower_bound(a), expected.lower_bound(b));
        break;
      case 1:
        ASSERT_TRUE(engine_->Write({{.kind = Mutation::Kind::kDelete, .key = a}}).ok());
        expected.erase(a);
        break;
      default: {
        const std::string value = std::to_string(step) + std::string(dice.Below(200), 'v');
        Put(a, value);
        expected[a] = value;
      }
    }
    if (dice.Below(60) == 0) {
      ASSERT_TRUE(engine_->Flush().ok());
    }
    if (dice.Below(200) == 0) {
      ASSERT_TRUE(engine_->Reclaim().ok());
    }
    if (dice.Below(100) == 0) views.emplace_back(engine_->NewView(kv::ReadTier::kAll), expected);
    if (dice.Below(100) == 0) {
      ASSERT_EQ(Now(), expected) << "step " << step;
      for (const auto& [view, content] : views) ASSERT_EQ(ContentOf(*view), content);
    }
    if (views.size() > 4 || dice.Below(400) == 0) views.clear();
    if (views.empty() && dice.Below(100) == 0) Reopen();
  }
  EXPECT_EQ(Now(), expected);
}

}  // namespace
}  // namespace raftkv::test
