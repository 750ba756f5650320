// Does what the host's code does wrong end where it was called?
#include "lib/base/host_code.h"

#include <chrono>
#include <future>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lib/base/time.h"

namespace raftkv {
namespace {

TEST(HostCodeTest, WhatItThrowsIsSaidAndEndsThere) {
  std::vector<std::string> said;
  const ThrownSink sink = [&](const std::string& line) { said.push_back(line); };
  EXPECT_TRUE(RunHostCode("a sink", sink, [] {}));
  EXPECT_FALSE(RunHostCode("a sink", sink, [] { throw std::runtime_error("why"); }));
  EXPECT_FALSE(RunHostCode("a sink", sink, [] { throw 7; }));
  ASSERT_EQ(said.size(), 2U);
  EXPECT_NE(said[0].find("a sink"), std::string::npos);
  EXPECT_NE(said[0].find("why"), std::string::npos);
  // And so does what the sink throws, of which nobody is left to be told.
  EXPECT_FALSE(RunHostCode(
      "a sink", [](const std::string&) { throw 8; }, [] { throw 7; }));
}

TEST(HostCodeTest, ACallbackRunsOnceAndLetsGoOfWhatItHolds) {
  const auto held = std::make_shared<int>(0);
  std::function<void(int)> callback = [held](int by) { *held += by; };
  const auto contained = Contained(std::move(callback), nullptr);
  EXPECT_EQ(held.use_count(), 2);
  contained(3);
  EXPECT_EQ(held.use_count(), 1);
  contained(4);
  EXPECT_EQ(*held, 3);
  Contained(std::function<void(int)>(), nullptr)(5);  // a host that does not care
}

TEST(HostCodeTest, OnlyInsideACallbackNothingMayBlock) {
  EXPECT_TRUE(MayBlock("Put").ok());
  RunHostCode("a callback", nullptr, [] {
    EXPECT_TRUE(InCallback());
    EXPECT_EQ(MayBlock("Put").code(), Code::kInvalidArgument);
    RunHostCode("one inside it", nullptr, [] {});
    EXPECT_TRUE(InCallback());
  });
  EXPECT_FALSE(InCallback());
  RunHostCode("a callback", nullptr, [] { throw 7; });
  EXPECT_FALSE(InCallback());
  // It is a matter of the thread, not of the process.
  const HostScope scope;
  EXPECT_TRUE(std::async(std::launch::async, [] { return MayBlock("Put").ok(); }).get());
}

TEST(HostCodeTest, WhatCannotBeHadIsUnavailable) {
  const auto none = [&]() -> Status { throw std::bad_alloc(); };
  EXPECT_EQ(OpenOrUnavailable(none).code(), Code::kUnavailable);
  EXPECT_EQ(OpenApart(none).code(), Code::kUnavailable);
  EXPECT_TRUE(OpenApart([] { return Status::Ok(); }).ok());
  EXPECT_EQ(OpenApart([]() -> Result<int> { return 7; }).value(), 7);
}

TEST(HostCodeTest, AnObjectThatACallbackLetsGoOfIsDestroyedElsewhere) {
  struct Object {
    explicit Object(std::promise<std::thread::id>& gone) : gone(gone) {}
    ~Object() { gone.set_value(std::this_thread::get_id()); }
    std::promise<std::thread::id>& gone;
  };
  std::promise<std::thread::id> here;
  { const ThreadedOwner<Object> owner(std::make_unique<Object>(here)); }
  EXPECT_EQ(here.get_future().get(), std::this_thread::get_id());
  std::promise<std::thread::id> elsewhere;
  RunHostCode("a callback", nullptr,
              [&] { const ThreadedOwner<Object> owner(std::make_unique<Object>(elsewhere)); });
  EXPECT_NE(elsewhere.get_future().get(), std::this_thread::get_id());
}

TEST(HostCodeTest, EveryTimeoutCanBeAddedToAClock) {
  using std::chrono::microseconds;
  using std::chrono::milliseconds;
  EXPECT_EQ(BoundedTimeout(milliseconds(7)), milliseconds(7));
  EXPECT_EQ(BoundedTimeout(milliseconds(-1)), milliseconds(0));
  EXPECT_EQ(BoundedTimeout(milliseconds::min()), milliseconds(0));
  EXPECT_EQ(BoundedTimeout(milliseconds::max()), std::chrono::hours(24 * 365));
  EXPECT_EQ(BoundedTimeout(microseconds::max()), std::chrono::hours(24 * 365));
  EXPECT_GT(MonotonicClock::time_point(std::chrono::hours(24 * 365 * 100)) +
                BoundedTimeout(milliseconds::max()),
            MonotonicClock::time_point());
}

}  // namespace
}  // namespace raftkv
