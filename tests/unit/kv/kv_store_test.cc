#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lib/kv/layout.h"
#include "lib/kv/record.h"
#include "lib/kv/store.h"
#include "tests/support/node/kv_log.h"

namespace raftkv::kv {
namespace {

using test::AppliedLog;

std::size_t DataRecords(const test::FakeEngine& engine) {
  std::size_t count = 0;
  for (const auto& [key, record] : engine.content()) count += key[0] == kDataPrefix ? 1 : 0;
  return count;
}

TEST(KvStore, APutOfAKnownKeyReadsNothingAndItsAnswerSaysNothingButTheRevision) {
  AppliedLog log;
  log.Apply({PutOp{"a", "0"}, PutOp{"b", "0"}});
  const std::size_t views = log.engine().views();
  const Response response = log.Apply({PutOp{"a", "1"}, PutOp{"b", "2"}});
  EXPECT_EQ(log.engine().views(), views) << "a put has read something";
  EXPECT_EQ(response.code, Code::kOk);
  EXPECT_EQ(response.revision, 3U);
  EXPECT_EQ(log.last_answer().size(), 48U) << "results are left out";
  EXPECT_EQ(log.Get("a"), "1");
  EXPECT_EQ(log.Get("b"), "2");
}

TEST(KvStore, DeleteSaysHowManyKeysWent) {
  AppliedLog log;
  log.Apply({PutOp{"a", ""}, PutOp{"b", ""}, PutOp{"b1", ""}, PutOp{"c", ""}, PutOp{"d", ""}});
  const auto deleted = [&](Range range) {
    return log.Apply({DeleteOp{std::move(range)}}).results.at(0).number;
  };
  EXPECT_EQ(deleted(Range::Single("nothing")), 0);
  EXPECT_EQ(deleted(Range::Single("a")), 1);
  EXPECT_EQ(deleted(Range::Single("a")), 0);
  EXPECT_EQ(deleted({Range::Kind::kBounded, "b", "c"}), 2);
  EXPECT_EQ(deleted({Range::Kind::kBounded, "z", "a"}), 0);
  EXPECT_EQ(deleted({Range::Kind::kBounded, "", ""}), 0);
  EXPECT_EQ(deleted({Range::Kind::kUnbounded, "d", ""}), 1);
  EXPECT_EQ(log.Get("c"), "");
  EXPECT_EQ(deleted({Range::Kind::kUnbounded, "", ""}), 1);
  EXPECT_EQ(DataRecords(log.engine()), 0U);
  EXPECT_EQ(log.store().applied(), Index(9)) << "sessions and the position are no keys";
}

TEST(KvStore, CompareAndSwapPutsOnlyWhereTheValueIsExpected) {
  AppliedLog log;
  const auto cas = [&](std::optional<std::string> expected, std::string desired) {
    return log.Apply({CompareAndSwapOp{"k", std::move(expected), std::move(desired)}})
        .results.at(0)
        .code;
  };
  EXPECT_EQ(cas("", "x"), Code::kCompareFailed) << "no key is not an empty value";
  EXPECT_EQ(cas(std::nullopt, ""), Code::kOk);
  EXPECT_EQ(cas(std::nullopt, "y"), Code::kCompareFailed);
  EXPECT_EQ(cas("", "1"), Code::kOk);
  EXPECT_EQ(cas("2", "3"), Code::kCompareFailed);
  EXPECT_EQ(log.Get("k"), "1");
  EXPECT_EQ(cas("1", "2"), Code::kOk);
  EXPECT_EQ(log.Get("k"), "2");
}

TEST(KvStore, AFailedCompareAndSwapSaysWhetherThereIsSuchAKey) {
  AppliedLog log;
  const auto message = [&] {
    return log.Apply({CompareAndSwapOp{"k", "1", "2"}}).results.at(0).message;
  };
  EXPECT_EQ(message(), kNoSuchKey);
  log.Apply({PutOp{"k", "3"}});
  EXPECT_NE(message(), kNoSuchKey);
  EXPECT_FALSE(message().empty());
}

TEST(KvStore, IncrementCountsFromZeroAndRefusesWhatIsNoNumber) {
  AppliedLog log;
  const auto increment = [&](const std::string& key, std::int64_t delta) {
    return log.Apply({IncrementOp{key, delta}}).results.at(0);
  };
  EXPECT_EQ(increment("n", 5).number, 5);
  EXPECT_EQ(increment("n", -7).number, -2);
  EXPECT_EQ(log.Get("n"), "-2");
  for (const char* text : {"", "x", "1x", " 1", "1 ", "+1", "9223372036854775808", "1.0"}) {
    log.Apply({PutOp{"bad", text}});
    EXPECT_EQ(increment("bad", 1).code, Code::kInvalidArgument) << text;
    EXPECT_EQ(log.Get("bad"), text);
  }
  constexpr auto kMax = std::numeric_limits<std::int64_t>::max();
  constexpr auto kMin = std::numeric_limits<std::int64_t>::min();
  EXPECT_EQ(increment("max", kMax).number, kMax);
  EXPECT_EQ(increment("max", 1).code, Code::kInvalidArgument);
  EXPECT_EQ(log.Get("max"), "9223372036854775807");
  EXPECT_EQ(increment("min", kMin).number, kMin);
  EXPECT_EQ(increment("min", -1).code, Code::kInvalidArgument);
}

TEST(KvStore, OperationsOfARequestSeeTheOnesBeforeThem) {
  AppliedLog log;
  log.Apply({PutOp{"old", "1"}, PutOp{"r1", ""}});
  const Response response =
      log.Apply({PutOp{"n", "41"}, IncrementOp{"n", 1}, CompareAndSwapOp{"n", "42", "43"},
                 IncrementOp{"n", 1}, DeleteOp{Range::Single("old")},
                 CompareAndSwapOp{"old", std::nullopt, "again"}, PutOp{"r2", ""},
                 DeleteOp{{Range::Kind::kBounded, "r", "s"}},
                 DeleteOp{{Range::Kind::kBounded, "r", "s"}}, PutOp{"r2", "last"}});
  ASSERT_EQ(response.results.size(), 10U);
  EXPECT_EQ(response.results[1].number, 42);
  EXPECT_EQ(response.results[2].code, Code::kOk);
  EXPECT_EQ(response.results[3].number, 44);
  EXPECT_EQ(response.results[4].number, 1);
  EXPECT_EQ(response.results[5].code, Code::kOk);
  EXPECT_EQ(response.results[7].number, 2) << "one from before, one of this request";
  EXPECT_EQ(response.results[8].number, 0);
  EXPECT_EQ(log.Get("old"), "again");
  EXPECT_EQ(log.Get("r1"), "(none)");
  EXPECT_EQ(log.Get("r2"), "last");
}

TEST(KvStore, AFailedOperationDoesNotUndoItsNeighbours) {
  AppliedLog log;
  const Response response =
      log.Apply({PutOp{"a", "1"}, CompareAndSwapOp{"a", "2", "3"}, PutOp{"b", "1"}});
  EXPECT_EQ(response.code, Code::kOk);
  EXPECT_EQ(response.results.at(1).code, Code::kCompareFailed);
  EXPECT_EQ(log.Get("a"), "1");
  EXPECT_EQ(log.Get("b"), "1");
}

TEST(KvStore, EntriesThatAreNoCommandsAdvancePositionAndTimeOnly) {
  AppliedLog log;
  const auto applied = log.store().Apply({test::NoopEntry(1, 500), test::NoopEntry(2, 400)});
  ASSERT_TRUE(applied.ok());
  ASSERT_EQ(applied->size(), 2U);
  EXPECT_TRUE(applied->at(0).response.empty());
  EXPECT_EQ(log.store().applied(), Index(2));
  EXPECT_EQ(log.store().replicated_time_ms(), 500U) << "time never goes back";
  log.Reopen();
  EXPECT_EQ(log.store().applied(), Index(2));
  EXPECT_EQ(log.store().replicated_time_ms(), 500U);
}

TEST(KvStore, EntriesThatComeTogetherAreWrittenTogether) {
  test::FakeEngine engine;
  const auto store = test::OpenStore(engine);
  std::vector<raft::Entry> entries;
  for (std::uint64_t i = 1; i <= 100; ++i) {
    entries.push_back(test::CommandEntry(
        i, 1000, EncodeRequest({7, 1000, i, i}, {PutOp{"k" + std::to_string(i), "v"}})));
  }
  ASSERT_TRUE(store->Apply(entries).ok());
  EXPECT_EQ(engine.writes(), 1U);
}

TEST(KvStore, ALargeBatchIsWrittenInPiecesBetweenEntries) {
  test::FakeEngine engine;
  const auto store = test::OpenStore(engine);
  std::vector<raft::Entry> entries;
  const std::string value(1 << 20, 'v');
  for (std::uint64_t i = 1; i <= 20; ++i) {
    entries.push_back(test::CommandEntry(
        i, 1000, EncodeRequest({7, 1000, i, i}, {PutOp{"a", value}, PutOp{"b", value}})));
  }
  ASSERT_TRUE(store->Apply(entries).ok());
  EXPECT_GT(engine.writes(), 2U);
  for (const auto& content : engine.history()) {
    if (content->empty()) continue;
    const auto position = DecodePosition(content->at("a"));
    const auto a = DecodeDataRecord(content->at("da"));
    const auto b = DecodeDataRecord(content->at("db"));
    EXPECT_EQ(a->counts.mod_revision, position->revision - 1) << "an entry was split";
    EXPECT_EQ(b->counts.mod_revision, position->revision) << "an entry was split";
    EXPECT_EQ(b->counts.version, position->index.value) << "an entry was split";
  }
}

Bytes RequestOfVersion(char version) {
  std::string bytes(EncodeRequest({7, 1000, 2, 1}, {PutOp{"new", "1"}}).view());
  EXPECT_EQ(bytes[16], 2) << "the first field of the root struct";
  bytes[16] = version;
  return Bytes(bytes);
}

TEST(KvStore, HaltsBeforeACommandOfAnotherVersion) {
  for (const char version : {1, 3}) {
    AppliedLog log;
    const std::vector<raft::Entry> entries = {
        test::CommandEntry(1, 1000, EncodeRequest({7, 1000, 1, 1}, {PutOp{"old", "1"}})),
        test::CommandEntry(2, 2000, RequestOfVersion(version)),
        test::CommandEntry(3, 3000, EncodeRequest({7, 1000, 3, 1}, {PutOp{"after", "1"}}))};
    const auto applied = log.store().Apply(entries);
    EXPECT_EQ(applied.code(), Code::kVersionMismatch);
    EXPECT_EQ(log.store().applied(), Index(1)) << "what was before it is written";
    EXPECT_EQ(log.store().replicated_time_ms(), 1000U);
    EXPECT_EQ(log.Get("old"), "1");
    EXPECT_EQ(log.Get("new"), "(none)");
    EXPECT_EQ(log.Get("after"), "(none)");
    log.Reopen();
    EXPECT_EQ(log.store().applied(), Index(1));
  }
}

TEST(KvStore, HaltsBeforeADamagedCommand) {
  AppliedLog log;
  EXPECT_EQ(log.store().Apply({test::CommandEntry(1, 1, Bytes(std::string("garbage!")))}).code(),
            Code::kCorruption);
  EXPECT_EQ(log.store().applied(), Index(0));
}

TEST(KvStore, NothingIsAppliedAfterAFailedWriteOrRead) {
  for (const bool fail_read : {false, true}) {
    AppliedLog log;
    log.Apply({IncrementOp{"n", 1}});
    if (fail_read) log.engine().FailReads({Code::kIOError, "the disk failed"});
    if (!fail_read) log.engine().FailWritesAfter(0);
    const auto entry = [](std::uint64_t index) {
      return test::CommandEntry(
          index, 1'000'000,
          EncodeRequest({7, AppliedLog::kStartMs, index, index}, {IncrementOp{"n", 1}}));
    };
    EXPECT_EQ(log.store().Apply({entry(2)}).code(), Code::kIOError);
    log.engine().FailReads(Status::Ok());
    EXPECT_EQ(log.store().applied(), Index(1));
    EXPECT_EQ(log.store().Apply({entry(3)}).code(), Code::kIOError) << "it goes on";
    EXPECT_EQ(log.Get("n"), "1");
    log.Reopen();
    EXPECT_EQ(log.store().applied(), Index(1));
    ASSERT_TRUE(log.store().Apply({entry(2)}).ok());
    EXPECT_EQ(log.Get("n"), "2");
  }
}

TEST(KvStore, RefusesRecordsOfAnotherVersion) {
  for (const char version : {1, 4}) {
    const std::string record = version + std::string(" whatever, and a bit more of it");
    for (const char* key : {"a", "sxxxxxxxx", "f"}) {
      test::FakeEngine engine({{key, record}});
      const auto opened = Store::Open(engine, {});
      EXPECT_EQ(opened.code(), Code::kVersionMismatch) << key;
      const bool says_how = opened.status().message().find("snapshot restore") != std::string::npos;
      EXPECT_EQ(says_how, version == 1) << opened.status().message();
    }
    test::FakeEngine data({{"dk", record}});
    for (const Operation& operation :
         {Operation(IncrementOp{"k", 1}), Operation(PutOp{"k", "v"})}) {
      const auto store = test::OpenStore(data);
      const Bytes request = EncodeRequest({7, 1000, 1, 1}, {operation});
      EXPECT_EQ(store->Apply({test::CommandEntry(1, 1000, request)}).code(),
                Code::kVersionMismatch);
    }
  }
}

TEST(KvStore, SaysThatItsRecordsAreDamaged) {
  const std::vector<test::FakeEngine::Content> damaged = {
      {{"a", ""}},          {{"a", "\x02short"}},    {{"a", "\x02" + std::string(40, '\0')}},
      {{"sshort", "\x02"}}, {{"sxxxxxxxx", "\x02"}}, {{"f", "\x02short"}}};
  for (const auto& content : damaged) {
    test::FakeEngine engine(content);
    EXPECT_EQ(Store::Open(engine, {}).code(), Code::kCorruption) << content.begin()->first;
  }
}

TEST(KvStoreDeathTest, AGapInTheLogIsABrokenInvariant) {
  AppliedLog log;
  EXPECT_DEATH((void)log.store().Apply({test::NoopEntry(2, 1)}), "entry.index == ");
}

TEST(KvContentHash, IsOfKeysValuesAndRevisionsAndNothingElse) {
  const auto hash = [](test::FakeEngine::Content content) {
    test::FakeEngine engine(std::move(content));
    const auto result = HashContent(engine);
    EXPECT_TRUE(result.ok());
    return result->hash;
  };
  const std::uint64_t empty = hash({});
  const std::uint64_t one = hash({{"da", "1"}});
  EXPECT_NE(empty, one);
  EXPECT_EQ(one, hash({{"da", "1"}, {"sxxxxxxxx", "session"}}));
  EXPECT_NE(one, hash({{"da", "2"}}));
  EXPECT_NE(hash({{"da", "bc"}}), hash({{"dab", "c"}})) << "key and value run together";
  EXPECT_EQ(hash({{"da", "1"}, {"db", "2"}}), hash({{"db", "2"}, {"da", "1"}}));
}

TEST(KvContentHash, SaysWhichIndexItReflects) {
  AppliedLog log;
  log.Apply({PutOp{"a", "1"}});
  log.Apply({PutOp{"a", "1"}});
  EXPECT_EQ(HashContent(log.engine())->index, Index(2));
}

}  // namespace
}  // namespace raftkv::kv
