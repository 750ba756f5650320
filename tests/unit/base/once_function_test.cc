// What is called once: is it called once, with what it holds, and let go of in time?
#include "lib/base/once_function.h"

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include <gtest/gtest.h>

namespace raftkv {
namespace {

using Task = OnceFunction<void()>;

TEST(OnceFunction, HoldsWhatCannotBeCopied) {
  OnceFunction<std::string(std::unique_ptr<std::string>)> join =
      [held = std::make_unique<std::string>("held")](const std::unique_ptr<std::string>& given) {
        return *held + " " + *given;
      };
  EXPECT_EQ(join(std::make_unique<std::string>("given")), "held given");
}

TEST(OnceFunction, IsEmptyAfterTheCallAndAfterAMove) {
  int calls = 0;
  Task task = [&calls] { ++calls; };
  Task moved = std::move(task);
  EXPECT_FALSE(task);  // NOLINT(bugprone-use-after-move): that is what is asked
  ASSERT_TRUE(moved);
  moved();
  EXPECT_FALSE(moved);
  EXPECT_EQ(calls, 1);
}

TEST(OnceFunctionDeathTest, ASecondCallIsABrokenPromise) {
  OnceFunction<void(int)> done = [](int) {};
  done(1);
  EXPECT_DEATH(done(2), "callee_ != nullptr");
  EXPECT_DEATH(OnceFunction<void(int)>()(3), "callee_ != nullptr");
}

TEST(OnceFunction, LetsGoOfWhatItHoldsWithTheCall) {
  const auto held = std::make_shared<int>(7);
  Task task = [held] {};
  EXPECT_EQ(held.use_count(), 2);
  task();
  EXPECT_EQ(held.use_count(), 1);
}

TEST(OnceFunction, LetsGoOfWhatItHoldsIfItIsNeverCalled) {
  const auto held = std::make_shared<int>(7);
  {
    const Task task = [held] {};
  }
  EXPECT_EQ(held.use_count(), 1);
  Task dropped = [held] {};
  dropped = nullptr;
  EXPECT_EQ(held.use_count(), 1);
}

TEST(OnceFunction, MayBeDestroyedByWhatItCalls) {
  auto owner = std::make_unique<Task>();
  auto held = std::make_unique<std::string>("still there");
  std::string seen;
  *owner = [&owner, &seen, held = std::move(held)] {
    owner.reset();
    seen = *held;
  };
  (*owner)();
  EXPECT_EQ(seen, "still there");
}

TEST(OnceFunction, MayBeFilledAgainByWhatItCalls) {
  int calls = 0;
  Task task;
  task = [&] {
    ++calls;
    task = [&calls] { calls += 10; };
  };
  task();
  ASSERT_TRUE(task);
  task();
  EXPECT_EQ(calls, 11);
}

TEST(OnceFunction, IsEmptyWhereItIsMadeOfNothing) {
  EXPECT_FALSE(Task());
  EXPECT_FALSE(Task(nullptr));
  EXPECT_FALSE(Task(std::function<void()>()));
  EXPECT_FALSE((OnceFunction<void(int)>(OnceFunction<void(long)>())));
  EXPECT_TRUE(Task(std::function<void()>([] {})));
}

TEST(OnceFunction, ForwardsReferencesAndDropsAnAnswerThatNobodyWants) {
  int target = 0;
  OnceFunction<void(int&)> set = [](int& into) { return into = 5; };
  set(target);
  EXPECT_EQ(target, 5);
}

}  // namespace
}  // namespace raftkv
