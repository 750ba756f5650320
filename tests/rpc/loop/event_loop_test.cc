#include "rpc/loop/event_loop.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <new>

#include <kj/debug.h>

#include "tests/rpc/server/rpc_fixture.h"

namespace raftkv::rpc {
namespace {

// Only the first 31 bits of flags: the kernel keeps SA_RESTORER to itself.
std::vector<std::pair<void*, int>> Dispositions() {
  std::vector<std::pair<void*, int>> all;
  for (int signal = 1; signal <= SIGRTMAX; ++signal) {
    struct sigaction action {};
    if (sigaction(signal, nullptr, &action) != 0) {
      all.emplace_back(nullptr, -1);
    } else {
      all.emplace_back(reinterpret_cast<void*>(action.sa_handler), action.sa_flags);
    }
  }
  return all;
}

std::vector<int> BlockedSignals() {
  sigset_t mask;
  pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  std::vector<int> blocked;
  for (int signal = 1; signal <= SIGRTMAX; ++signal) {
    if (sigismember(&mask, signal) == 1) blocked.push_back(signal);
  }
  return blocked;
}

TEST(EventLoop, RunsWhatIsPostedFromManyThreads) {
  auto loop = StartLoop();
  constexpr int kThreads = 8;
  constexpr int kEach = 5000;
  std::atomic<int> ran{0};
  bool on_loop = true;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kEach; ++i) {
        loop->Post([&] {
          on_loop = on_loop && loop->OnLoop();
          ran.fetch_add(1);
        });
      }
    });
  }
  for (auto& thread : threads) thread.join();
  ASSERT_TRUE(WaitFor([&] { return ran.load() == kThreads * kEach; })) << ran.load();
  loop->Call([&] { EXPECT_TRUE(on_loop); });
}

TEST(EventLoop, WhatThrowsEndsAloneAndTheRestRuns) {
  LogLines log;
  EventLoopOptions options;
  options.log_sink = log.Sink();
  auto started = EventLoop::Start(options);
  ASSERT_TRUE(started.ok());
  auto& loop = *started;
  std::atomic<int> ran{0};
  loop->Call([&] {
    // One batch of posted work, and one of timers.
    loop->Post([] { throw std::bad_alloc(); });
    loop->Post([&] { ++ran; });
    loop->At(loop->Now(), [] { kj::throwFatalException(KJ_EXCEPTION(OVERLOADED, "full")); });
    loop->At(loop->Now(), [&] { ++ran; });
  });
  EXPECT_TRUE(WaitFor([&] { return ran == 2; })) << ran;
  loop->Post([&] { ++ran; });
  EXPECT_TRUE(WaitFor([&] { return ran == 3; }));
  EXPECT_EQ(log.Count("a task failed"), 2u);
}

TEST(EventLoop, KeepsTheOrderOfOneThread) {
  auto loop = StartLoop();
  std::vector<int> order;
  for (int i = 0; i < 1000; ++i) loop->Post([&order, i] { order.push_back(i); });
  loop->Call([&] {
    ASSERT_EQ(order.size(), 1000u);
    EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
  });
}

TEST(EventLoop, TimersFireInOrderAndNotEarly) {
  auto loop = StartLoop();
  std::vector<int> order;
  std::atomic<int> fired{0};
  bool early = false;
  loop->Call([&] {
    const MonoTime start = loop->Now();
    for (const int delay_ms : {30, 10, 20, 0}) {
      const MonoTime when = start + std::chrono::milliseconds(delay_ms);
      loop->At(when, [&, when, delay_ms] {
        early = early || loop->Now() < when;
        order.push_back(delay_ms);
        fired.fetch_add(1);
      });
    }
    loop->At(kNever, [&] { fired.fetch_add(100); });
  });
  ASSERT_TRUE(WaitFor([&] { return fired.load() == 4; }));
  loop->Call([&] {
    EXPECT_EQ(order, (std::vector<int>{0, 10, 20, 30}));
    EXPECT_FALSE(early);
  });
}

TEST(EventLoop, RunLastComesAfterWhatIsReady) {
  auto loop = StartLoop();
  std::vector<std::string> order;
  std::atomic<bool> done{false};
  loop->Call([&] {
    loop->RunLast([&] {
      order.push_back("last");
      done = true;
    });
    loop->RunLater([&] {
      order.push_back("later");
      loop->RunLater([&] { order.push_back("later still"); });
    });
  });
  ASSERT_TRUE(WaitFor([&] { return done.load(); }));
  loop->Call([&] { EXPECT_EQ(order, (std::vector<std::string>{"later", "later still", "last"})); });
}

TEST(EventLoop, DropsWorkAfterItsEnd) {
  auto loop = StartLoop();
  auto token = std::make_shared<int>(1);
  loop->Call([&] { loop->At(loop->Now() + std::chrono::hours(1), [token] {}); });
  loop->Stop();
  loop->Post([token] { FAIL() << "ran after the end"; });
  EXPECT_FALSE(loop->Call([] { FAIL() << "ran after the end"; }));
  EXPECT_EQ(token.use_count(), 1) << "work that is dropped is destroyed";
  loop->Stop();
}

// A thing on the loop may be let go only when the loop ends, and then let go of others in turn.
struct SpawnsWhenItGoes {
  EventLoop& loop;
  std::atomic<int>& gone;
  ~SpawnsWhenItGoes() {
    loop.RunLater([] { FAIL() << "ran after the end"; });
    loop.RunLast([] { FAIL() << "ran after the end"; });
    loop.Spawn(kj::evalLater([] { FAIL() << "ran after the end"; }));
    loop.Post([] { FAIL() << "ran after the end"; });
    gone.fetch_add(1);
  }
};

TEST(EventLoop, NothingBeginsWhileItEnds) {
  auto loop = StartLoop();
  std::atomic<int> gone{0};
  loop->Call([&] {
    const auto held = [&] {
      return std::shared_ptr<SpawnsWhenItGoes>(new SpawnsWhenItGoes{*loop, gone});
    };
    loop->At(loop->Now() + std::chrono::hours(1), [it = held()] {});
    loop->Spawn(kj::Promise<void>(kj::NEVER_DONE).attach(kj::heap(held())));
  });
  loop->Stop();
  EXPECT_EQ(gone.load(), 2);
}

TEST(EventLoop, TheHostNoticesNoSignalHandling) {
  const auto handler = [](int) {};
  struct sigaction mine {};
  mine.sa_handler = handler;
  struct sigaction before_usr1 {};
  sigaction(SIGUSR1, &mine, &before_usr1);
  const auto dispositions = Dispositions();
  const auto blocked = BlockedSignals();
  {
    auto first = StartLoop();
    auto second = StartLoop();
    EXPECT_EQ(Dispositions(), dispositions);
    EXPECT_EQ(BlockedSignals(), blocked);
    std::vector<int> on_loop;
    first->Call([&] { on_loop = BlockedSignals(); });
    EXPECT_NE(std::find(on_loop.begin(), on_loop.end(), SIGPIPE), on_loop.end());
    EXPECT_NE(std::find(on_loop.begin(), on_loop.end(), SIGTERM), on_loop.end());
  }
  EXPECT_EQ(Dispositions(), dispositions);
  EXPECT_EQ(BlockedSignals(), blocked);
  sigaction(SIGUSR1, &before_usr1, nullptr);
}

TEST(EventLoop, AClosedSocketRaisesNoSigpipe) {
  struct sigaction default_action {};
  default_action.sa_handler = SIG_DFL;
  struct sigaction before {};
  sigaction(SIGPIPE, &default_action, &before);
  auto loop = StartLoop();
  bool failed = false;
  loop->Call([&] {
    int fds[2];
    ASSERT_EQ(pipe(fds), 0);
    close(fds[0]);
    failed = write(fds[1], "x", 1) < 0 && errno == EPIPE;
    close(fds[1]);
  });
  EXPECT_TRUE(failed) << "and the process still lives";
  loop->Stop();
  sigaction(SIGPIPE, &before, nullptr);
}

TEST(EventLoop, RefusesWhatIsNoSignal) {
  EventLoopOptions options;
  options.reserved_signal = 1000;
  EXPECT_EQ(EventLoop::Start(options).code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace raftkv::rpc
