// Does a raftkv::Log notice that its folder, or a file in it, was removed or replaced while it is
// open, and acknowledge nothing that nobody would find again?
#include <filesystem>
#include <memory>
#include <string>
#include <tuple>

#include <gtest/gtest.h>

#include <raftkv/log.h>

#include "storage/folder/record.h"
#include "tests/support/process/process.h"

namespace raftkv::test {
namespace {

namespace fs = std::filesystem;

class LogGone : public testing::TestWithParam<std::tuple<std::string, bool>> {
 protected:
  /// What the name of the test's kind says.
  void Do() {
    const std::string& way = std::get<0>(GetParam());
    const fs::path dir = dir_;
    if (way == "Removed") {
      fs::remove_all(dir);
    } else if (way == "Moved") {
      fs::rename(dir, away_);
    } else if (way == "ReplacedByACopy") {
      fs::rename(dir, away_);
      fs::copy(away_, dir, fs::copy_options::recursive);
    } else if (way == "DatabaseReplacedByACopy") {
      fs::rename(dir / "log", away_);
      fs::copy(away_, dir / "log", fs::copy_options::recursive);
    } else if (way == "RecordRemoved") {
      fs::remove(dir / "record");
    } else if (way == "LockReplaced") {
      fs::rename(dir / "LOCK", away_);
      fs::copy(away_, dir / "LOCK");
    } else {
      ASSERT_EQ(way, "WriteAheadLogRemoved");
      for (const auto& file : fs::directory_iterator(dir / "log")) {
        if (file.path().extension() == ".log") fs::remove(file.path());
      }
    }
  }
  void Open() {
    LogOptions options;
    options.dir = dir_;
    options.sync = std::get<1>(GetParam());
    auto log = Log::Open(options);
    ASSERT_TRUE(log.ok()) << log.status().ToString();
    log_ = *std::move(log);
    ASSERT_TRUE(log_->AppendBatch({"1", "2"}).ok());
  }
  static void ExpectGone(const Status& status) {
    EXPECT_EQ(status.code(), Code::kIOError) << status.ToString();
    EXPECT_NE(status.message().find("while it was in use"), std::string::npos) << status.ToString();
  }

  TempFolder folder_;
  const std::string dir_ = folder_ / "log";
  const std::string away_ = folder_ / "away";
  std::unique_ptr<Log> log_;
};

TEST_P(LogGone, TheNextWriteFailsAndSaysSo) {
  ASSERT_NO_FATAL_FAILURE(Open());
  ASSERT_NO_FATAL_FAILURE(Do());
  ExpectGone(log_->Append("3").status());
  EXPECT_EQ(log_->Seq(), 2U);
  EXPECT_EQ(log_->Sync().code(), Code::kIOError);
  EXPECT_EQ(log_->TrimPrefix(1).code(), Code::kIOError);
  ExpectGone(log_->Close());
}

TEST_P(LogGone, PutBackItTakesNothingUntilItIsOpenedAgain) {
  const std::string& way = std::get<0>(GetParam());
  if (way != "Moved" && way != "ReplacedByACopy") return;  // the others cannot be put back
  ASSERT_NO_FATAL_FAILURE(Open());
  ASSERT_NO_FATAL_FAILURE(Do());
  ExpectGone(log_->Append("3").status());
  fs::remove_all(dir_);
  fs::rename(away_, dir_);
  EXPECT_EQ(log_->Append("4").code(), Code::kIOError);
  ExpectGone(log_->Close());
  log_.reset();
  ASSERT_NO_FATAL_FAILURE(Open());
  EXPECT_EQ(*log_->Read(1), "1");
  EXPECT_EQ(*log_->Read(2), "2");
}

TEST_P(LogGone, ClosedWithoutAWriteItSaysSoToo) {
  if (std::get<0>(GetParam()) == "WriteAheadLogRemoved") return;  // it has nothing to sync
  ASSERT_NO_FATAL_FAILURE(Open());
  ASSERT_NO_FATAL_FAILURE(Do());
  std::string record;
  if (fs::exists(dir_ + "/record")) record = ReadFile(dir_ + "/record");
  const Status closed = log_->Close();
  if (std::get<0>(GetParam()) != "DatabaseReplacedByACopy") ExpectGone(closed);
  // Whatever stands there now is not said to have been closed cleanly.
  if (!record.empty() && !closed.ok()) {
    const auto now = storage::DecodeRecord(ReadFile(dir_ + "/record"));
    ASSERT_TRUE(now.ok());
    EXPECT_FALSE(now->clean_close);
    // A sync that failed in the database's folder may say so in the record, which is still ours.
    if (std::get<0>(GetParam()) != "DatabaseReplacedByACopy") {
      EXPECT_EQ(ReadFile(dir_ + "/record"), record);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Ways, LogGone,
                         testing::Combine(testing::Values("Removed", "Moved", "ReplacedByACopy",
                                                          "DatabaseReplacedByACopy",
                                                          "RecordRemoved", "LockReplaced",
                                                          "WriteAheadLogRemoved"),
                                          testing::Bool()),
                         [](const auto& kind) {
                           return std::get<0>(kind.param) +
                                  (std::get<1>(kind.param) ? "Synced" : "Unsynced");
                         });

}  // namespace
}  // namespace raftkv::test
