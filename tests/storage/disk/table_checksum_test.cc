// Does a database know what the bytes of its tables were when they were written?
#include <fstream>
#include <map>
#include <string>

#include <gtest/gtest.h>

#include "lib/kv/layout.h"
#include "storage/kv/kv_engine.h"
#include "storage/snapshot/snapshot_manifest.h"
#include "storage/snapshot/snapshot_source.h"
#include "tests/support/process/process.h"

namespace raftkv::test {
namespace {

using storage::KvEngine;
using storage::SnapshotFiles;

class TableChecksums : public testing::Test {
 protected:
  void SetUp() override {
    options_.folder = folder_.path().string() + "/kv";
    options_.env = rocksdb::Env::Default();
    ASSERT_TRUE(KvEngine::Create(options_).ok());
    engine_ = *KvEngine::Open(options_);
    for (int i = 0; i < 1000; ++i) {
      const std::string key = std::string(1, kv::kDataPrefix) + "key" + std::to_string(i);
      ASSERT_TRUE(engine_->Write({{.key = key, .value = std::string(200, 'v')}}).ok());
      if (i % 400 != 399) continue;
      ASSERT_TRUE(engine_->Flush().ok());
    }
    ASSERT_TRUE(engine_->Flush().ok());
  }

  /// Changes one byte of `path` in place, where links to it change as well.
  static void Flip(const std::string& path) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(100);
    const char was = static_cast<char>(file.get());
    file.seekp(100);
    file.put(static_cast<char>(was ^ 1));
    ASSERT_TRUE(file.good());
  }

  const TempFolder folder_;
  storage::KvEngineOptions options_;
  std::shared_ptr<KvEngine> engine_;
};

TEST_F(TableChecksums, AreThoseOfTheFiles) {
  const std::size_t tables = engine_->Tables().size();
  ASSERT_GE(tables, 2u);
  ASSERT_TRUE(engine_->Close().ok());
  const auto head = KvEngine::HeadOf(options_);
  ASSERT_TRUE(head.ok()) << head.status().ToString();
  EXPECT_EQ(head->checksums.size(), tables);
  for (const auto& [name, checksum] : head->checksums) {
    const auto file = storage::ChecksumFile(*options_.env, options_.folder, name);
    ASSERT_TRUE(file.ok()) << file.status().ToString();
    EXPECT_EQ(file->checksum, checksum) << name;
  }
}

TEST_F(TableChecksums, StandInAManifestWithoutReadingTheTablesAgain) {
  storage::TableChecksums known;
  const auto read =
      SnapshotFiles::Make(*engine_, folder_.path().string() + "/a", known, /*verify=*/true);
  storage::TableChecksums none;
  const auto kept =
      SnapshotFiles::Make(*engine_, folder_.path().string() + "/b", none, /*verify=*/false);
  ASSERT_TRUE(read.ok() && kept.ok());
  EXPECT_EQ((*read)->id(), (*kept)->id());
}

TEST_F(TableChecksums, ADamagedTableDoesNotGetOneThatSaysItIsRight) {
  Flip(engine_->Tables().front());
  storage::TableChecksums known;
  const auto verified = SnapshotFiles::Make(*engine_, folder_.path().string() + "/a", known);
  EXPECT_EQ(verified.code(), Code::kCorruption);
  EXPECT_NE(verified.status().message().find("has changed since it was written"), std::string::npos)
      << verified.status().ToString();
  // Whoever gets a copy that nobody has read here finds it as well.
  const auto head = KvEngine::HeadOf(engine_->options());
  ASSERT_TRUE(head.ok()) << head.status().ToString();
  std::size_t wrong = 0;
  for (const auto& [name, checksum] : head->checksums) {
    const auto file = storage::ChecksumFile(*options_.env, options_.folder, name);
    wrong += file.ok() && file->checksum != checksum ? 1 : 0;
  }
  EXPECT_EQ(wrong, 1u);
}

}  // namespace
}  // namespace raftkv::test
