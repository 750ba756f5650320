// Which timeouts may a host name, and what does a clock that is wrong do to its member?
#include <dlfcn.h>
#include <time.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <future>
#include <string>

#include <gtest/gtest.h>

#include <raftkv/backup.h>
#include <raftkv/in_process_network.h>

#include "tests/process/cluster/host_code.h"

#ifndef RAFTKV_TEST_SANITIZED

namespace raftkv::test {
namespace {

/// By so many seconds the wall clock of this process is wrong.
std::atomic<long> wrong_by{0};

}  // namespace
}  // namespace raftkv::test

/// Stands before the C library's, for this program and every library that it uses.
extern "C" int clock_gettime(clockid_t clock, timespec* now) noexcept {
  using GetTime = int (*)(clockid_t, timespec*);
  static const auto real = reinterpret_cast<GetTime>(dlsym(RTLD_NEXT, "clock_gettime"));
  const int result = real(clock, now);
  if (result == 0 && clock == CLOCK_REALTIME) now->tv_sec += raftkv::test::wrong_by;
  return result;
}

#endif  // RAFTKV_TEST_SANITIZED

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

TEST_F(HostCode, AnyTimeoutIsOne) {
  OpenNode();
  OpenClient();
  OpenLog();
  constexpr milliseconds kForever = milliseconds::max();
  for (KV* kv : {&node_->kv(), &client_->kv()}) {
    EXPECT_TRUE(kv->Put("k", "v", {kForever}).ok());
    EXPECT_TRUE(kv->Get("k", {kForever}).ok());
    ReadOptions stale{kForever, Consistency::kBounded, kForever};
    EXPECT_TRUE(kv->Get("k", stale).ok());
    EXPECT_EQ(kv->Put("k", "v", {milliseconds::min()}).code(), Code::kDeadlineExceeded);
    EXPECT_EQ(kv->Get("k", {-1ms}).code(), Code::kDeadlineExceeded);
  }
  EXPECT_TRUE(client_->cluster().Members(kForever).ok());
  EXPECT_FALSE(client_->cluster().Members(milliseconds::min()).ok());
  EXPECT_TRUE(client_->Status(node_->listen_address(), kForever, true).ok());
  EXPECT_EQ(client_->Status(node_->listen_address(), milliseconds::min(), true).code(),
            Code::kUnavailable);
  EXPECT_TRUE(client_->Backup(folder_ / "b1", {kForever, {}, {}}).ok());
  EXPECT_FALSE(client_->Backup(folder_ / "b2", {milliseconds::min(), {}, {}}).ok());
  EXPECT_TRUE(node_->WaitForLeader(kForever).ok());
  EXPECT_EQ(node_->WaitForFailure(milliseconds::min()).code(), Code::kDeadlineExceeded);
  EXPECT_TRUE(log_->Append("x", {kForever}).ok());
  EXPECT_EQ(log_->Append("x", {milliseconds::min()}).code(), Code::kDeadlineExceeded);
  EXPECT_EQ(log_->Iterate(2)->Next(milliseconds::min()).code(), Code::kDeadlineExceeded);
  auto next = std::async(std::launch::async, [&] { return log_->Iterate(2)->Next(kForever); });
  EXPECT_TRUE(log_->Append("y", {kForever}).ok());
  EXPECT_EQ(next.get()->data, "y");
  for (const milliseconds time : {kForever, milliseconds::min()}) {
    NodeOptions options = Options("n2");
    options.heartbeat = time;
    EXPECT_EQ(Node::Open(options).code(), Code::kInvalidArgument);
    options = Options("n2");
    options.election_timeout = time;
    EXPECT_EQ(Node::Open(options).code(), Code::kInvalidArgument);
  }
}

TEST_F(HostCode, ANetworkMayTakeForEver) {
  InProcessNetworkOptions options;
  options.min_delay = std::chrono::microseconds::max();
  options.max_delay = std::chrono::microseconds::max();
  InProcessNetwork network(options);
  const auto from = network.NewTransport("a");
  const auto to = network.NewTransport("b");
  std::atomic<int> came{0};
  to->Start([&](const std::string&, const std::string&) { ++came; });
  from->Send("b", "frame");
  EXPECT_FALSE(WaitFor(50ms, [&] { return came > 0; }));
}

#ifndef RAFTKV_TEST_SANITIZED

constexpr long kBefore1970 = -4'000'000'000;

class WrongClock {
 public:
  explicit WrongClock(long seconds) { wrong_by = seconds; }
  ~WrongClock() { wrong_by = 0; }
  WrongClock(const WrongClock&) = delete;
  WrongClock& operator=(const WrongClock&) = delete;
};

TEST_F(HostCode, AClockBefore1970IsRefused) {
  OpenNode();
  OpenClient();
  const WrongClock clock(kBefore1970);
  EXPECT_EQ(Node::Open(Options("n2")).code(), Code::kInvalidArgument);
  EXPECT_FALSE(std::filesystem::exists(Options("n2").data_dir));
  EXPECT_EQ(client_->Backup(folder_ / "backup", {}).code(), Code::kInvalidArgument);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "backup"));
}

TEST_F(HostCode, AClockThatJumpsHarmsNoMember) {
  OpenNode();
  OpenClient();
  OpenLog();
  int number = 0;
  // Into the far future, before 1970, to its first second, and back.
  for (const long seconds : {4'000'000'000L, kBefore1970, -1'790'000'000L, 0L}) {
    const WrongClock clock(seconds);
    const std::string value = std::to_string(++number);
    for (KV* kv : {&node_->kv(), &client_->kv()}) {
      EXPECT_TRUE(kv->Put("k", value, {kPatience}).ok()) << seconds;
      for (const auto consistency : {Consistency::kLinearizable, Consistency::kBounded}) {
        EXPECT_EQ(kv->Get("k", {kPatience, consistency})->value, value) << seconds;
      }
    }
    EXPECT_TRUE(log_->Append(value, {kPatience}).ok()) << seconds;
    EXPECT_TRUE(node_->Backup(folder_ / value, {}).ok()) << seconds;
  }
  ASSERT_TRUE(node_->Close().ok());
  node_.reset();
  OpenNode();
  EXPECT_EQ(node_->kv().Get("k", {kPatience})->value, std::to_string(number));
}

#endif  // RAFTKV_TEST_SANITIZED

}  // namespace
}  // namespace raftkv::test
