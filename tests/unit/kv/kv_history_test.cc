// Is each revision that is kept read as it was, and each other one refused with the lowest that is
// left? And do the settings of a cluster say what is kept?
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lib/kv/record.h"
#include "lib/kv/restore.h"
#include "lib/kv/retention.h"
#include "lib/kv/settings.h"
#include "lib/kv/store.h"
#include "tests/support/node/kv_log.h"

namespace raftkv::kv {
namespace {

using test::AppliedLog;

constexpr std::uint64_t kStart = AppliedLog::kStartMs;

Operation Delete(std::string key) { return DeleteOp{Range::Single(std::move(key))}; }

Result<std::vector<ReadAnswer>> ReadAll(AppliedLog& log, const std::vector<ReadOp>& reads) {
  const auto answer = Read(log.engine(), ReadTier::kAll, EncodeReadRequest(reads).view(), 1 << 20);
  if (!answer.ok()) return answer.status();
  return DecodeReadResponse(answer->view());
}

/// The pairs of all keys at `revision`, or what is wrong.
std::string At(AppliedLog& log, std::uint64_t revision) {
  ReadOp read{.range = Range::From(KeyRange::Prefix(""))};
  read.revision = revision;
  const auto results = ReadAll(log, {read});
  if (!results.ok()) return results.status().ToString();
  std::string shown;
  for (const KeyValue& kv : results->front().kvs) shown += kv.key + "=" + kv.value + " ";
  return shown;
}

std::string GetAt(AppliedLog& log, const std::string& key, std::uint64_t revision) {
  ReadOp read{.range = Range::Single(key)};
  read.revision = revision;
  const auto results = ReadAll(log, {read});
  if (!results.ok()) return results.status().ToString();
  return results->front().kvs.empty() ? "(none)" : results->front().kvs.front().value;
}

Code Compact(AppliedLog& log, std::uint64_t revision) {
  return log.Apply({CompactOp{revision}}).results.at(0).code;
}

std::string Set(AppliedLog& log, const std::string& name, const std::string& value) {
  const auto result = log.Apply({SettingOp{name, value}}).results.at(0);
  return result.code == Code::kOk ? "ok" : result.message;
}

std::map<std::string, std::string> SettingsOf(AppliedLog& log) {
  ReadOp read;
  read.settings = true;
  const auto results = ReadAll(log, {read});
  EXPECT_TRUE(results.ok()) << results.status().ToString();
  std::map<std::string, std::string> settings;
  for (const KeyValue& kv : results->front().kvs) settings[kv.key] = kv.value;
  return settings;
}

TEST(KvHistory, ARevisionIsReadAsItWas) {
  AppliedLog log;
  log.Apply({PutOp{"a", "1"}, PutOp{"b", "1"}});               // 2, 3
  log.Apply({PutOp{"a", "2"}, Delete("b"), PutOp{"c", "1"}});  // 4, 5, 6
  EXPECT_EQ(At(log, 1), "");
  EXPECT_EQ(At(log, 2), "a=1 ");
  EXPECT_EQ(At(log, 3), "a=1 b=1 ");
  EXPECT_EQ(At(log, 4), "a=2 b=1 ");
  EXPECT_EQ(At(log, 5), "a=2 ");
  EXPECT_EQ(At(log, 6), "a=2 c=1 ");
  EXPECT_EQ(At(log, 0), At(log, 6));
  EXPECT_EQ(GetAt(log, "b", 4), "1");
  EXPECT_EQ(GetAt(log, "b", 5), "(none)");
  log.Reopen();
  EXPECT_EQ(At(log, 4), "a=2 b=1 ");
}

TEST(KvHistory, WhatAKeyCarriesIsOfThatRevisionToo) {
  AppliedLog log;
  log.Apply({PutOp{"a", "1"}, PutOp{"a", "2"}, Delete("a"), PutOp{"a", "3"}});
  ReadOp read{.range = Range::Single("a")};
  read.revision = 3;
  const auto results = ReadAll(log, {read});
  ASSERT_TRUE(results.ok());
  const KeyValue& kv = results->front().kvs.at(0);
  EXPECT_EQ(kv.mod_revision, 3U);
  EXPECT_EQ(kv.create_revision, 2U);
  EXPECT_EQ(kv.version, 2U);
}

TEST(KvHistory, TheReadsOfOneRequestMayBeOfDifferentRevisions) {
  AppliedLog log;
  log.Apply({PutOp{"a", "1"}, PutOp{"a", "2"}});
  ReadOp old{.range = Range::Single("a")};
  old.revision = 2;
  const auto results = ReadAll(log, {old, ReadOp{.range = Range::Single("a")}});
  ASSERT_TRUE(results.ok());
  EXPECT_EQ((*results)[0].kvs.at(0).value, "1");
  EXPECT_EQ((*results)[1].kvs.at(0).value, "2");
}

TEST(KvHistory, WhatIsToComeIsRefused) {
  AppliedLog log;
  log.Apply({PutOp{"a", "1"}});
  EXPECT_EQ(GetAt(log, "a", 2), "1");
  EXPECT_EQ(GetAt(log, "a", 3),
            "InvalidArgument: revision 3 is a future revision: the store is at 2");
}

TEST(KvHistory, CompactedIsWhatIsBelowTheBoundAndNotTheBound) {
  AppliedLog log;
  log.Apply({PutOp{"a", "1"}, PutOp{"a", "2"}, PutOp{"a", "3"}});
  EXPECT_EQ(Compact(log, 3), Code::kOk);
  EXPECT_EQ(log.store().revisions().revision, 4U) << "it takes no revision";
  EXPECT_EQ(log.store().revisions().compacted, 3U);
  EXPECT_EQ(GetAt(log, "a", 2),
            "Compacted: revision 2 has been compacted: the lowest one that can be read is 3");
  EXPECT_EQ(GetAt(log, "a", 3), "2");
  EXPECT_EQ(GetAt(log, "a", 0), "3");
  log.Reopen();
  EXPECT_EQ(log.store().revisions().compacted, 3U);
  EXPECT_EQ(GetAt(log, "a", 2).substr(0, 9), "Compacted");
}

TEST(KvHistory, ACompactIsRefusedBelowTheBoundAndAboveTheRevision) {
  AppliedLog log;
  log.Apply({PutOp{"a", "1"}, PutOp{"a", "2"}});  // 3
  EXPECT_EQ(Compact(log, 4), Code::kInvalidArgument);
  EXPECT_EQ(log.store().revisions().compacted, 0U);
  EXPECT_EQ(Compact(log, 0), Code::kCompacted);
  EXPECT_EQ(Compact(log, 3), Code::kOk);
  EXPECT_EQ(Compact(log, 3), Code::kCompacted);
  EXPECT_EQ(Compact(log, 2), Code::kCompacted);
  EXPECT_EQ(log.store().revisions().compacted, 3U);
}

TEST(KvHistory, ARetriedCompactHasItsFirstAnswer) {
  AppliedLog log;
  log.Apply({PutOp{"a", "1"}, PutOp{"a", "2"}});
  const RequestHeader header{9, kStart, 1, 0};
  EXPECT_EQ(log.Apply(header, {CompactOp{3}}).results.at(0).code, Code::kOk);
  EXPECT_EQ(log.Apply(header, {CompactOp{3}}).results.at(0).code, Code::kOk);
}

TEST(KvHistory, TheLeaderCompactsWithoutASessionAndNothingElseMay) {
  AppliedLog log;
  log.Apply({PutOp{"a", "1"}, PutOp{"a", "2"}});
  const Bytes own = EncodeCompact(2);
  EXPECT_EQ(ValidateRequest(own.view(), Limits()).code(), Code::kInvalidArgument)
      << "nobody else may";
  const auto apply = [&](const Bytes& request) {
    const std::uint64_t index = log.store().applied().value + 1;
    return log.store().Apply({test::CommandEntry(index, log.now_ms(), request)});
  };
  ASSERT_TRUE(apply(own).ok());
  EXPECT_EQ(log.store().revisions().compacted, 2U);
  ASSERT_TRUE(apply(own).ok()) << "twice does no harm";
  ASSERT_TRUE(apply(EncodeCompact(99)).ok());
  EXPECT_EQ(log.store().revisions().compacted, 2U);
}

TEST(KvHistory, UpkeepIsAloneInItsRequest) {
  const auto validate = [](const std::vector<Operation>& operations) {
    return ValidateRequest(EncodeRequest({7, kStart, 1, 0}, operations).view(), Limits()).code();
  };
  EXPECT_EQ(validate({CompactOp{2}}), Code::kOk);
  EXPECT_EQ(validate({SettingOp{"history", "1h"}}), Code::kOk);
  EXPECT_EQ(validate({PutOp{"a", "1"}, CompactOp{2}}), Code::kInvalidArgument);
  EXPECT_EQ(validate({SettingOp{"history", "1h"}, PutOp{"a", "1"}}), Code::kInvalidArgument);
  EXPECT_EQ(validate({SettingOp{"history", "1h"}, CompactOp{2}}), Code::kInvalidArgument);
  EXPECT_EQ(validate({SettingOp{"history", "soon"}}), Code::kInvalidArgument);
}

TEST(KvHistory, ARestoredStoreHasNoPast) {
  AppliedLog log;
  log.Apply({PutOp{"a", "1"}, PutOp{"a", "2"}});
  ASSERT_TRUE(BeginFromBackup(log.engine()).ok());
  log.Reopen();
  const std::uint64_t revision = log.store().revisions().revision;
  EXPECT_EQ(GetAt(log, "a", 3).substr(0, 9), "Compacted");
  EXPECT_EQ(GetAt(log, "a", revision), "2");
}

TEST(KvHistory, SettingsAreKeptAndShown) {
  AppliedLog log;
  const std::map<std::string, std::string> defaults = {
      {"event-bytes", "32MiB"}, {"history", "10m"}, {"history-bytes", "256MiB"}};
  EXPECT_EQ(SettingsOf(log), defaults);
  EXPECT_EQ(Set(log, "history", "90s"), "ok");
  EXPECT_EQ(Set(log, "history-bytes", "1073741824"), "ok");
  log.Reopen();
  EXPECT_EQ(SettingsOf(log)["history"], "90s");
  EXPECT_EQ(SettingsOf(log)["history-bytes"], "1GiB");
  EXPECT_EQ(log.store().settings().history_ms, 90'000U);
  EXPECT_EQ(Set(log, "history", "0s"), "ok");
  EXPECT_EQ(SettingsOf(log)["history"], "0s");
  EXPECT_EQ(log.store().revisions().revision, 1U) << "a setting takes no revision";
}

TEST(KvHistory, SettingsThatCannotBeAreRefusedWithWhatCan) {
  AppliedLog log;
  EXPECT_EQ(Set(log, "histroy", "1h"),
            "there is no setting 'histroy': there are event-bytes, history, history-bytes");
  EXPECT_EQ(Set(log, "history", "1"),
            "history cannot be '1': it is a duration such as 90s, 10m or 2h, from 0s to 366d");
  EXPECT_EQ(Set(log, "a\nb", "1h"),
            "there is no setting 'a\\x0ab': there are event-bytes, history, history-bytes");
  EXPECT_NE(Set(log, "history", "1\n\x1b[2J").find("'1\\x0a\\x1b[2J'"), std::string::npos)
      << "whatever it is, on one line";
  for (const char* value :
       {"", "-1s", "1 h", "1h ", "h", "367d", "99999999999999999999s", "1.5h"}) {
    EXPECT_NE(Set(log, "history", value), "ok") << value;
  }
  for (const char* value : {"0", "1023KiB", "2048GiB", "10m", "64MB"}) {
    EXPECT_NE(Set(log, "history-bytes", value), "ok") << value;
  }
  EXPECT_EQ(Set(log, "history-bytes", "1024KiB"), "ok");
  EXPECT_EQ(Set(log, "history-bytes", "1024GiB"), "ok");
  EXPECT_EQ(Set(log, "history", "366d"), "ok");
}

TEST(KvRetention, TimeDecidesWhatMayGo) {
  Retention retention;
  for (std::uint64_t second = 0; second <= 1000; ++second) {
    retention.Note(1000 * second, 10 + second, 100);
  }
  EXPECT_EQ(retention.Due(1000 * 1000, 0, false), 10U + 400) << "10 minutes by default";
  EXPECT_EQ(retention.Due(1000 * 1000, 410, false), 0U) << "it went already";
  EXPECT_EQ(retention.Due(1000 * 500, 0, false), 0U);
  Settings settings;
  settings.history_ms = 0;
  retention.Set(settings);
  EXPECT_EQ(retention.Due(1000 * 1000, 0, false), 10U + 998) << "a scan needs a moment";
  EXPECT_EQ(retention.Due(1000 * 1000 + 1999, 0, false), 10U + 999);
  EXPECT_EQ(retention.Due(1000 * 1000 + 2000, 0, false), 1010U) << "the latest only";
  EXPECT_EQ(retention.Due(1000 * 2000, 1010, false), 0U) << "an idle store is left alone";
}

TEST(KvRetention, AShortHistoryIsAsLongAsItSays) {
  Retention retention;
  for (std::uint64_t second = 0; second <= 1000; ++second) {
    retention.Note(1000 * second, 10 + second, 100);
  }
  const auto due_with = [&](std::uint64_t history_ms) {
    Settings settings;
    settings.history_ms = history_ms;
    retention.Set(settings);
    return retention.Due(1000 * 1000, 0, false);
  };
  EXPECT_EQ(due_with(29'000), 10U + 971);
  EXPECT_EQ(due_with(5'000), 10U + 995);
  EXPECT_EQ(due_with(2'001), 10U + 997);
  EXPECT_EQ(due_with(2'000), 10U + 998);
  EXPECT_EQ(due_with(1'999), 10U + 998);
  EXPECT_EQ(due_with(0), 10U + 998);
}

TEST(KvRetention, BytesDecideWhereTimeDoesNot) {
  Settings settings;
  settings.history_bytes = 8 << 20;
  Retention retention;
  retention.Set(settings);
  std::uint64_t revision = 10;
  retention.Note(5000, revision, 0);
  for (int i = 0; i < 8; ++i) retention.Note(5000, ++revision, 1 << 20);
  EXPECT_EQ(retention.Due(5000, 0, false), 0U) << "as much as may be";
  retention.Note(5000, ++revision, 1 << 20);
  const std::uint64_t due = retention.Due(5000, 0, false);
  EXPECT_GE(due, revision - 6);
  EXPECT_LT(due, revision);
  EXPECT_EQ(retention.Due(5000, due, false), 0U);
  EXPECT_EQ(retention.Due(5000, due, true), revision) << "space is short: all of it";
}

TEST(KvRetention, ItsMemoryIsBounded) {
  Retention retention;
  for (std::uint64_t i = 0; i < 100'000; ++i) retention.Note(1000 * i, i + 2, 1 << 20);
  const std::uint64_t due = retention.Due(1000 * 100'000, 0, false);
  EXPECT_GT(due, 99'000U);
  EXPECT_LE(due, 100'001U);
}

TEST(KvRetention, NewKeysAreNoPast) {
  AppliedLog log;
  log.Apply({PutOp{"a", std::string(1000, 'v')}});
  EXPECT_LT(log.last_changes()->PastBytes(), 100U);
  log.Apply({PutOp{"a", std::string(1000, 'w')}});
  EXPECT_GT(log.last_changes()->PastBytes(), 1000U);
}

}  // namespace
}  // namespace raftkv::kv
