// Can a member be closed at once while work is under way that takes long?
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <raftkv/backup.h>
#include <raftkv/client.h>

#include "lib/base/random.h"
#include "lib/open/open_node.h"
#include "tests/support/faults/crash_fs.h"
#include "tests/support/process/process.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

/// Reads tables as slowly as it is told.
class SlowReads final : public rocksdb::FileSystemWrapper {
 public:
  SlowReads() : rocksdb::FileSystemWrapper(std::make_shared<CrashFs>()) {}
  const char* Name() const override { return "SlowReads"; }
  rocksdb::IOStatus NewRandomAccessFile(const std::string& path,
                                        const rocksdb::FileOptions& options,
                                        std::unique_ptr<rocksdb::FSRandomAccessFile>* out,
                                        rocksdb::IODebugContext* debug) override {
    rocksdb::IOStatus opened = FileSystemWrapper::NewRandomAccessFile(path, options, out, debug);
    if (opened.ok()) *out = std::make_unique<File>(std::move(*out), *this);
    return opened;
  }

  /// Of each 4 KiB; 0: as fast as they come.
  std::atomic<std::chrono::milliseconds::rep> delay_ms{0};
  std::atomic<int> slow_reads{0};

 private:
  class File final : public rocksdb::FSRandomAccessFileOwnerWrapper {
   public:
    File(std::unique_ptr<rocksdb::FSRandomAccessFile> file, SlowReads& owner)
        : FSRandomAccessFileOwnerWrapper(std::move(file)), owner_(owner) {}
    rocksdb::IOStatus Read(std::uint64_t offset, std::size_t size,
                           const rocksdb::IOOptions& options, rocksdb::Slice* result, char* scratch,
                           rocksdb::IODebugContext* debug) const override {
      const auto delay = std::chrono::milliseconds(owner_.delay_ms) * (size / 4096 + 1);
      if (delay > 0ms) {
        ++owner_.slow_reads;
        // check:allow sleep: it stands for a slow disk
        std::this_thread::sleep_for(delay);
      }
      return FSRandomAccessFileOwnerWrapper::Read(offset, size, options, result, scratch, debug);
    }

   private:
    SlowReads& owner_;
  };
};

class LongWork : public testing::Test {
 protected:
  static constexpr int kValues = 400;

  void SetUp() override {
    Open();
    Random chance(7);
    for (int i = 0; i < kValues; ++i) {
      std::string value;
      while (value.size() < 16 << 10) value += std::to_string(chance.Next());
      ASSERT_TRUE(node_->kv().Put("key" + std::to_string(i), value).ok());
    }
    ASSERT_TRUE(node_->Close().ok());
    Open();  // everything is in tables now, and nothing in memory
    // 6 MiB at 10 ms each 4 KiB: some 16 s.
    slow_->delay_ms = 10;
  }
  void TearDown() override { slow_->delay_ms = 0; }

  void Open() {
    NodeOptions options;
    options.name = "n1";
    options.data_dir = "/data";
    options.listen = address_;
    options.log_level = LogLevel::kOff;
    options.scrub_bytes_per_second = 0;
    OpenInternals internals;
    internals.env = env_.get();
    internals.machine_boot = "boot";
    auto node = OpenWith(std::move(options), internals);
    ASSERT_TRUE(node.ok()) << node.status().ToString();
    node_ = *std::move(node);
    ASSERT_TRUE(node_->WaitForLeader(30s).ok());
  }
  /// Closes the node while `work` is under way on another thread or two.
  void ExpectClosesAtOnce(const std::function<void()>& work, int threads) {
    std::vector<std::thread> busy;
    for (int i = 0; i < threads; ++i) busy.emplace_back(work);
    EXPECT_TRUE(WaitFor(30s, [&] { return slow_->slow_reads > 0; }));
    const auto begun = Clock::now();
    EXPECT_TRUE(node_->Close().ok());
    EXPECT_LT(Clock::now() - begun, 8s);
    slow_->delay_ms = 0;
    for (std::thread& thread : busy) thread.join();
  }

  const std::shared_ptr<SlowReads> slow_ = std::make_shared<SlowReads>();
  const std::unique_ptr<rocksdb::Env> env_ = rocksdb::NewCompositeEnv(slow_);
  const std::string address_ = FreeAddress();
  std::unique_ptr<Node> node_;
};

TEST_F(LongWork, SixteenHashesOfTheContentAreCutShort) {
  ExpectClosesAtOnce(
      [this] {
        ClientOptions options;
        options.endpoints = {address_};
        auto client = Client::Connect(options);
        if (!client.ok()) return;
        static_cast<void>((*client)->Status(address_, 60s, /*with_hash=*/true));
      },
      16);
}

TEST_F(LongWork, ABackupIsCutShort) {
  TempFolder folder;
  ExpectClosesAtOnce([this, &folder] { EXPECT_FALSE(node_->Backup(folder / "backup", {}).ok()); },
                     1);
}

}  // namespace
}  // namespace raftkv::test
