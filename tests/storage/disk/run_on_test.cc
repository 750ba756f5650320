// Work that leaves the loop: does its answer come back there, once, and what if nobody takes it?
#include <condition_variable>
#include <deque>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include <gtest/gtest.h>

#include "storage/disk/completions.h"

namespace raftkv::test {
namespace {

using storage::RunOn;

/// Says on which thread it was let go of.
class Traced {
 public:
  explicit Traced(std::thread::id& ended_on) : ended_on_(&ended_on) {}
  ~Traced() { *ended_on_ = std::this_thread::get_id(); }
  Traced(const Traced&) = delete;
  Traced& operator=(const Traced&) = delete;

 private:
  std::thread::id* ended_on_;
};

class RunOnTest : public testing::Test {
 protected:
  /// Waits for the next completion and runs it.
  void RunNext() {
    OnceFunction<void()> next;
    {
      std::unique_lock lock(mutex_);
      ASSERT_TRUE(
          posted_.wait_for(lock, std::chrono::seconds(30), [this] { return !loop_.empty(); }));
      next = std::move(loop_.front());
      loop_.pop_front();
    }
    next();
  }
  std::size_t Waiting() {
    const std::lock_guard lock(mutex_);
    return loop_.size();
  }

  std::mutex mutex_;
  std::condition_variable posted_;
  std::deque<OnceFunction<void()>> loop_;
  storage::Completions completions_{[this](OnceFunction<void()> work) {
    const std::lock_guard lock(mutex_);
    loop_.push_back(std::move(work));
    posted_.notify_one();
  }};
};

TEST_F(RunOnTest, WorksElsewhereAndAnswersOnTheLoop) {
  storage::Worker worker("test", 1);
  std::thread::id worked_on;
  std::string answer;
  RunOn(
      worker, completions_,
      [&worked_on, text = std::make_unique<std::string>("done")] {
        worked_on = std::this_thread::get_id();
        return Result<std::string>(*text);
      },
      [&answer, held = std::make_unique<int>(1)](Result<std::string> result) { answer = *result; });
  EXPECT_EQ(answer, "");
  RunNext();
  EXPECT_EQ(answer, "done");
  EXPECT_NE(worked_on, std::this_thread::get_id());
  EXPECT_EQ(Waiting(), 0U);
}

TEST_F(RunOnTest, TheWorkIsLetGoOfBeforeItsAnswerComes) {
  storage::Worker worker("test", 1);
  std::thread::id work_ended_on;
  std::thread::id done_ended_on;
  std::thread::id seen;
  RunOn(
      worker, completions_,
      [held = std::make_unique<Traced>(work_ended_on)] { return Status::Ok(); },
      [&, held = std::make_unique<Traced>(done_ended_on)](const Status&) { seen = work_ended_on; });
  RunNext();
  EXPECT_NE(seen, std::thread::id());
  EXPECT_NE(seen, std::this_thread::get_id());
  EXPECT_EQ(done_ended_on, std::this_thread::get_id());
}

TEST_F(RunOnTest, AFullWorkerIsToldOfLaterAndOnce) {
  storage::Worker worker("test", 1);
  std::promise<void> begun;
  std::promise<void> go_on;
  ASSERT_TRUE(worker.Post([&] {
    begun.set_value();
    go_on.get_future().wait();
  }));
  begun.get_future().wait();
  ASSERT_TRUE(worker.Post([] {}));  // its queue is full now
  bool worked = false;
  Status refused;
  RunOn(
      worker, completions_,
      [&worked] {
        worked = true;
        return Result<int>(1);
      },
      [&refused](const Result<int>& result) { refused = result.status(); });
  EXPECT_TRUE(refused.ok()) << "never inside the call";
  RunNext();
  EXPECT_EQ(refused.code(), Code::kUnavailable);
  go_on.set_value();
  worker.Stop();
  EXPECT_FALSE(worked);
  EXPECT_EQ(Waiting(), 0U);
}

TEST_F(RunOnTest, AStoppedWorkerRefusesAsAFullOneDoes) {
  storage::Worker worker("test", 1);
  worker.Stop();
  Status refused;
  RunOn(
      worker, completions_, [] { return Status::Ok(); },
      [&refused](Status status) { refused = std::move(status); });
  RunNext();
  EXPECT_EQ(refused.code(), Code::kUnavailable);
}

TEST_F(RunOnTest, AfterStopTheAnswerIsDroppedWithWhatItHolds) {
  storage::Worker worker("test", 1);
  std::thread::id ended_on;
  bool called = false;
  RunOn(
      worker, completions_, [] { return Status::Ok(); },
      [&called, held = std::make_unique<Traced>(ended_on)](const Status&) { called = true; });
  completions_.Stop();
  RunNext();
  EXPECT_FALSE(called);
  EXPECT_EQ(ended_on, std::this_thread::get_id());
}

}  // namespace
}  // namespace raftkv::test
