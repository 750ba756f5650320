// What does a host's own code get away with: in a callback, after Close(), where the system has no
// thread to give, and at the end of the process? (The rule is in <raftkv/kv.h>.)
#include <dlfcn.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <future>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <raftkv/backup.h>
#include <raftkv/client.h>
#include <raftkv/log.h>
#include <raftkv/node.h>

#include "tests/support/process/process.h"

// Those two know threads by a pthread_create of their own, which nothing may stand before.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define RAFTKV_TEST_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define RAFTKV_TEST_SANITIZED
#endif
#endif

#ifndef RAFTKV_TEST_SANITIZED

namespace raftkv::test {
namespace {

constexpr int kAnyNumber = -1;
/// So many threads may still be made. Any number but while a FailEachThread is under way.
std::atomic<int> threads_left{kAnyNumber};

bool TakeThread() {
  int left = threads_left;
  while (left > 0 && !threads_left.compare_exchange_weak(left, left - 1)) {
  }
  return left != 0;
}

}  // namespace
}  // namespace raftkv::test

/// Stands before the C library's, for this program and every library that it uses.
extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                              void* (*start)(void*), void* argument) noexcept {
  using Create = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  static const auto real = reinterpret_cast<Create>(dlsym(RTLD_NEXT, "pthread_create"));
  if (!raftkv::test::TakeThread()) return EAGAIN;
  return real(thread, attributes, start, argument);
}

#endif  // RAFTKV_TEST_SANITIZED

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

constexpr milliseconds kPatience(60'000);

/// A member of its own, which others can reach, and a log.
class HostCode : public testing::Test {
 protected:
  NodeOptions Options(const std::string& name = "n1") {
    NodeOptions options;
    options.name = name;
    options.data_dir = folder_ / name;
    options.listen = "127.0.0.1:0";
    options.disk_reserve_bytes = 0;
    options.log_sink = [this](LogLevel, std::string_view line) {
      const std::lock_guard lock(mutex_);
      said_ += std::string(line) + '\n';
    };
    return options;
  }
  void OpenNode() {
    auto node = Node::Open(Options());
    ASSERT_TRUE(node.ok()) << node.status().ToString();
    node_ = *std::move(node);
    ASSERT_TRUE(node_->WaitForLeader(kPatience).ok());
  }
  void OpenClient() {
    ClientOptions options;
    options.endpoints = {node_->listen_address()};
    auto client = Client::Connect(options);
    ASSERT_TRUE(client.ok()) << client.status().ToString();
    client_ = *std::move(client);
  }
  void OpenLog() {
    LogOptions options;
    options.dir = folder_ / "log";
    options.on_warning = [this](std::string_view line) {
      const std::lock_guard lock(mutex_);
      said_ += std::string(line) + '\n';
    };
    auto log = Log::Open(options);
    ASSERT_TRUE(log.ok()) << log.status().ToString();
    log_ = *std::move(log);
  }
  std::string Said() {
    const std::lock_guard lock(mutex_);
    return said_;
  }
  /// Until the folder of what was destroyed in a callback is free again.
  template <class Open>
  static bool Opens(const Open& open) {
    return WaitFor(kPatience, [&] { return open().ok(); });
  }

  TempFolder folder_;
  std::mutex mutex_;
  std::string said_;  // guarded by mutex_
  std::unique_ptr<Node> node_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<Log> log_;
};

/// Every second callback throws; all the others still get their answers.
void ThrowAndCount(KV& kv) {
  std::atomic<int> answered{0};
  std::atomic<int> called{0};
  constexpr int kCalls = 40;
  for (int i = 0; i < kCalls; ++i) {
    kv.PutAsync("k" + std::to_string(i), "v", {kPatience}, [&, i](const Result<WriteResult>& put) {
      ++called;
      if (i % 4 == 0) throw std::runtime_error("by the host");
      if (i % 4 == 2) throw 7;
      if (put.ok()) ++answered;
    });
  }
  ASSERT_TRUE(WaitFor(kPatience, [&] { return called == kCalls; }));
  EXPECT_TRUE(WaitFor(kPatience, [&] { return answered == kCalls / 2; })) << answered;
  // Refused at once, on this thread; and a read.
  kv.PutAsync("", "v", {}, [](const Result<WriteResult>&) { throw std::runtime_error("early"); });
  kv.GetAsync("k1", {kPatience}, [](const Result<KeyValue>&) { throw std::runtime_error("read"); });
  kv.GetAsync("k1", {kPatience}, nullptr);
  EXPECT_EQ(kv.Get("k1", {kPatience})->value, "v");
}

TEST_F(HostCode, ACallbackOfANodeMayThrow) {
  OpenNode();
  ThrowAndCount(node_->kv());
  EXPECT_NE(Said().find("by the host"), std::string::npos) << Said();
}

TEST_F(HostCode, ACallbackOfAClientMayThrow) {
  OpenNode();
  OpenClient();
  ThrowAndCount(client_->kv());
  std::promise<void> called;
  client_->cluster().MembersAsync(kPatience, [&](const Result<std::vector<ClusterMember>>&) {
    called.set_value();
    throw std::runtime_error("members");
  });
  called.get_future().wait();
  EXPECT_TRUE(client_->cluster().Members(kPatience).ok());
}

TEST_F(HostCode, ACallbackOfALogMayThrow) {
  OpenLog();
  std::atomic<int> called{0};
  for (int i = 0; i < 20; ++i) {
    log_->AppendAsync("entry", {kPatience}, [&](const Result<std::uint64_t>&) {
      ++called;
      throw std::runtime_error("by the host");
    });
  }
  EXPECT_TRUE(WaitFor(kPatience, [&] { return called == 20; })) << called;
  EXPECT_TRUE(log_->Append("one more", {kPatience}).ok());
  EXPECT_EQ(log_->Seq(), 21U);
  ASSERT_TRUE(log_->Close().ok());
  EXPECT_NE(Said().find("by the host"), std::string::npos);
}

TEST_F(HostCode, ALogSinkMayThrow) {
  NodeOptions options = Options();
  options.log_sink = [](LogLevel, std::string_view) { throw std::runtime_error("the sink"); };
  auto node = Node::Open(options);
  ASSERT_TRUE(node.ok()) << node.status().ToString();
  ASSERT_TRUE((*node)->WaitForLeader(kPatience).ok());
  EXPECT_TRUE((*node)->kv().Put("k", "v").ok());
}

TEST_F(HostCode, AProgressCallbackThatThrowsCancelsTheBackup) {
  OpenNode();
  ASSERT_TRUE(node_->kv().Put("k", "v").ok());
  BackupOptions options;
  options.progress = [](const BackupProgress&) -> bool { throw std::runtime_error("progress"); };
  EXPECT_EQ(node_->Backup(folder_ / "backup", options).code(), Code::kCancelled);
  EXPECT_FALSE(std::ifstream(folder_ / "backup").good());
}

TEST_F(HostCode, NothingBlocksInsideACallback) {
  OpenNode();
  OpenClient();
  OpenLog();
  const std::unique_ptr<LogIterator> end = log_->Iterate(1);
  const auto ask = [&] {
    std::vector<Code> codes;
    for (KV* kv : {&node_->kv(), &client_->kv()}) {
      codes.push_back(kv->Put("k", "v").code());
      codes.push_back(kv->Get("k").code());
      codes.push_back(kv->Scan(KeyRange::Prefix("")).code());
    }
    codes.push_back(client_->cluster().Members().code());
    codes.push_back(client_->cluster().MoveLeader("n1").code());
    codes.push_back(client_->Status(node_->listen_address(), kPatience, false).code());
    codes.push_back(client_->Backup(folder_ / "b1", {}).code());
    codes.push_back(node_->Backup(folder_ / "b2", {}).code());
    codes.push_back(node_->WaitForLeader(kPatience).code());
    codes.push_back(node_->WaitForFailure(kPatience).code());
    codes.push_back(node_->Close().code());
    codes.push_back(log_->Append("x").code());
    codes.push_back(log_->Sync().code());
    codes.push_back(log_->Begin().Append("x").Commit().code());
    codes.push_back(end->Next(kPatience).code());
    codes.push_back(log_->Close().code());
    return codes;
  };
  std::vector<std::promise<std::vector<Code>>> asked(4);
  node_->kv().PutAsync("k", "v", {kPatience}, [&](const auto&) { asked[0].set_value(ask()); });
  client_->kv().PutAsync("k", "v", {kPatience}, [&](const auto&) { asked[1].set_value(ask()); });
  log_->AppendAsync("x", {kPatience}, [&](const auto&) { asked[2].set_value(ask()); });
  node_->kv().PutAsync("", "", {}, [&](const auto&) { asked[3].set_value(ask()); });  // at once
  for (auto& answer : asked) {
    auto future = answer.get_future();
    ASSERT_EQ(future.wait_for(kPatience), std::future_status::ready);
    for (const Code code : future.get()) EXPECT_EQ(code, Code::kInvalidArgument);
  }
  EXPECT_TRUE(node_->kv().Put("k", "v").ok());
  EXPECT_TRUE(log_->Append("x").ok());
}

TEST_F(HostCode, WhatIsDestroyedInsideItsOwnCallbackGoesAway) {
  OpenNode();
  OpenClient();
  OpenLog();
  std::atomic<int> gone{0};
  log_->AppendAsync("x", {kPatience}, [&](const auto&) {
    log_.reset();
    ++gone;
  });
  client_->kv().GetAsync("k", {kPatience}, [&](const auto&) {
    client_.reset();
    ++gone;
  });
  ASSERT_TRUE(WaitFor(kPatience, [&] { return gone == 2; }));
  node_->kv().PutAsync("k", "v", {kPatience}, [&](const auto&) {
    node_.reset();
    ++gone;
  });
  ASSERT_TRUE(WaitFor(kPatience, [&] { return gone == 3; }));
  EXPECT_TRUE(Opens([&] { return Node::Open(Options()); }));
  LogOptions log;
  log.dir = folder_ / "log";
  EXPECT_TRUE(Opens([&] { return Log::Open(log); }));
}

TEST_F(HostCode, ACallbackMayHoldTheLastReference) {
  OpenNode();
  OpenClient();
  std::promise<void> called;
  {
    std::shared_ptr<Client> client = std::move(client_);
    std::shared_ptr<Node> node = std::move(node_);
    KV& kv = client->kv();
    kv.PutAsync("k", "v", {kPatience},
                [&called, client = std::move(client), node = std::move(node)](const auto&) {
                  called.set_value();
                });
  }
  EXPECT_EQ(called.get_future().wait_for(kPatience), std::future_status::ready);
  EXPECT_TRUE(Opens([&] { return Node::Open(Options()); }));
}

TEST_F(HostCode, CallsAfterCloseAreCancelled) {
  OpenNode();
  OpenLog();
  KV& kv = node_->kv();
  auto waits = std::async(std::launch::async, [&] { return node_->WaitForFailure(kPatience); });
  std::vector<std::thread> closers;
  for (int i = 0; i < 3; ++i) {
    closers.emplace_back([&] {
      EXPECT_TRUE(node_->Close().ok());
      EXPECT_TRUE(log_->Close().ok());
    });
  }
  for (std::thread& closer : closers) closer.join();
  EXPECT_EQ(waits.get().code(), Code::kCancelled);
  EXPECT_EQ(kv.Put("k", "v").code(), Code::kCancelled);
  EXPECT_EQ(node_->kv().Get("k").code(), Code::kCancelled);
  EXPECT_EQ(node_->WaitForLeader(kPatience).code(), Code::kCancelled);
  EXPECT_EQ(node_->WaitForFailure(kPatience).code(), Code::kCancelled);
  EXPECT_EQ(node_->Backup(folder_ / "backup", {}).code(), Code::kCancelled);
  EXPECT_EQ(node_->status().name, "n1");
  EXPECT_EQ(log_->Append("x").code(), Code::kCancelled);
  EXPECT_EQ(log_->Read(1).code(), Code::kCancelled);
  EXPECT_EQ(log_->Iterate(1)->Next(kPatience).code(), Code::kCancelled);
  EXPECT_EQ(log_->Head(), 1U);
}

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

#ifndef RAFTKV_TEST_SANITIZED

/// Fails the n-th thread and all behind it, for each n, until `open` needs no more.
template <class Open>
int FailEachThread(const Open& open) {
  for (int n = 0; n < 100; ++n) {
    threads_left = n;
    const Status opened = open();
    threads_left = kAnyNumber;
    if (opened.ok()) return n;
    EXPECT_EQ(opened.code(), Code::kUnavailable) << n << ": " << opened.ToString();
  }
  return 100;
}

TEST_F(HostCode, WithoutAThreadANodeIsUnavailable) {
  const int needed = FailEachThread([&] { return Node::Open(Options()).status(); });
  EXPECT_GT(needed, 3);
  EXPECT_LT(needed, 100);
  OpenNode();
  EXPECT_TRUE(node_->kv().Put("k", "v").ok());
}

TEST_F(HostCode, WithoutAThreadALogIsUnavailable) {
  LogOptions options;
  options.dir = folder_ / "log";
  EXPECT_GT(FailEachThread([&] { return Log::Open(options).status(); }), 0);
  OpenLog();
  EXPECT_TRUE(log_->Append("x").ok());
}

TEST_F(HostCode, WithoutAThreadAClientIsUnavailable) {
  OpenNode();
  ClientOptions options;
  options.endpoints = {node_->listen_address()};
  EXPECT_EQ(FailEachThread([&] { return Client::Connect(options).status(); }), 1);
  OpenClient();
  EXPECT_TRUE(client_->kv().Put("k", "v").ok());
}

#endif  // RAFTKV_TEST_SANITIZED

struct Everything {
  std::unique_ptr<Node> node;
  std::unique_ptr<Client> client;
  std::unique_ptr<Log> log;
};

/// With static storage duration: they go while the process exits.
Everything& Static() {
  static Everything everything;
  return everything;
}

class HostProcess : public HostCode {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
  void OpenStatic() {
    OpenNode();
    OpenClient();
    OpenLog();
    Static() = {std::move(node_), std::move(client_), std::move(log_)};
    if (!Static().client->kv().Put("k", "v").ok()) abort();
    if (!Static().log->Append("x").ok()) abort();
  }
  void ExitInAForkedChild() {
    OpenStatic();
    const pid_t child = fork();
    if (child == 0) {
      if (Static().node->Close().code() != Code::kInvalidArgument) abort();
      exit(3);
    }
    int status = 0;
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status)) abort();
    if (WEXITSTATUS(status) != 3) abort();
    if (!Static().node->kv().Put("after", "v").ok()) abort();
    exit(0);
  }
  void ExitInACallback() {
    OpenStatic();
    Static().client->kv().GetAsync("k", {kPatience}, [](const auto&) { exit(4); });
    while (true) pause();
  }
};

TEST_F(HostProcess, StaticObjectsGoAtExit) {
  EXPECT_EXIT(
      {
        alarm(180);
        OpenStatic();
        exit(0);
      },
      testing::ExitedWithCode(0), "");
}

TEST_F(HostProcess, AForkedChildExits) {
  EXPECT_EXIT(
      {
        alarm(180);
        ExitInAForkedChild();
      },
      testing::ExitedWithCode(0), "");
}

TEST_F(HostProcess, ACallbackMayExit) {
  EXPECT_EXIT(
      {
        alarm(180);
        ExitInACallback();
      },
      testing::ExitedWithCode(4), "");
}

}  // namespace
}  // namespace raftkv::test
