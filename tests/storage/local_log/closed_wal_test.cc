// What if the sync of a write-ahead log fails while a flush waits to sync the same one? RocksDB
// begins a file where its buffer is full, whether the one before was synced or not: the next synced
// write and the flush of the buffer both sync it, one after the other, and RocksDB asserts that
// nobody syncs a file that has failed.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

#include "tests/storage/local_log/log_world.h"

namespace raftkv::test {
namespace {

using rocksdb::IOStatus;
using namespace std::chrono_literals;

/// Fails the next sync of a write-ahead log, after something else has happened.
class FailingSyncFs final : public rocksdb::FileSystemWrapper {
 public:
  explicit FailingSyncFs(const std::shared_ptr<rocksdb::FileSystem>& target)
      : FileSystemWrapper(target) {}
  const char* Name() const override { return "FailingSyncFs"; }
  IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                           std::unique_ptr<rocksdb::FSWritableFile>* out,
                           rocksdb::IODebugContext* debug) override;

  void FailNext(std::function<void()> before) {
    const std::lock_guard lock(mutex_);
    before_ = std::move(before);
  }
  [[nodiscard]] std::vector<std::string> failed() const {
    const std::lock_guard lock(mutex_);
    return failed_;
  }

  IOStatus OnSync(const std::string& path) {
    std::function<void()> before;
    {
      const std::lock_guard lock(mutex_);
      if (!before_ || !path.ends_with(".log")) return IOStatus::OK();
      before = std::exchange(before_, nullptr);
      failed_.push_back(path);
    }
    before();
    return IOStatus::IOError("injected", path);
  }

 private:
  mutable std::mutex mutex_;
  std::function<void()> before_;
  std::vector<std::string> failed_;
};

class FailingSyncFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  using Base = rocksdb::FSWritableFileOwnerWrapper;
  FailingSyncFile(std::unique_ptr<rocksdb::FSWritableFile> target, FailingSyncFs& fs,
                  std::string path)
      : Base(std::move(target)), fs_(fs), path_(std::move(path)) {}
  IOStatus Sync(const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) override {
    IOStatus status = fs_.OnSync(path_);
    return status.ok() ? Base::Sync(options, debug) : status;
  }
  IOStatus Fsync(const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) override {
    IOStatus status = fs_.OnSync(path_);
    return status.ok() ? Base::Fsync(options, debug) : status;
  }

 private:
  FailingSyncFs& fs_;
  const std::string path_;
};

IOStatus FailingSyncFs::NewWritableFile(const std::string& path,
                                        const rocksdb::FileOptions& options,
                                        std::unique_ptr<rocksdb::FSWritableFile>* out,
                                        rocksdb::IODebugContext* debug) {
  std::unique_ptr<rocksdb::FSWritableFile> file;
  IOStatus status = FileSystemWrapper::NewWritableFile(path, options, &file, debug);
  if (status.ok()) *out = std::make_unique<FailingSyncFile>(std::move(file), *this, path);
  return status;
}

/// While it holds them, RocksDB's own threads do nothing.
class BackgroundThreads {
 public:
  BackgroundThreads() {
    Schedule([](void* held) { static_cast<BackgroundThreads*>(held)->Hold(); });
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return held_ == kPools.size(); });
  }
  ~BackgroundThreads() { Await(); }

  void Release() {
    const std::lock_guard lock(mutex_);
    released_ = true;
    changed_.notify_all();
  }
  /// Until what was scheduled before it has been done.
  void Await() {
    Release();
    {
      const std::lock_guard lock(mutex_);
      passed_ = 0;
    }
    Schedule([](void* held) { static_cast<BackgroundThreads*>(held)->Pass(); });
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return passed_ == kPools.size() && held_ == 0; });
  }

 private:
  static constexpr std::array kPools = {rocksdb::Env::LOW, rocksdb::Env::HIGH};

  void Schedule(void (*work)(void*)) {
    for (const auto pool : kPools) rocksdb::Env::Default()->Schedule(work, this, pool);
  }
  void Hold() {
    std::unique_lock lock(mutex_);
    ++held_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return released_; });
    --held_;
    changed_.notify_all();
  }
  void Pass() {
    const std::lock_guard lock(mutex_);
    ++passed_;
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t held_ = 0;
  std::size_t passed_ = 0;
  bool released_ = false;
};

std::vector<std::string> Wals(const CrashFs& fs) {
  std::vector<std::string> wals;
  for (const std::string& name : fs.List("/data/log/log")) {
    if (name.ends_with(".log")) wals.push_back("/data/log/log/" + name);
  }
  std::sort(wals.begin(), wals.end());
  return wals;
}

class ClosedWal : public testing::Test {
 protected:
  void SetUp() override {
    world_.env = std::make_unique<ImpatientEnv>(fs_);
    world_.ground.env = world_.env.get();
    world_.options.write_buffer_bytes = 64 << 10;
    ASSERT_TRUE(world_.Open().ok());
    ASSERT_TRUE(world_.log->Append("synced", {.sync = true}).ok());
    background_ = std::make_unique<BackgroundThreads>();
    const std::size_t before = Wals(*world_.fs).size();
    for (int i = 0; i < 100 && Wals(*world_.fs).size() == before; ++i) {
      ASSERT_TRUE(world_.log->Append(EntryText(i, 12'000), {.sync = false}).ok());
    }
    ASSERT_EQ(Wals(*world_.fs).size(), before + 1);
    closed_ = Wals(*world_.fs)[before - 1];
  }

  LogWorld world_;
  std::shared_ptr<FailingSyncFs> fs_ = std::make_shared<FailingSyncFs>(world_.fs);
  std::unique_ptr<BackgroundThreads> background_;
  /// The last file but one, which is not synced.
  std::string closed_;
};

TEST_F(ClosedWal, AFailedSyncBesideAFlushEndsTheLogAndNotTheProcess) {
  fs_->FailNext([&] {
    background_->Release();
    // check:allow sleep: until the flush waits for this sync, which nothing shows
    std::this_thread::sleep_for(300ms);
  });
  const auto lost = world_.log->Append("lost", {.sync = true});
  EXPECT_EQ(lost.code(), Code::kIOError) << lost.status().ToString();
  EXPECT_NE(lost.status().message().find("injected"), std::string::npos)
      << lost.status().ToString();
  EXPECT_EQ(fs_->failed(), std::vector<std::string>{closed_});
  for (const bool sync : {false, true}) {
    EXPECT_EQ(world_.log->Append("later", {.sync = sync}).code(), Code::kIOError);
  }
  background_->Await();
  world_.log.reset();
  LogWorld after(world_.CopyAsKilled());
  const Status opened = after.Open();
  ASSERT_TRUE(opened.ok()) << opened.ToString();
  EXPECT_EQ(*after.log->Read(1), "synced");
}

// The flush comes first, and the write waits for it.
TEST_F(ClosedWal, ASyncThatFailsInAFlushIsOneThatTheNextSyncedWriteHearsOf) {
  std::atomic<bool> syncs{false};
  fs_->FailNext([&] {
    syncs = true;
    // check:allow sleep: until the write waits for this sync, which nothing shows
    std::this_thread::sleep_for(300ms);
  });
  background_->Release();
  while (!syncs) std::this_thread::yield();
  const auto lost = world_.log->Append("lost", {.sync = true});
  EXPECT_EQ(lost.code(), Code::kIOError) << lost.status().ToString();
  EXPECT_EQ(fs_->failed(), std::vector<std::string>{closed_});
  EXPECT_EQ(world_.log->Append("later").code(), Code::kIOError);
  background_->Await();
  world_.log.reset();
  LogWorld after(world_.CopyAsKilled());
  ASSERT_TRUE(after.Open().ok());
  EXPECT_EQ(*after.log->Read(1), "synced");
}

// What was not to be synced may be lost, and is not told so; what is to be synced is.
TEST_F(ClosedWal, AfterASyncThatFailedInAFlushNothingIsAcknowledged) {
  fs_->FailNext([] {});
  background_->Await();
  EXPECT_EQ(fs_->failed(), std::vector<std::string>{closed_});
  EXPECT_EQ(world_.log->Append("lost", {.sync = true}).code(), Code::kIOError);
  EXPECT_EQ(world_.log->Append("later", {.sync = false}).code(), Code::kIOError);
}

}  // namespace
}  // namespace raftkv::test
