// Does a call of raftkv::Log end at its timeout, and is what waits bounded, on a disk that hangs?
#include <algorithm>
#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>

#include <gtest/gtest.h>

#include "tests/storage/local_log/log_world.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;

/// A file system whose syncs wait while it is held.
class HeldFs final : public rocksdb::FileSystemWrapper {
 public:
  explicit HeldFs(const std::shared_ptr<rocksdb::FileSystem>& target)
      : rocksdb::FileSystemWrapper(target) {}
  const char* Name() const override { return "HeldFs"; }

  void Hold(bool held) {
    const std::lock_guard lock(mutex_);
    held_ = held;
    changed_.notify_all();
  }
  /// A sync has come and waits.
  bool WaitForASync() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 30s, [this] { return waiting_ > 0; });
  }

  rocksdb::IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* out,
                                    rocksdb::IODebugContext* debug) override {
    rocksdb::IOStatus made = target()->NewWritableFile(path, options, out, debug);
    if (made.ok()) *out = std::make_unique<HeldFile>(std::move(*out), *this);
    return made;
  }

 private:
  class HeldFile final : public rocksdb::FSWritableFileOwnerWrapper {
   public:
    HeldFile(std::unique_ptr<rocksdb::FSWritableFile> file, HeldFs& fs)
        : rocksdb::FSWritableFileOwnerWrapper(std::move(file)), fs_(fs) {}
    rocksdb::IOStatus Sync(const rocksdb::IOOptions& options,
                           rocksdb::IODebugContext* debug) override {
      fs_.Pass();
      return rocksdb::FSWritableFileOwnerWrapper::Sync(options, debug);
    }
    rocksdb::IOStatus Fsync(const rocksdb::IOOptions& options,
                            rocksdb::IODebugContext* debug) override {
      fs_.Pass();
      return rocksdb::FSWritableFileOwnerWrapper::Fsync(options, debug);
    }

   private:
    HeldFs& fs_;
  };

  void Pass() {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return !held_; });
    --waiting_;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool held_ = false;
  int waiting_ = 0;
};

class LogDeadline : public testing::Test {
 protected:
  LogDeadline() : held_(std::make_shared<HeldFs>(world_.fs)), env_(NewCompositeEnv(held_)) {
    world_.ground.env = env_.get();
  }
  ~LogDeadline() override {
    held_->Hold(false);
    world_.log.reset();
  }

  LogWorld world_;
  std::shared_ptr<HeldFs> held_;
  std::unique_ptr<rocksdb::Env> env_;
};

TEST_F(LogDeadline, WhoWaitsBehindADiskThatHangsReturnsAtItsTimeout) {
  ASSERT_TRUE(world_.Open().ok());
  held_->Hold(true);
  auto first = std::async(std::launch::async, [&] { return world_.log->Append("first", {60s}); });
  ASSERT_TRUE(held_->WaitForASync());
  EXPECT_EQ(world_.log->Append("second", {10ms}).code(), Code::kDeadlineExceeded);
  EXPECT_EQ(world_.log->TrimSuffix(1, {10ms}).code(), Code::kDeadlineExceeded);
  EXPECT_EQ(world_.log->Begin().Append("x").Commit({10ms}).code(), Code::kDeadlineExceeded);
  EXPECT_EQ(world_.log->Sync({10ms}).code(), Code::kDeadlineExceeded);
  EXPECT_EQ(world_.log->Iterate(1)->Next(10ms).code(), Code::kDeadlineExceeded);
  held_->Hold(false);
  const Result<std::uint64_t> index = first.get();
  ASSERT_TRUE(index.ok()) << index.status().ToString();
  EXPECT_EQ(*index, 1u);
  EXPECT_EQ(*world_.log->Append("third"), 2u) << "what was late was not carried out";
}

TEST_F(LogDeadline, OnItsOwnThreadNoCallIsHeldByADiskThatHangs) {
  world_.options.own_thread = true;
  ASSERT_TRUE(world_.Open().ok());
  EXPECT_EQ(*world_.log->Append("zero"), 1u);
  held_->Hold(true);
  EXPECT_EQ(world_.log->Append("first", {50ms}).code(), Code::kUnknownOutcome);
  EXPECT_EQ(world_.log->Append("second", {10ms}).code(), Code::kDeadlineExceeded);
  held_->Hold(false);
  EXPECT_EQ(*world_.log->Append("third"), 3u) << "the first was carried out after all";
}

TEST_F(LogDeadline, ATimeoutOfNothingIsOver) {
  ASSERT_TRUE(world_.Open().ok());
  EXPECT_EQ(world_.log->Append("never", {0ms}).code(), Code::kDeadlineExceeded);
  EXPECT_EQ(*world_.log->Append("ever", {std::chrono::milliseconds::max()}), 1u);
}

TEST_F(LogDeadline, WhatWaitsIsBounded) {
  world_.options.max_waiting_writes = 10;
  ASSERT_TRUE(world_.Open().ok());
  held_->Hold(true);
  std::mutex mutex;
  std::vector<Code> ended;
  const auto append = [&] {
    world_.log->AppendAsync("entry", {60s}, [&](const Result<std::uint64_t>& index) {
      const std::lock_guard lock(mutex);
      ended.push_back(index.code());
    });
  };
  append();
  ASSERT_TRUE(held_->WaitForASync());
  for (int i = 0; i < 12; ++i) append();
  {
    const std::lock_guard lock(mutex);
    EXPECT_EQ(ended, std::vector<Code>(3, Code::kUnavailable));
  }
  held_->Hold(false);
  while (true) {
    const Result<std::uint64_t> index = world_.log->Append("entry", {30s});
    if (index.ok()) break;
    ASSERT_EQ(index.code(), Code::kUnavailable);
  }
  ASSERT_TRUE(world_.log->Close().ok());
  EXPECT_EQ(std::count(ended.begin(), ended.end(), Code::kOk), 10);
  EXPECT_EQ(ended.size(), 13u);
}

TEST_F(LogDeadline, WhatComesWhileASyncIsUnderWaySharesTheNextOne) {
  ASSERT_TRUE(world_.Open().ok());
  const auto& log = static_cast<const storage::LocalLog&>(*world_.log);
  held_->Hold(true);
  auto first = std::async(std::launch::async, [&] { return world_.log->Append("first", {60s}); });
  ASSERT_TRUE(held_->WaitForASync());
  std::vector<std::promise<std::uint64_t>> numbers(100);
  for (auto& number : numbers) {
    world_.log->AppendAsync("entry", {60s}, [&](const auto& r) { number.set_value(*r); });
  }
  const std::uint64_t before = log.sync_count();
  held_->Hold(false);
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    EXPECT_EQ(numbers[i].get_future().get(), i + 2);
  }
  EXPECT_EQ(log.sync_count() - before, 2u) << "the first one's, and that of all others";
  EXPECT_TRUE(first.get().ok());
}

TEST_F(LogDeadline, AndSoAreItsBytes) {
  world_.options.max_waiting_bytes = 3000;
  ASSERT_TRUE(world_.Open().ok());
  EXPECT_TRUE(world_.log->Append(std::string(100'000, 'x')).ok()) << "alone";
  held_->Hold(true);
  auto first = std::async(std::launch::async,
                          [&] { return world_.log->Append(std::string(2000, 'x'), {60s}); });
  ASSERT_TRUE(held_->WaitForASync());
  EXPECT_EQ(world_.log->Append(std::string(2000, 'y'), {60s}).code(), Code::kUnavailable);
  held_->Hold(false);
  EXPECT_TRUE(first.get().ok());
}

TEST_F(LogDeadline, ACloseEndsWhatWaitsAndLetsTheOneThatIsUnderWayEnd) {
  ASSERT_TRUE(world_.Open().ok());
  held_->Hold(true);
  auto first = std::async(std::launch::async, [&] { return world_.log->Append("first", {60s}); });
  ASSERT_TRUE(held_->WaitForASync());
  std::promise<Code> second;
  world_.log->AppendAsync("second", {60s}, [&](const auto& r) { second.set_value(r.code()); });
  auto closed = std::async(std::launch::async, [&] { return world_.log->Close(); });
  EXPECT_EQ(world_.log->Iterate(1)->Next(30s).code(), Code::kCancelled);
  EXPECT_EQ(second.get_future().get(), Code::kCancelled) << "while the first still hangs";
  held_->Hold(false);
  EXPECT_TRUE(first.get().ok());
  EXPECT_TRUE(closed.get().ok());
}

}  // namespace
}  // namespace raftkv::test
