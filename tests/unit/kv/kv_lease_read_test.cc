// What is told of leases, and what is kept of them on the disk?
#include <cstdint>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lib/base/bytes.h"
#include "lib/raft/cluster_clock.h"
#include "tests/unit/kv/lease_log.h"

namespace raftkv::kv {
namespace {

using test::LeaseLog;
using Strings = std::vector<std::string>;

constexpr std::size_t kRoom = 1 << 20;

ReadAnswer Ask(LeaseLog& log, const ReadOp& read, std::size_t max_bytes = kRoom,
               std::uint64_t clock_ms = 0) {
  const Bytes request = EncodeReadRequest({read});
  EXPECT_TRUE(ValidateReadRequest(request.view(), {}).ok());
  const auto answer =
      kv::Read(log.engine(), ReadTier::kAll, request.view(), max_bytes, kMaxVisitedBytes, clock_ms);
  EXPECT_TRUE(answer.ok()) << answer.status().ToString();
  if (!answer.ok()) return {};
  const auto results = DecodeReadResponse(answer->view());
  EXPECT_TRUE(results.ok()) << results.status().ToString();
  return results.ok() && results->size() == 1 ? results->front() : ReadAnswer();
}

ReadOp OfLease(std::uint64_t id, bool with_keys) {
  ReadOp read;
  read.lease = id;
  read.count_only = !with_keys;
  return read;
}
ReadOp AllFrom(std::uint64_t id) {
  ReadOp read;
  read.leases_from = id;
  return read;
}

TEST(KvLeaseRead, ShowsALeaseAndItsKeysIfTheyAreAskedFor) {
  LeaseLog log;
  log.Grant(7, 1'000);
  log.Put("b", "v", 7);
  log.Put("a", "v", 7);
  const ReadAnswer with = Ask(log, OfLease(7, true));
  ASSERT_EQ(with.leases.size(), 1U);
  EXPECT_EQ(with.leases[0].id, 7U);
  EXPECT_EQ(with.leases[0].ttl.count(), 1'000);
  EXPECT_EQ(with.leases[0].keys, (Strings{"a", "b"}));
  EXPECT_FALSE(with.more);
  EXPECT_EQ(with.revision, log.revision());
  const ReadAnswer without = Ask(log, OfLease(7, false));
  ASSERT_EQ(without.leases.size(), 1U);
  EXPECT_EQ(without.leases[0].ttl.count(), 1'000);
  EXPECT_TRUE(without.leases[0].keys.empty());
}

TEST(KvLeaseRead, ALeaseThereIsNotHasNoTimeToLive) {
  LeaseLog log;
  log.Grant(7, 1'000);
  log.Do(RevokeLeaseOp{7});
  for (const std::uint64_t id : {std::uint64_t{7}, std::uint64_t{0}, UINT64_MAX}) {
    const ReadAnswer answer = Ask(log, OfLease(id, true));
    ASSERT_EQ(answer.leases.size(), 1U);
    EXPECT_EQ(answer.leases[0].id, id);
    EXPECT_EQ(answer.leases[0].ttl.count(), 0);
    EXPECT_EQ(answer.leases[0].remaining.count(), 0);
    EXPECT_FALSE(answer.more);
  }
  EXPECT_TRUE(Ask(log, AllFrom(0)).leases.empty());
}

TEST(KvLeaseRead, TellsWhatRemainsByTheClockThatTheMemberKnows) {
  LeaseLog log;
  log.SetClockMs(2'000);
  log.Grant(7, 1'000);
  const auto remaining = [&](std::uint64_t clock_ms) {
    return Ask(log, OfLease(7, false), kRoom, clock_ms).leases.at(0).remaining.count();
  };
  EXPECT_EQ(remaining(0), 1'000) << "never less than what is applied";
  EXPECT_EQ(remaining(2'000), 1'000);
  EXPECT_EQ(remaining(2'400), 600);
  EXPECT_EQ(remaining(2'999), 1);
  EXPECT_EQ(remaining(3'000), 0);
  EXPECT_EQ(remaining(9'000), 0) << "it is about to end";
  EXPECT_EQ(Ask(log, AllFrom(0), kRoom, 2'400).leases.at(0).remaining.count(), 600);
}

TEST(KvLeaseRead, KeysComeInPagesThatFit) {
  LeaseLog log;
  log.Grant(7, 1'000);
  log.Grant(8, 1'000);
  log.Put("of another", "v", 8);
  Strings all;
  for (int i = 100; i < 150; ++i) {
    all.push_back("key" + std::to_string(i));
    log.Put(all.back(), "v", 7);
  }
  for (const std::size_t room : {1, 100, 300, 1 << 20}) {
    Strings found;
    ReadOp read = OfLease(7, true);
    for (int pages = 0; pages < 60; ++pages) {
      const ReadAnswer page = Ask(log, read, room);
      ASSERT_EQ(page.leases.size(), 1U);
      const Strings& keys = page.leases[0].keys;
      ASSERT_FALSE(keys.empty()) << "it always gets on";
      found.insert(found.end(), keys.begin(), keys.end());
      if (!page.more) break;
      read.range = {Range::Kind::kUnbounded, keys.back() + '\0', {}};
    }
    EXPECT_EQ(found, all) << room;
  }
}

TEST(KvLeaseRead, OnlyKeysOfItsRangeAreShown) {
  LeaseLog log;
  log.Grant(7, 1'000);
  for (const char* key : {"a", "b", "c"}) log.Put(key, "v", 7);
  ReadOp read = OfLease(7, true);
  read.range = {Range::Kind::kBounded, "b", "c"};
  EXPECT_EQ(Ask(log, read).leases.at(0).keys, Strings{"b"});
}

TEST(KvLeaseRead, AllLeasesComeByNumberInPagesThatFit) {
  LeaseLog log;
  std::vector<std::uint64_t> all;
  for (std::uint64_t id = 1; id <= 50; ++id) {
    all.push_back(id * id * id);
    log.Grant(all.back(), 1'000);
  }
  log.Grant(kMaxLeaseId, 1'000);
  all.push_back(kMaxLeaseId);
  for (const std::size_t room : {1, 300, 1 << 20}) {
    std::vector<std::uint64_t> found;
    std::uint64_t from = 0;
    for (int pages = 0; pages < 60; ++pages) {
      const ReadAnswer page = Ask(log, AllFrom(from), room);
      ASSERT_FALSE(page.leases.empty());
      for (const LeaseInfo& lease : page.leases) found.push_back(lease.id);
      if (!page.more) break;
      from = found.back() + 1;
    }
    EXPECT_EQ(found, all) << room;
  }
  EXPECT_EQ(Ask(log, AllFrom(8)).leases.at(0).id, 8U) << "the first is its own";
}

TEST(KvLeaseRead, AKeyTellsItsLease) {
  LeaseLog log;
  log.Grant(7, 1'000);
  log.Put("k", "v", 7);
  ReadOp read;
  read.range = Range::Single("k");
  EXPECT_EQ(Ask(log, read).kvs.at(0).lease, 7U);
  log.Put("k", "v", 0);
  EXPECT_EQ(Ask(log, read).kvs.at(0).lease, 0U);
  read.revision = 2;
  EXPECT_EQ(Ask(log, read).kvs.at(0).lease, 7U) << "as it was then";
}

TEST(KvLeaseRead, LeasesWithoutKeysDoNotChangeTheHash) {
  LeaseLog with;
  LeaseLog without;
  for (LeaseLog* const log : {&with, &without}) log->Apply({PutOp{"k", "v"}});
  with.Grant(7, 1'000);
  without.Apply({DeleteOp{Range::Single("none")}});
  const auto hash_of_one = HashContent(with.engine());
  const auto hash_of_other = HashContent(without.engine());
  ASSERT_TRUE(hash_of_one.ok() && hash_of_other.ok());
  EXPECT_EQ(hash_of_one->hash, hash_of_other->hash);
}

// --- Rows.

TEST(KvLeaseRow, ComesBackAsItWas) {
  for (const Lease& lease :
       {Lease{1, 100, 0}, Lease{kMaxLeaseId, 9'000'000'000'000, UINT64_MAX - 1},
        Lease{0x0102030405060708, 5'000, 12'345}}) {
    const auto back = DecodeLease(LeaseKey(lease.id), EncodeLease(lease));
    ASSERT_TRUE(back.ok()) << back.status().ToString();
    EXPECT_EQ(*back, lease);
  }
  EXPECT_EQ(LeaseKey(0x0102), std::string("l\0\0\0\0\0\0\x01\x02", 9));
  EXPECT_EQ(AttachedKey(0x0102, "key"), std::string("k\0\0\0\0\0\0\x01\x02key", 12));
}

TEST(KvLeaseRow, WhatMakesNoSenseIsDamage) {
  const std::string key = LeaseKey(7);
  const std::string record = EncodeLease({7, 1'000, 2'000});
  for (std::size_t size = 1; size < record.size(); ++size) {
    EXPECT_EQ(DecodeLease(key, record.substr(0, size)).code(), Code::kCorruption) << size;
  }
  EXPECT_EQ(DecodeLease(key, record + "x").code(), Code::kCorruption);
  EXPECT_EQ(DecodeLease(key + "x", record).code(), Code::kCorruption);
  EXPECT_EQ(DecodeLease(key.substr(0, 8), record).code(), Code::kCorruption);
  EXPECT_EQ(DecodeLease("", record).code(), Code::kCorruption);
  EXPECT_EQ(DecodeLease(LeaseKey(0), record).code(), Code::kCorruption);
  EXPECT_EQ(DecodeLease(LeaseKey(kMaxLeaseId + 1), record).code(), Code::kCorruption);
  for (const Lease& lease :
       {Lease{7, 99, 2'000}, Lease{7, 9'000'000'000'001, 2'000}, Lease{7, 1'000, kNoDeadline}}) {
    EXPECT_EQ(DecodeLease(key, EncodeLease(lease)).code(), Code::kCorruption);
  }
  std::string newer = record;
  newer[0] = static_cast<char>(kRecordFormatVersion + 1);
  EXPECT_EQ(DecodeLease(key, newer).code(), Code::kVersionMismatch);
}

TEST(KvPosition, IsReadWithAndWithoutAClock) {
  const Position position{Index(5), Term(2), 1'000, 9, 4, 77};
  const std::string record = EncodePosition(position);
  EXPECT_EQ(record.front(), 3);
  const auto with = DecodePosition(record);
  ASSERT_TRUE(with.ok()) << with.status().ToString();
  EXPECT_EQ(with->clock_ms, 77U);
  EXPECT_EQ(with->compacted, 4U);
  std::string old = record.substr(0, record.size() - 8);
  EXPECT_EQ(DecodePosition(old).code(), Code::kCorruption) << "its clock is missing";
  old[0] = 2;
  const auto without = DecodePosition(old);
  ASSERT_TRUE(without.ok()) << without.status().ToString();
  EXPECT_EQ(without->clock_ms, 0U);
  EXPECT_EQ(without->revision, 9U);
  EXPECT_EQ(DecodePosition(old + std::string(8, '\0')).code(), Code::kCorruption);
  std::string newer = record;
  newer[0] = 4;
  EXPECT_EQ(DecodePosition(newer).code(), Code::kVersionMismatch);
  const auto at = [](std::uint64_t clock_ms) {
    return DecodePosition(EncodePosition({Index(5), Term(2), 1'000, 9, 4, clock_ms})).code();
  };
  EXPECT_EQ(at(raft::kMaxClockMs - 1), Code::kOk);
  EXPECT_EQ(at(raft::kMaxClockMs), Code::kOk);
  EXPECT_EQ(at(raft::kMaxClockMs + 1), Code::kCorruption) << "it could not be counted on";
}

}  // namespace
}  // namespace raftkv::kv
