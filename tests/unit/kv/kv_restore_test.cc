// What does a store begin with that is restored from a backup, of this format or of the one before?
#include <string>

#include <gtest/gtest.h>

#include "lib/base/bytes.h"
#include "lib/kv/record.h"
#include "lib/kv/restore.h"
#include "lib/kv/store.h"
#include "tests/support/node/kv_log.h"

namespace raftkv::kv {
namespace {

using test::AppliedLog;

constexpr std::uint64_t kStart = AppliedLog::kStartMs;

std::string Format1(std::initializer_list<std::uint64_t> numbers, const std::string& rest = {}) {
  std::string record(1, '\x01');
  for (const std::uint64_t number : numbers) AppendBigEndian64(record, number);
  return record + rest;
}

test::FakeEngine::Content ContentOfFormat1() {
  std::string session_key = "s";
  AppendBigEndian64(session_key, 7);
  return {{"a", Format1({11, 2, kStart + 500})},
          {"dfruit", Format1({4}, "pear")},
          {"dempty", Format1({9})},
          {session_key, Format1({kStart + 300, kStart + 400, 9, 1}, std::string(4, '\0'))},
          {"f", Format1({kStart + 100})}};
}

Counts CountsOf(const test::FakeEngine& engine, const std::string& key) {
  const auto data = DecodeDataRecord(engine.content().at("d" + key));
  EXPECT_TRUE(data.ok()) << data.status().ToString();
  return data.ok() ? data->counts : Counts();
}

/// From a backup of format 1.
Status Begin(test::FakeEngine& old, test::FakeEngine& engine) {
  Status begun = ConvertFormat1(*old.NewView(ReadTier::kAll), engine);
  return begun.ok() ? BeginFromBackup(engine) : begun;
}

TEST(KvRestore, TheRevisionJumpsAndAllBeforeItCountsAsCompacted) {
  AppliedLog log;
  log.Apply({PutOp{"a", "1"}, PutOp{"a", "2"}});
  const std::uint64_t hash = HashContent(log.engine())->hash;
  ASSERT_TRUE(BeginFromBackup(log.engine()).ok());
  EXPECT_EQ(HashContent(log.engine())->hash, hash) << "the keys are those of the backup";
  log.Reopen();
  EXPECT_EQ(log.store().applied(), Index(1));
  EXPECT_EQ(log.store().revisions().revision, 3 + kRestoreJump);
  EXPECT_EQ(log.store().revisions().compacted, 3 + kRestoreJump);
  log.Apply({PutOp{"a", "3"}});
  EXPECT_EQ(CountsOf(log.engine(), "a"), (Counts{4 + kRestoreJump, 2, 3, 0}));
  log.Reopen();
  EXPECT_EQ(log.store().revisions().compacted, 3 + kRestoreJump) << "it stays";
}

TEST(KvRestore, ABackupOfFormat1BecomesARightStore) {
  test::FakeEngine old(ContentOfFormat1());
  ASSERT_EQ(Store::Open(old, {}).code(), Code::kVersionMismatch);
  test::FakeEngine engine;
  const Status begun = Begin(old, engine);
  ASSERT_TRUE(begun.ok()) << begun.ToString();
  const auto store = test::OpenStore(engine);
  EXPECT_EQ(store->applied(), Index(11));
  EXPECT_EQ(store->replicated_time_ms(), kStart + 500);
  EXPECT_EQ(store->revisions().revision, 11 + kRestoreJump);
  EXPECT_EQ(store->revisions().compacted, 11 + kRestoreJump);
  EXPECT_EQ(CountsOf(engine, "fruit"), (Counts{4, 4, 1, 0}));
  EXPECT_EQ(CountsOf(engine, "empty"), (Counts{9, 9, 1, 0}));
  EXPECT_EQ(DecodeDataRecord(engine.content().at("dfruit"))->value, "pear");
  const Bytes late = EncodeRequest({7, kStart + 300, 1, 0}, {PutOp{"fruit", "again"}});
  const auto applied =
      store->Apply({{Index(12), Term(3), raft::EntryKind::kCommand, kStart + 600, late}});
  ASSERT_TRUE(applied.ok());
  EXPECT_EQ(DecodeResponse(applied->front().response.view(), 1)->code, Code::kSessionExpired)
      << "a late retry under a session whose answers were dropped";
  const Bytes fresh = EncodeRequest({8, kStart + 500, 1, 0}, {PutOp{"fruit", "fig"}});
  ASSERT_TRUE(
      store->Apply({{Index(13), Term(3), raft::EntryKind::kCommand, kStart + 600, fresh}}).ok());
  EXPECT_EQ(CountsOf(engine, "fruit"), (Counts{12 + kRestoreJump, 4, 2, 0}));
}

TEST(KvRestore, IsAFunctionOfTheBackupAlsoWhereItIsWrittenInPieces) {
  test::FakeEngine::Content content = ContentOfFormat1();
  for (int i = 0; i < 200; ++i) {
    content["dk" + std::to_string(i)] = Format1({5}, std::string(100'000, 'v'));
  }
  test::FakeEngine old(content);
  test::FakeEngine one;
  test::FakeEngine other;
  ASSERT_TRUE(Begin(old, one).ok());
  ASSERT_TRUE(Begin(old, other).ok());
  EXPECT_EQ(one.content(), other.content());
  EXPECT_GT(one.writes(), 2U);
  EXPECT_EQ(HashContent(one)->keys, 202U);
}

TEST(KvRestore, WhatMakesNoSenseIsDamage) {
  const auto with = [](const std::string& key, const std::string& record) {
    test::FakeEngine::Content content = ContentOfFormat1();
    content[key] = record;
    test::FakeEngine old(content);
    test::FakeEngine engine;
    return Begin(old, engine).code();
  };
  EXPECT_EQ(with("dfruit", "\x01short"), Code::kCorruption);
  EXPECT_EQ(with("dfruit", "\x02\x01\x01\x01"), Code::kCorruption) << "of today among old ones";
  EXPECT_EQ(with("dfruit", Format1({0}, "never")), Code::kCorruption);
  EXPECT_EQ(with("f", "\x01"), Code::kCorruption);
  EXPECT_EQ(with("sxxxxxxxx", ""), Code::kCorruption);
  EXPECT_EQ(with("a", "\x01short"), Code::kCorruption);
  EXPECT_EQ(with("a", std::string("\x04 newer")), Code::kVersionMismatch);
  EXPECT_EQ(with("a", ""), Code::kCorruption);
  test::FakeEngine empty;
  test::FakeEngine engine;
  EXPECT_EQ(BeginFromBackup(empty).code(), Code::kCorruption);
  EXPECT_EQ(Begin(empty, engine).code(), Code::kCorruption);
  AppliedLog failing;
  failing.Apply({PutOp{"a", "1"}});
  failing.engine().FailWritesAfter(0);
  EXPECT_EQ(BeginFromBackup(failing.engine()).code(), Code::kIOError);
}

}  // namespace
}  // namespace raftkv::kv
