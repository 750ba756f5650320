// Does the database show what each key was at each revision that is kept, whatever was flushed,
// compacted, lost in a crash and carried out again, and does it give back the space of what is not?
//
// RAFTKV_HISTORY_STEPS=N in the environment makes the random tests as much longer as one likes.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <rocksdb/env.h>

#include "lib/base/random.h"
#include "lib/kv/change_set.h"
#include "lib/kv/record.h"
#include "storage/disk/tables.h"
#include "storage/kv/kv_engine.h"
#include "tests/support/process/process.h"

namespace raftkv::test {
namespace {

using kv::ChangeKind;
using kv::Mutation;

using Content = std::map<std::string, std::string>;

std::string KeyOf(std::uint64_t number) {
  const std::string digits = std::to_string(number);
  return "d" + std::string(5 - digits.size(), '0') + digits;
}

struct Write {
  bool is_put = true;
  std::string key;
  std::string value;
};

/// What the database has to show.
struct Model {
  std::map<std::string, std::map<std::uint64_t, std::optional<std::string>>> versions;
  /// By revision; the first revision of a store has none.
  std::vector<std::vector<Write>> transactions{{}, {}};
  std::uint64_t lowest = 0;

  [[nodiscard]] std::uint64_t revision() const { return transactions.size() - 1; }
  [[nodiscard]] std::optional<std::string> Get(const std::string& key,
                                               std::uint64_t revision) const {
    const auto found = versions.find(key);
    if (found == versions.end()) return std::nullopt;
    const auto after = found->second.upper_bound(revision);
    return after == found->second.begin() ? std::nullopt : std::prev(after)->second;
  }
  [[nodiscard]] Content At(std::uint64_t revision) const {
    Content content;
    for (const auto& [key, of_key] : versions) {
      if (auto value = Get(key, revision)) content.emplace(key, *std::move(value));
    }
    return content;
  }
};

class History : public testing::Test {
 protected:
  History() {
    EXPECT_TRUE(storage::KvEngine::Create(Options("kv")).ok());
    Open();
  }

  storage::KvEngineOptions Options(const std::string& name) {
    storage::KvEngineOptions options;
    options.folder = folder_ / name;
    options.env = rocksdb::Env::Default();
    return options;
  }
  void Open() {
    auto engine = storage::KvEngine::Open(Options("kv"));
    ASSERT_TRUE(engine.ok()) << engine.status().ToString();
    engine_ = *engine;
  }
  /// Without a write-ahead log, what was not flushed is gone.
  void Crash() {
    engine_.reset();
    Open();
    const auto position = engine_->Applied();
    ASSERT_TRUE(position.ok());
    for (std::uint64_t revision = std::max<std::uint64_t>(position->revision, 1) + 1;
         revision <= model_.revision(); ++revision) {
      WriteToEngine(revision);
    }
  }

  /// As an entry with one call.
  void Apply(std::vector<Write> writes) {
    model_.transactions.push_back(std::move(writes));
    for (const Write& write : model_.transactions.back()) {
      model_.versions[write.key][model_.revision()] =
          write.is_put ? std::optional<std::string>(write.value) : std::nullopt;
    }
    WriteToEngine(model_.revision());
  }
  void WriteToEngine(std::uint64_t revision) {
    kv::EntryChanges changes{Bytes()};
    std::vector<Mutation> mutations;
    for (const Write& write : model_.transactions[revision]) {
      if (write.is_put) {
        changes.Put(revision, write.key, write.value, {revision, revision, 1, 0});
        mutations.push_back({.key = write.key, .value = write.value, .revision = revision});
      } else {
        changes.Delete(revision, write.key);
        mutations.push_back(
            {.kind = Mutation::Kind::kDelete, .key = write.key, .revision = revision});
      }
    }
    changes.Finish();
    const auto rows = kv::EncodeChangeSets(changes);
    for (const auto& row : rows) mutations.push_back({.key = row.key, .value = row.value});
    // Rows without a past: one that is always there and one that comes and goes.
    const std::string position =
        kv::EncodePosition({Index(revision), Term(1), 0, revision, /*compacted=*/model_.lowest});
    mutations.push_back({.key = "a", .value = position});
    mutations.push_back(
        {.kind = revision % 3 == 0 ? Mutation::Kind::kDelete : Mutation::Kind::kPut, .key = "s"});
    ASSERT_TRUE(engine_->Write(mutations).ok());
  }
  void Raise(std::uint64_t revision) {
    model_.lowest = revision;
    ASSERT_TRUE(engine_->RaiseLowestRevision(revision).ok());
  }

  static Content ContentOf(kv::View& view, std::uint64_t revision, const std::string& begin = "d",
                           const std::string& end = "e") {
    Content content;
    const Status status =
        view.ScanAt(begin, end, revision, [&](std::string_view key, std::string_view value) {
          content.emplace(key, value);
          return true;
        });
    EXPECT_TRUE(status.ok()) << status.ToString();
    return content;
  }

  void CheckReads(kv::View& view, Random& dice, int reads) {
    for (int i = 0; i < reads; ++i) {
      const std::uint64_t first = std::max<std::uint64_t>(model_.lowest, 1);
      const std::uint64_t revision = first + dice.Below(model_.revision() - first + 1);
      const std::string key = KeyOf(dice.Below(keys_));
      const auto value = view.GetAt(key, revision);
      ASSERT_TRUE(value.ok()) << value.status().ToString();
      ASSERT_EQ(*value, model_.Get(key, revision)) << key << " at " << revision;
    }
    const auto found = view.Get("s");
    ASSERT_TRUE(found.ok());
    ASSERT_EQ(found->has_value(), model_.revision() % 3 != 0);
  }
  void CheckScan(kv::View& view, std::uint64_t revision) {
    const Content expected = model_.At(revision);
    ASSERT_EQ(ContentOf(view, revision), expected) << "at " << revision;
    // Part of it, backwards.
    const auto last = expected.lower_bound(KeyOf(keys_ / 2));
    auto next = std::make_reverse_iterator(last);
    const Status status = view.ScanReverseAt(
        KeyOf(10), KeyOf(keys_ / 2), revision, [&](std::string_view key, std::string_view value) {
          EXPECT_TRUE(next != expected.rend() && next->first == key && next->second == value);
          ++next;
          return true;
        });
    ASSERT_TRUE(status.ok()) << status.ToString();
    ASSERT_TRUE(next == expected.rend() || next->first < KeyOf(10)) << "at " << revision;
  }
  void CheckChanges(kv::View& view, std::uint64_t from) {
    std::uint64_t next = from;
    while (next <= model_.revision()) {
      const auto page = kv::ReadChanges(view, next, model_.revision(), 2000);
      ASSERT_TRUE(page.ok()) << page.status().ToString();
      auto change = page->changes.begin();
      for (; next <= page->through; ++next) {
        std::map<std::string, ChangeKind> expected;
        for (const Write& write : model_.transactions[next]) {
          expected[write.key] = write.is_put ? ChangeKind::kPut : ChangeKind::kDelete;
        }
        std::map<std::string, ChangeKind> got;
        for (; change != page->changes.end() && change->revision == next; ++change) {
          ASSERT_TRUE(got.emplace(change->key, change->kind).second) << "twice";
        }
        ASSERT_EQ(got, expected) << "events of " << next;
      }
      ASSERT_TRUE(change == page->changes.end());
    }
  }
  std::uint64_t TableBytes() {
    std::uint64_t bytes = 0;
    for (const std::string& path : engine_->Tables()) bytes += std::filesystem::file_size(path);
    return bytes;
  }
  std::vector<Write> Draw(Random& dice) {
    std::vector<Write> writes;
    for (std::uint64_t i = 1 + dice.Below(4); i > 0; --i) {
      const std::string key = KeyOf(dice.Below(keys_));
      // Of a key that is not there no deletion is ever written.
      const bool deletes = dice.Below(4) == 0 && model_.Get(key, model_.revision()).has_value();
      writes.push_back(
          {!deletes, key,
           deletes ? "" : std::to_string(dice.Next()) + std::string(dice.Below(80), 'v')});
    }
    return writes;
  }

  const TempFolder folder_;
  std::shared_ptr<storage::KvEngine> engine_;
  Model model_;
  std::uint64_t keys_ = 200;
};

std::uint64_t Steps(std::uint64_t of_ci) {
  const char* const asked = std::getenv("RAFTKV_HISTORY_STEPS");
  return asked == nullptr ? of_ci : std::strtoull(asked, nullptr, 10);
}

TEST_F(History, AnyMixtureIsWhatTheModelMakesOfItAtEveryRevisionThatIsKept) {
  Random dice(Steps(7));
  int checkpoints = 0;
  for (std::uint64_t step = 0; step < Steps(6000); ++step) {
    Apply(Draw(dice));
    if (dice.Below(40) == 0) {
      ASSERT_TRUE(engine_->Flush().ok());
    }
    if (dice.Below(150) == 0) {
      ASSERT_TRUE(engine_->Reclaim().ok());
    }
    if (dice.Below(60) == 0) {
      Raise(model_.lowest + dice.Below(model_.revision() - model_.lowest + 1));
    }
    if (dice.Below(300) == 0) Crash();
    const auto view = engine_->NewView(kv::ReadTier::kAll);
    ASSERT_NO_FATAL_FAILURE(CheckReads(*view, dice, 3)) << "step " << step;
    if (dice.Below(50) == 0) {
      ASSERT_NO_FATAL_FAILURE(CheckScan(*view, kv::kLatestRevision));
      const std::uint64_t lowest = std::max<std::uint64_t>(model_.lowest, 1);
      ASSERT_NO_FATAL_FAILURE(
          CheckScan(*view, lowest + dice.Below(model_.revision() - lowest + 1)));
      ASSERT_NO_FATAL_FAILURE(CheckChanges(*view, std::max<std::uint64_t>(model_.lowest, 1)));
    }
    if (model_.lowest > 1 && dice.Below(20) == 0) {
      ASSERT_EQ(view->GetAt(KeyOf(1), model_.lowest - 1).code(), Code::kCompacted);
      ASSERT_EQ(kv::ReadChanges(*view, model_.lowest - 1, model_.revision(), 1).code(),
                Code::kCompacted);
    }
    if (dice.Below(400) == 0) {
      const std::string name = "copy" + std::to_string(checkpoints++);
      ASSERT_TRUE(engine_->Checkpoint(folder_ / name).ok());
      const auto copy = storage::KvEngine::OpenReadOnly(Options(name));
      ASSERT_TRUE(copy.ok()) << copy.status().ToString();
      const auto copied = (*copy)->NewView(kv::ReadTier::kAll);
      ASSERT_EQ(copied->LowestRevision(), model_.lowest);
      ASSERT_NO_FATAL_FAILURE(CheckReads(*copied, dice, 50));
      ASSERT_NO_FATAL_FAILURE(CheckChanges(*copied, std::max<std::uint64_t>(model_.lowest, 1)));
    }
  }
  EXPECT_GT(checkpoints, 3);
}

TEST_F(History, AViewShowsItsMomentWhateverComesAfterIt) {
  Random dice(3);
  std::vector<std::pair<std::unique_ptr<kv::View>, Content>> views;
  for (int step = 0; step < 1500; ++step) {
    Apply(Draw(dice));
    if (dice.Below(50) == 0) {
      views.emplace_back(engine_->NewView(kv::ReadTier::kAll), model_.At(model_.revision()));
    }
    if (dice.Below(60) == 0) {
      ASSERT_TRUE(engine_->Flush().ok());
    }
    if (dice.Below(100) == 0) Raise(model_.revision());
    if (dice.Below(200) == 0) {
      ASSERT_TRUE(engine_->Reclaim().ok());
    }
    if (dice.Below(100) == 0) {
      for (const auto& [view, content] : views) {
        ASSERT_EQ(ContentOf(*view, kv::kLatestRevision), content);
      }
    }
    if (views.size() > 6) views.clear();
  }
}

TEST_F(History, AViewNeverShowsLessThanItsRevisionHad) {
  for (int i = 0; i < 100; ++i) Apply({{true, KeyOf(i), "old"}});
  const std::uint64_t then = model_.revision();
  const auto view = engine_->NewView(kv::ReadTier::kAll);
  for (int i = 0; i < 100; ++i) Apply({{true, KeyOf(i), "new"}});
  Raise(model_.revision());
  ASSERT_TRUE(engine_->Reclaim().ok());
  EXPECT_EQ(view->GetAt(KeyOf(5), then).code(), Code::kCompacted);
  EXPECT_EQ(view->ScanAt("d", "e", then, [](auto, auto) { return true; }).code(), Code::kCompacted);
  EXPECT_EQ(ContentOf(*view, kv::kLatestRevision).at(KeyOf(5)), "old");
}

TEST_F(History, TheSpaceOfWhatNobodyCanReadComesBack) {
  const std::string value(500, 'v');
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 500; ++i) {
      Apply({{true, KeyOf(i), std::to_string(round * 1000 + i) + value}});
    }
    ASSERT_TRUE(engine_->Flush().ok());
  }
  for (int i = 0; i < 490; ++i) Apply({{false, KeyOf(i), ""}});
  const std::uint64_t lowest = model_.revision();
  ASSERT_TRUE(engine_->Reclaim().ok());
  const std::uint64_t full = TableBytes();
  EXPECT_EQ(ContentOf(*engine_->NewView(kv::ReadTier::kAll), 2).size(), 1U) << "all is there";
  Raise(lowest);
  ASSERT_TRUE(engine_->Reclaim().ok());
  EXPECT_LT(TableBytes(), full / 10);
  EXPECT_EQ(ContentOf(*engine_->NewView(kv::ReadTier::kAll), lowest).size(), 10U);
}

// No write comes after it where the disk is full.
TEST_F(History, TheSpaceOfTheLastDeleteComesBackOnceItsRevisionIsGivenUp) {
  const std::string value(500, 'v');
  for (int i = 0; i < 500; ++i) Apply({{true, KeyOf(i), value}});
  std::vector<Write> deletes;
  for (int i = 0; i < 490; ++i) deletes.push_back({false, KeyOf(i), ""});
  Apply(std::move(deletes));
  const std::uint64_t last = model_.revision();
  Raise(last);
  ASSERT_TRUE(engine_->Reclaim().ok());
  const std::uint64_t full = TableBytes();
  EXPECT_EQ(ContentOf(*engine_->NewView(kv::ReadTier::kAll), last).size(), 10U)
      << "as it was raised";
  for (int again = 0; again < 2; ++again) {
    ASSERT_TRUE(engine_->GiveUpLowestRevision().ok());
    ASSERT_TRUE(engine_->Reclaim().ok());
    const auto view = engine_->NewView(kv::ReadTier::kAll);
    EXPECT_EQ(view->LowestRevision(), last + 1) << "and no further";
    EXPECT_EQ(view->GetAt(KeyOf(495), last).code(), Code::kCompacted);
    EXPECT_EQ(ContentOf(*view, kv::kLatestRevision).size(), 10U);
  }
  EXPECT_LT(TableBytes(), full / 5);
  Apply({{true, KeyOf(1), "new"}});
  const auto view = engine_->NewView(kv::ReadTier::kAll);
  EXPECT_EQ(*view->GetAt(KeyOf(1), last + 1), "new");
  Raise(last + 1);
  EXPECT_EQ(*engine_->NewView(kv::ReadTier::kAll)->GetAt(KeyOf(1), last + 1), "new");
}

TEST_F(History, ADeletedKeyIsNotSeenAgainOnceItsDeletionIsCompacted) {
  Apply({{true, KeyOf(1), "old"}});
  ASSERT_TRUE(engine_->Reclaim().ok());
  Apply({{false, KeyOf(1), ""}});
  Apply({{true, KeyOf(2), "x"}});
  Raise(model_.revision());
  ASSERT_TRUE(engine_->Reclaim().ok());
  EXPECT_EQ(*engine_->NewView(kv::ReadTier::kAll)->Get(KeyOf(1)), std::nullopt);
  Apply({{true, KeyOf(1), "new"}});
  const auto view = engine_->NewView(kv::ReadTier::kAll);
  EXPECT_EQ(*view->GetAt(KeyOf(1), model_.revision() - 1), std::nullopt);
  EXPECT_EQ(*view->GetAt(KeyOf(1), model_.revision()), "new");
}

TEST_F(History, TablesWithRevisionsAreVerified) {
  for (int i = 0; i < 300; ++i) Apply({{true, KeyOf(i % 10), std::string(1000, 'v')}});
  ASSERT_TRUE(engine_->Flush().ok());
  const auto tables = engine_->Tables();
  ASSERT_FALSE(tables.empty());
  const auto verify = [&] {
    return storage::VerifyTable(*rocksdb::Env::Default(), tables.front(),
                                [](std::size_t) { return true; });
  };
  EXPECT_TRUE(verify().ok()) << verify().ToString();
  std::fstream file(tables.front(), std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(3000);
  file.put('\x7f');
  file.close();
  EXPECT_EQ(verify().code(), Code::kCorruption);
}

TEST_F(History, ACrashThatLosesWritesDoesNotLoseTheBound) {
  for (int i = 0; i < 50; ++i) Apply({{true, KeyOf(i % 5), std::to_string(i)}});
  ASSERT_TRUE(engine_->Flush().ok());
  for (int i = 0; i < 50; ++i) Apply({{true, KeyOf(i % 5), std::to_string(i)}});
  Raise(model_.revision());
  engine_.reset();
  Open();
  const auto view = engine_->NewView(kv::ReadTier::kAll);
  EXPECT_EQ(view->LowestRevision(), model_.lowest);
  EXPECT_EQ(ContentOf(*view, kv::kLatestRevision), model_.At(51));
  EXPECT_EQ(view->GetAt(KeyOf(1), 51).code(), Code::kCompacted);
}

}  // namespace
}  // namespace raftkv::test
