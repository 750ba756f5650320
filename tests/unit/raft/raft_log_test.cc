// Does the log of runs and a bounded buffer behave as a plain vector of entries would?
#include "lib/raft/raft_log.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lib/base/random.h"

namespace raftkv::test {
namespace {

using raft::Entry;
using raft::RaftLog;
using raft::TermRun;

Entry MakeEntry(std::uint64_t term, std::uint64_t index, std::size_t bytes = 0) {
  Entry entry;
  entry.term = Term(term);
  entry.index = Index(index);
  entry.payload = Bytes(std::string(bytes, 'x'));
  return entry;
}

RaftLog MakeLog(const std::vector<std::uint64_t>& terms) {
  RaftLog log;
  std::uint64_t index = 0;
  for (std::uint64_t term : terms) log.Append(MakeEntry(term, ++index));
  return log;
}

TEST(RaftLog, AnEmptyLogHasNoTermAnywhere) {
  const RaftLog log;
  EXPECT_EQ(log.first_index(), Index(1));
  EXPECT_EQ(log.last_index(), Index(0));
  EXPECT_EQ(log.last_term(), Term(0));
  EXPECT_EQ(log.TermAt(Index(0)), Term(0));
  EXPECT_EQ(log.TermAt(Index(1)), Term(0));
  EXPECT_EQ(log.TermAt(Index(UINT64_MAX)), Term(0));
  EXPECT_FALSE(log.InBuffer(Index(0)));
  EXPECT_FALSE(log.InBuffer(Index(1)));
}

TEST(RaftLog, ALogFromDiskKnowsItsTermsButHoldsNoEntries) {
  const RaftLog log({}, {{Term(1), Index(1)}, {Term(3), Index(4)}}, Index(6));
  EXPECT_EQ(log.TermAt(Index(3)), Term(1));
  EXPECT_EQ(log.TermAt(Index(4)), Term(3));
  EXPECT_EQ(log.last_term(), Term(3));
  EXPECT_EQ(log.TermAt(Index(7)), Term(0));
  EXPECT_EQ(log.buffer_first(), Index(7));
  EXPECT_EQ(log.buffer_bytes(), 0u);
}

// §5.4.1 (known bug 36): the later last term wins, then the longer log.
TEST(RaftLog, UpToDateIsByLastTermThenLength) {
  struct Case {
    std::uint64_t last_index, last_term;
    bool up_to_date;
  };
  const RaftLog log = MakeLog({1, 1, 3, 3});
  for (const Case& c :
       {Case{4, 3, true}, Case{5, 3, true}, Case{3, 3, false}, Case{1, 4, true}, Case{4, 4, true},
        Case{100, 2, false}, Case{4, 2, false}, Case{0, 0, false}, Case{5, 1, false}}) {
    EXPECT_EQ(log.IsUpToDate(Index(c.last_index), Term(c.last_term)), c.up_to_date)
        << c.last_term << '/' << c.last_index;
  }
  EXPECT_TRUE(RaftLog().IsUpToDate(Index(0), Term(0)));
}

TEST(RaftLog, WhereLogsMayStillAgree) {
  const RaftLog log = MakeLog({1, 1, 3, 3, 3, 5});
  EXPECT_EQ(log.LastIndexWithTermAtMost(Index(6), Term(9)), Index(6));
  EXPECT_EQ(log.LastIndexWithTermAtMost(Index(6), Term(4)), Index(5));
  EXPECT_EQ(log.LastIndexWithTermAtMost(Index(5), Term(2)), Index(2));
  EXPECT_EQ(log.LastIndexWithTermAtMost(Index(4), Term(3)), Index(4));
  EXPECT_EQ(log.LastIndexWithTermAtMost(Index(6), Term(0)), Index(0));
}

TEST(RaftLog, ASliceIsBoundedInBytesButHasAtLeastOne) {
  RaftLog log;
  for (std::uint64_t i = 1; i <= 5; ++i) log.Append(MakeEntry(1, i, 100));
  const std::size_t each = 100 + Entry::kOverheadBytes;
  EXPECT_EQ(log.Slice(Index(1), Index(5), each * 3).size(), 3u);
  EXPECT_EQ(log.Slice(Index(1), Index(5), each * 3 - 1).size(), 2u);
  EXPECT_EQ(log.Slice(Index(2), Index(5), 0).size(), 1u);
  EXPECT_EQ(log.Slice(Index(2), Index(3), SIZE_MAX).size(), 2u);
  EXPECT_EQ(log.Slice(Index(2), Index(3), SIZE_MAX)[0].index, Index(2));
}

TEST(RaftLog, EvictionKeepsWhatIsStillNeededAndStopsAtTheBound) {
  RaftLog log;
  for (std::uint64_t i = 1; i <= 10; ++i) log.Append(MakeEntry(1, i, 36));
  EXPECT_EQ(log.buffer_bytes(), 1000u);
  log.Evict(Index(4), 0);
  EXPECT_EQ(log.buffer_first(), Index(5)) << "what is not durable or not applied stays";
  log.Evict(Index(10), 250);
  EXPECT_EQ(log.buffer_first(), Index(9)) << "recent ones stay within the bound";
  EXPECT_EQ(log.last_index(), Index(10));
  EXPECT_EQ(log.TermAt(Index(1)), Term(1)) << "terms are known of all";
}

TEST(RaftLogDeathTest, AHoleOrATermThatGoesBackIsABug) {
  RaftLog log = MakeLog({1, 3});
  EXPECT_DEATH(log.Append(MakeEntry(3, 4)), "");
  EXPECT_DEATH(log.Append(MakeEntry(3, 2)), "");
  EXPECT_DEATH(log.Append(MakeEntry(2, 3)), "");
  EXPECT_DEATH(static_cast<void>(log.At(Index(3))), "");
}

// --- Against a model.

class Model {
 public:
  void Append(const Entry& entry) { entries_.push_back(entry); }
  void TruncateFrom(Index first) { entries_.resize(first - base_.index - 1); }
  void Compact(Index through) {
    if (through <= base_.index) return;
    const raft::LogBase base{through, TermAt(through)};
    entries_.erase(entries_.begin(),
                   entries_.begin() + static_cast<std::ptrdiff_t>(through - base_.index));
    base_ = base;
  }
  void Reset(raft::LogBase base) {
    entries_.clear();
    base_ = base;
  }
  [[nodiscard]] const raft::LogBase& base() const { return base_; }
  [[nodiscard]] Index last() const { return base_.index + entries_.size(); }
  [[nodiscard]] Term TermAt(Index i) const {
    if (i == base_.index) return base_.term;
    return i < base_.index || i > last() ? Term(0) : At(i).term;
  }
  [[nodiscard]] Index LastIndexWithTermAtMost(Index index, Term term) const {
    Index at = std::max(std::min(index, last()), base_.index);
    while (at > base_.index && TermAt(at) > term) at = at.Previous();
    return at;
  }
  [[nodiscard]] std::vector<TermRun> Runs() const {
    std::vector<TermRun> runs;
    for (const Entry& entry : entries_) {
      if (runs.empty() || runs.back().term != entry.term) runs.push_back({entry.term, entry.index});
    }
    return runs;
  }
  [[nodiscard]] const Entry& At(Index i) const { return entries_[i - base_.index - 1]; }

 private:
  raft::LogBase base_;
  std::vector<Entry> entries_;
};

void ExpectEqual(const RaftLog& log, const Model& model) {
  ASSERT_EQ(log.base(), model.base());
  ASSERT_EQ(log.first_index(), model.base().index.Next());
  ASSERT_EQ(log.last_index(), model.last());
  ASSERT_EQ(log.last_term(), model.TermAt(model.last()));
  ASSERT_EQ(log.runs(), model.Runs());
  std::size_t bytes = 0;
  for (Index i(0); i <= model.last().Next(); ++i) {
    ASSERT_EQ(log.TermAt(i), model.TermAt(i));
    ASSERT_EQ(log.InBuffer(i), i >= log.buffer_first() && i <= model.last() && i.value > 0);
    if (!log.InBuffer(i)) continue;
    ASSERT_EQ(log.At(i), model.At(i));
    bytes += log.At(i).Footprint();
  }
  ASSERT_EQ(log.buffer_bytes(), bytes);
}

/// One random thing, done to both.
void StepBoth(Random& chance, std::uint64_t& term, Model& model, RaftLog& log) {
  const std::uint64_t choice = chance.Below(24);
  const std::uint64_t length = model.last() - model.base().index;
  if (choice < 13) {
    term += chance.Below(4) == 0 ? 1 : 0;
    const Entry entry = MakeEntry(term, model.last().value + 1, chance.Below(200));
    model.Append(entry);
    log.Append(entry);
  } else if (choice < 15 && length > 0) {
    // Never below what is no longer in memory? It may be: the log store holds it.
    const Index first = model.base().index + 1 + chance.Below(length);
    model.TruncateFrom(first);
    log.TruncateFrom(first);
    term += 1;
  } else if (choice < 17) {
    log.Evict(Index(chance.Below(model.last().value + 1)), chance.Below(2000));
  } else if (choice < 18) {
    log = RaftLog(model.base(), model.Runs(), model.last());  // a restart
  } else if (choice < 20) {
    const Index through(chance.Below(model.last().value + 1));  // also before the base
    model.Compact(through);
    log.Compact(through);
  } else if (choice == 20 && chance.Below(8) == 0) {
    const raft::LogBase base{model.last() + 1 + chance.Below(5), Term(term)};
    model.Reset(base);
    log.Reset(base);
  } else {
    const Index index(chance.Below(model.last().value + 3));
    const Term bound(chance.Below(term + 2));
    ASSERT_EQ(log.LastIndexWithTermAtMost(index, bound),
              model.LastIndexWithTermAtMost(index, bound));
  }
}

TEST(RaftLog, DoesWhatAVectorDoes) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(seed);
    Random chance(seed);
    Model model;
    RaftLog log;
    std::uint64_t term = 1;
    for (int step = 0; step < 200; ++step) {
      StepBoth(chance, term, model, log);
      ExpectEqual(log, model);
      if (::testing::Test::HasFatalFailure()) return;
    }
  }
}

TEST(RaftLog, ACutOffPrefixKeepsTheTermOfItsLastEntry) {
  RaftLog log = MakeLog({1, 1, 3, 3, 5});
  log.Compact(Index(3));
  EXPECT_EQ(log.base(), (raft::LogBase{Index(3), Term(3)}));
  EXPECT_EQ(log.TermAt(Index(2)), Term(0));
  EXPECT_EQ(log.TermAt(Index(3)), Term(3));
  EXPECT_EQ(log.runs(), (std::vector<TermRun>{{Term(3), Index(4)}, {Term(5), Index(5)}}));
  log.Compact(Index(5));
  EXPECT_TRUE(log.runs().empty());
  EXPECT_EQ(log.last_term(), Term(5)) << "what is up to date is told by the base";
  EXPECT_FALSE(log.IsUpToDate(Index(4), Term(5)));
  EXPECT_EQ(log.LastIndexWithTermAtMost(Index(5), Term(2)), Index(5)) << "not before the base";
  log.Append(MakeEntry(5, 6));
  EXPECT_EQ(log.last_index(), Index(6));
}

TEST(RaftLogDeathTest, WhatIsNotThereCannotBeCutOff) {
  RaftLog log = MakeLog({1, 3});
  EXPECT_DEATH(log.Compact(Index(3)), "");
  log.Compact(Index(1));
  EXPECT_DEATH(log.TruncateFrom(Index(1)), "");
}

}  // namespace
}  // namespace raftkv::test
