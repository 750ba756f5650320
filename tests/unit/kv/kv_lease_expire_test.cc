// Do leases end when their time is over by the cluster clock, and never before?
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lib/base/random.h"
#include "lib/kv/parse.h"
#include "tests/unit/kv/lease_log.h"

namespace raftkv::kv {
namespace {

using test::LeaseLog;
using Strings = std::vector<std::string>;

constexpr std::uint64_t kMostEnded = 1000;  ///< by one entry

/// "revision key" of what the last entry has deleted.
Strings Deleted(LeaseLog& log) {
  Strings out;
  if (log.last_changes() == nullptr) return out;
  for (const Change& change : log.last_changes()->changes()) {
    EXPECT_EQ(change.kind, ChangeKind::kDelete);
    out.push_back(std::to_string(change.revision) + " " + std::string(change.key));
  }
  return out;
}

TEST(KvLeaseExpire, EndsWhatIsOverByTheClockOfItsEntryTheFirstToEndFirst) {
  LeaseLog log;
  log.Apply({GrantLeaseOp{1, 900}, GrantLeaseOp{2, 500}, GrantLeaseOp{3, 1'000},
             GrantLeaseOp{4, 1'001}, GrantLeaseOp{5, 700}, GrantLeaseOp{6, 500}});
  log.Apply({PutOp{"a", "v", false, 1}, PutOp{"b", "v", false, 2}, PutOp{"c", "v", false, 2},
             PutOp{"d", "v", false, 3}, PutOp{"e", "v", false, 4}, PutOp{"f", "v", false, 6}});
  ASSERT_EQ(log.revision(), 7U);
  log.SetClockMs(1'000);
  log.ApplyExpire();
  EXPECT_EQ(Deleted(log), (Strings{"8 b", "8 c", "9 f", "10 a", "11 d"}))
      << "5 has no keys, and takes no revision";
  EXPECT_EQ(log.revision(), 11U);
  EXPECT_EQ(log.Get("e"), "v");
  EXPECT_EQ(log.Deadlines(), (std::map<std::uint64_t, std::uint64_t>{{4, 1'001}}));
  log.ExpectConsistent();
}

TEST(KvLeaseExpire, DoesNothingAMillisecondTooEarly) {
  LeaseLog log;
  log.SetClockMs(50);
  log.Grant(1, 100);
  log.Put("k", "v", 1);
  log.SetClockMs(149);
  log.ApplyExpire();
  EXPECT_EQ(log.last_changes(), nullptr);
  EXPECT_EQ(log.Get("k"), "v");
  log.SetClockMs(150);
  EXPECT_EQ(log.Get("k"), "v") << "time alone ends nothing";
  log.ApplyExpire();
  EXPECT_EQ(log.Get("k"), "(none)");
  EXPECT_EQ(log.Put("k", "v", 1), Code::kNotFound);
}

// Known bug 57.
TEST(KvLeaseExpire, LateOrDoubledEndsNothingThatWasKeptAlive) {
  LeaseLog log;
  log.Grant(1, 1'000);
  log.Put("k", "v", 1);
  log.SetClockMs(1'500);  // it was over, and its end is under way
  EXPECT_EQ(log.Renew({1}).at(0).ttl.count(), 1'000) << "whoever comes first counts";
  for (int i = 0; i < 3; ++i) {
    log.ApplyExpire();
    EXPECT_EQ(log.Get("k"), "v");
  }
  log.SetClockMs(2'499);
  log.ApplyExpire();
  EXPECT_EQ(log.Get("k"), "v");
  log.SetClockMs(2'500);
  log.ApplyExpire();
  const std::uint64_t revision = log.revision();
  log.ApplyExpire();
  EXPECT_EQ(log.revision(), revision);
  EXPECT_EQ(log.Renew({1}).at(0).ttl.count(), 0);
}

TEST(KvLeaseExpire, AnEntryEndsAThousandLeases) {
  LeaseLog log;
  constexpr std::uint64_t kLeases = 2 * kMostEnded + 500;
  std::vector<Operation> grants;
  std::vector<Operation> puts;
  for (std::uint64_t id = 1; id <= kLeases; ++id) {
    grants.emplace_back(GrantLeaseOp{id, 1'000});
    puts.emplace_back(PutOp{"k" + std::to_string(id), "v", false, id});
  }
  log.Apply(grants);
  log.Apply(puts);
  const std::uint64_t before = log.revision();
  log.SetClockMs(5'000);
  for (const std::uint64_t ended : {kMostEnded, 2 * kMostEnded, kLeases, kLeases}) {
    log.ApplyExpire();
    EXPECT_EQ(log.store().leases().count, kLeases - ended);
    EXPECT_EQ(log.revision(), before + ended);
  }
  log.ExpectConsistent();
}

TEST(KvLeaseExpire, TheClockOfEntriesNeverGoesBackHere) {
  LeaseLog log;
  log.SetClockMs(10'000);
  log.Apply({PutOp{"k", "v"}});
  log.SetClockMs(3'000);  // stamped by a leader that knew less
  log.Grant(1, 1'000);
  EXPECT_EQ(log.Deadlines()[1], 11'000U);
  EXPECT_EQ(log.store().leases().clock_ms, 10'000U);
  log.Reopen();
  EXPECT_EQ(log.store().leases().clock_ms, 10'000U);
  log.SetClockMs(10'999);
  log.ApplyExpire();
  EXPECT_EQ(log.store().leases().count, 1U);
}

TEST(KvLeaseExpire, IsRefusedFromAClientAndBesideOtherOperations) {
  EXPECT_EQ(ValidateRequest(EncodeExpire().view(), {}).code(), Code::kInvalidArgument);
  MessageBytes storage;
  ParsedRequest parsed;
  EXPECT_TRUE(ParseRequest(EncodeExpire().view(), 10, storage, parsed).ok());
  ASSERT_EQ(parsed.operations.size(), 1U);
  EXPECT_EQ(parsed.operations[0].kind, ParsedOperation::Kind::kExpire);
  EXPECT_EQ(parsed.header.session, 0U);
}

TEST(KvLeaseExpire, ARestartForgetsNoLeaseNoDeadlineAndNoKey) {
  LeaseLog log;
  log.SetClockMs(400);
  log.Apply({GrantLeaseOp{1, 1'000}, GrantLeaseOp{2, 2'000}, GrantLeaseOp{3, 3'000}});
  log.Apply({PutOp{"a", "v", false, 1}, PutOp{"b", "v", false, 2}, PutOp{"c", "v", false, 2}});
  log.SetClockMs(900);
  log.Renew({1});  // known bug 58: it must outlive the restart
  log.Do(RevokeLeaseOp{3});
  const auto deadlines = log.Deadlines();
  log.Reopen();
  EXPECT_EQ(log.Deadlines(), deadlines);
  EXPECT_EQ(deadlines, (std::map<std::uint64_t, std::uint64_t>{{1, 1'900}, {2, 2'400}}));
  log.ExpectConsistent();
  log.SetClockMs(1'899);
  log.ApplyExpire();
  EXPECT_EQ(log.Get("a"), "v");
  log.SetClockMs(1'900);
  log.ApplyExpire();
  EXPECT_EQ(log.Get("a"), "(none)");
  EXPECT_EQ(log.Do(RevokeLeaseOp{2}).number, 2);
}

// A new leader's first entry carries its clock, and renews nothing (known bug 56).
TEST(KvLeaseExpire, AnElectionRenewsNothing) {
  LeaseLog log;
  log.Grant(1, 1'000);
  raft::Entry noop = test::NoopEntry(log.store().applied().value + 1, log.now_ms());
  noop.clock_ms = 999;
  ASSERT_TRUE(log.store().Apply({noop}).ok());
  EXPECT_EQ(log.store().leases().clock_ms, 999U);
  EXPECT_EQ(log.store().leases().next_deadline_ms, 1'000U);
  log.SetClockMs(1'000);
  log.ApplyExpire();
  EXPECT_EQ(log.store().leases().count, 0U);
}

Operation RandomOperation(Random& dice) {
  const std::uint64_t id = 1 + dice.Below(6);
  const std::string key = "k" + std::to_string(dice.Below(8));
  const std::uint64_t lease = dice.Below(3) == 0 ? 0 : id;
  switch (dice.Below(11)) {
    case 0:
    case 1: return GrantLeaseOp{dice.Below(4) == 0 ? 0 : id, 100 + dice.Below(900)};
    case 2: return RenewLeasesOp{{id, 1 + dice.Below(8)}};
    case 3: return RevokeLeaseOp{id};
    case 4: return DeleteOp{Range::Single(key)};
    case 5: return DeleteOp{{Range::Kind::kBounded, key, key + "~"}};
    case 6: return IncrementOp{"n", 1, lease};
    case 7: return CompareAndSwapOp{key, std::nullopt, "c", false, lease};
    case 8: {
      TxnRequest txn;
      txn.compares = {Compare::Lease(key, Compare::kEqual, id)};
      txn.success = {Op::Delete(key), Op::Put("t", "1", lease)};
      txn.failure = {Op::Put(key, "t", lease), Op::Get(key)};
      return TxnOp{txn};
    }
    default: return PutOp{key, "v", dice.Below(2) == 0, lease};
  }
}

std::vector<raft::Entry> RandomLog(std::uint64_t seed, std::size_t size) {
  Random dice(seed);
  std::vector<raft::Entry> log;
  std::uint64_t clock_ms = 0;
  while (log.size() < size) {
    const std::uint64_t index = log.size() + 1;
    clock_ms += dice.Below(80);
    // Now and then one that is behind.
    const std::uint64_t stamp = dice.Below(6) == 0 ? clock_ms - dice.Below(clock_ms + 1) : clock_ms;
    if (dice.Below(4) == 0) {
      log.push_back(test::CommandEntry(index, 1'000, EncodeExpire(), stamp));
      continue;
    }
    std::vector<Operation> operations;
    for (std::uint64_t i = 0; i <= dice.Below(5); ++i) operations.push_back(RandomOperation(dice));
    log.push_back(test::CommandEntry(index, 1'000,
                                     EncodeRequest({7, 1'000, index, index}, operations), stamp));
  }
  return log;
}

TEST(KvLeaseExpire, MembersAgreeHoweverEntriesAreBatchedAndWhereverTheyRestart) {
  std::size_t ended = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    const auto log = RandomLog(seed, 120);
    LeaseLog one_by_one;
    for (const raft::Entry& entry : log) {
      const std::uint64_t before = one_by_one.store().leases().count;
      ASSERT_TRUE(one_by_one.store().Apply({entry}).ok()) << "seed " << seed;
      ended += entry.payload == EncodeExpire() ? before - one_by_one.store().leases().count : 0;
    }
    one_by_one.ExpectConsistent();
    for (const bool restarts : {false, true}) {
      Random dice(seed);
      LeaseLog batched;
      for (std::size_t from = 0; from < log.size();) {
        const std::size_t count = std::min<std::size_t>(1 + dice.Below(20), log.size() - from);
        const auto begin = log.begin() + static_cast<std::ptrdiff_t>(from);
        ASSERT_TRUE(
            batched.store().Apply({begin, begin + static_cast<std::ptrdiff_t>(count)}).ok());
        if (restarts) batched.Reopen();
        from += count;
      }
      ASSERT_EQ(batched.engine().content(), one_by_one.engine().content()) << "seed " << seed;
      batched.ExpectConsistent();
    }
  }
  EXPECT_GT(ended, 200U) << "no lease ends: the test is dead";
}

}  // namespace
}  // namespace raftkv::kv
