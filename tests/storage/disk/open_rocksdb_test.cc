// Are the databases opened in one way: made only where there is none, with the same options by
// whoever opens them?
#include "storage/disk/open_rocksdb.h"

#include <algorithm>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "storage/disk/files.h"
#include "storage/kv/kv_engine.h"
#include "storage/log/log_handles.h"
#include "tests/support/faults/crash_fs.h"

namespace raftkv::test {
namespace {

using storage::Opening;

class OpenRocksdbTest : public testing::Test {
 protected:
  OpenRocksdbTest() {
    EXPECT_TRUE(storage::MakeFolder(*env_, kFolder).ok());
    log_.folder = kFolder;
    log_.env = env_.get();
    kv_.folder = kFolder;
    kv_.env = env_.get();
  }

  rocksdb::Status Open(Opening opening) {
    std::unique_ptr<rocksdb::DB> db;
    const rocksdb::Status opened =
        storage::OpenRocksdb(opening, storage::CommonOptions(env_.get(), "test", {}), kFolder, db);
    EXPECT_EQ(db != nullptr, opened.ok());
    return opened;
  }

  std::set<std::string> Names() {
    std::vector<std::string> names;
    EXPECT_TRUE(env_->GetChildren(kFolder, &names).ok());
    return {names.begin(), names.end()};
  }

  /// What RocksDB wrote down of the last open, but for what to do where there is nothing.
  std::set<std::string> OptionsOnDisk() {
    std::string last;
    for (const std::string& name : Names()) {
      if (name.starts_with("OPTIONS-") && !name.ends_with(".dbtmp")) last = std::max(last, name);
    }
    std::string text;
    EXPECT_TRUE(
        rocksdb::ReadFileToString(env_.get(), std::string(kFolder) + "/" + last, &text).ok())
        << last;
    std::set<std::string> lines;
    std::istringstream stream(text);
    std::string section;
    for (std::string line; std::getline(stream, line);) {
      line.erase(0, line.find_first_not_of(' '));
      if (line.starts_with("[")) section = line;
      const bool of_making = line.starts_with("create_") || line.starts_with("error_if_exists");
      if (!line.empty() && !of_making) lines.insert(section + " " + line);
    }
    return lines;
  }

  static constexpr char kFolder[] = "/data";
  const std::shared_ptr<CrashFs> fs_ = std::make_shared<CrashFs>();
  const std::unique_ptr<rocksdb::Env> env_ = rocksdb::NewCompositeEnv(fs_);
  storage::LogDbOptions log_;
  storage::KvEngineOptions kv_;
};

TEST_F(OpenRocksdbTest, MakesADatabaseOnlyWhereThereIsNone) {
  EXPECT_FALSE(Open(Opening::kThere).ok());
  EXPECT_FALSE(Open(Opening::kReadOnly).ok());
  EXPECT_TRUE(Open(Opening::kMake).ok());
  EXPECT_FALSE(Open(Opening::kMake).ok());
  EXPECT_TRUE(Open(Opening::kThere).ok());
}

TEST_F(OpenRocksdbTest, AReadOnlyOpenLeavesTheFolderAsItIs) {
  ASSERT_TRUE(Open(Opening::kMake).ok());
  const std::set<std::string> before = Names();
  EXPECT_TRUE(Open(Opening::kReadOnly).ok());
  EXPECT_EQ(Names(), before);
}

TEST_F(OpenRocksdbTest, TheKeyValueDatabaseIsOpenedWithTheOptionsThatItWasMadeWith) {
  ASSERT_TRUE(storage::KvEngine::Create(kv_).ok());
  const std::set<std::string> made = OptionsOnDisk();
  const auto engine = storage::KvEngine::Open(kv_);
  ASSERT_TRUE(engine.ok()) << engine.status().ToString();
  EXPECT_EQ(OptionsOnDisk(), made);
}

TEST_F(OpenRocksdbTest, TheLogIsOpenedWithTheOptionsThatItWasMadeWith) {
  {
    const auto made = storage::CreateLogHandles(log_);
    ASSERT_TRUE(made.ok()) << made.status().ToString();
  }
  const std::set<std::string> made = OptionsOnDisk();
  const auto opened = storage::OpenLogHandles(log_, {});
  ASSERT_TRUE(opened.ok()) << opened.status().ToString();
  EXPECT_EQ(OptionsOnDisk(), made);
}

// What failed must not be tried again behind our back, in neither of them.
TEST_F(OpenRocksdbTest, BothDatabasesHaveWhatIsCommon) {
  const auto expect_common = [this](const char* what) {
    const std::set<std::string> options = OptionsOnDisk();
    for (const char* line : {"max_bgerror_resume_count=0", "max_background_jobs=2",
                             "max_file_opening_threads=1", "stats_dump_period_sec=0",
                             "stats_persist_period_sec=0", "skip_stats_update_on_db_open=true"}) {
      EXPECT_TRUE(options.contains(std::string("[DBOptions] ") + line)) << what << ": " << line;
    }
    const std::string tables = "max_open_files=" + std::to_string(storage::MostOpenTables());
    EXPECT_TRUE(options.contains("[DBOptions] " + tables)) << what << ": " << tables;
  };
  ASSERT_TRUE(storage::KvEngine::Create(kv_).ok());
  expect_common("kv");
  ASSERT_TRUE(storage::RemoveTree(*env_, kFolder).ok());
  ASSERT_TRUE(storage::MakeFolder(*env_, kFolder).ok());
  ASSERT_TRUE(storage::CreateLogHandles(log_).ok());
  expect_common("log");
}

}  // namespace
}  // namespace raftkv::test
