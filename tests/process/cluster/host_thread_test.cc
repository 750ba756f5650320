// What if the system has no thread, or no memory, to give?
#include <dlfcn.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include <raftkv/backup.h>
#include <raftkv/in_process_network.h>

#include "tests/process/cluster/host_code.h"

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

namespace raftkv::test {
namespace {

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
  const auto open_and_use = [&]() -> Status {
    auto node = Node::Open(Options());
    if (!node.ok()) return node.status();
    // It has all that it needs by now, also to write tables and to be closed.
    EXPECT_TRUE((*node)->WaitForLeader(kPatience).ok());
    EXPECT_TRUE((*node)->kv().Put("k", "v", {kPatience}).ok());
    const auto backup = (*node)->Backup(folder_ / "backup", {});
    EXPECT_TRUE(backup.ok() || backup.code() == Code::kUnavailable) << backup.status().ToString();
    return (*node)->Close();
  };
  const int needed = FailEachThread(open_and_use);
  EXPECT_GT(needed, 3);
  EXPECT_LT(needed, 100);
  OpenNode();
  EXPECT_EQ(node_->kv().Get("k")->value, "v");
}

TEST_F(HostCode, WithoutAThreadNothingIsRestored) {
  OpenNode();
  ASSERT_TRUE(node_->kv().Put("k", "v", {kPatience}).ok());
  ASSERT_TRUE(node_->Backup(folder_ / "backup", {}).ok());
  ASSERT_TRUE(node_->Close().ok());
  RestoreOptions restore;
  restore.file = folder_ / "backup";
  restore.data_dir = folder_ / "restored";
  restore.name = "n1";
  restore.cluster = {{"n1", "127.0.0.1:1"}};
  EXPECT_LT(FailEachThread([&] { return Restore(restore).status(); }), 100);
  NodeOptions options = Options();
  options.data_dir = restore.data_dir;
  auto node = Node::Open(options);
  ASSERT_TRUE(node.ok()) << node.status().ToString();
  EXPECT_EQ((*node)->kv().Get("k", {kPatience})->value, "v");
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

TEST_F(HostCode, WithoutAThreadANameIsNotLookedUpButTheClientLives) {
  NodeOptions options = Options();
  options.listen = "localhost:0";
  auto node = Node::Open(options);
  ASSERT_TRUE(node.ok()) << node.status().ToString();
  const std::string address = (*node)->listen_address();
  ClientOptions client_options;
  client_options.endpoints = {address};
  auto client = Client::Connect(client_options);
  ASSERT_TRUE(client.ok());
  // No look-up is under way that another one could share.
  ASSERT_TRUE((*client)->Status(address, kPatience, false).ok());
  threads_left = 0;
  const auto without = (*client)->Status(address, kPatience, false);
  options.name = "n2";
  options.data_dir = folder_ / "n2";
  const Code listening = Node::Open(options).code();
  threads_left = kAnyNumber;
  EXPECT_EQ(without.code(), Code::kUnavailable) << without.status().ToString();
  EXPECT_EQ(listening, Code::kUnavailable);
  EXPECT_TRUE((*client)->Status(address, kPatience, false).ok());
}

TEST_F(HostCode, WithoutAThreadANetworkWaitsForOne) {
  threads_left = 0;
  InProcessNetwork network;
  const auto from = network.NewTransport("a");
  const auto to = network.NewTransport("b");
  std::atomic<int> came{0};
  to->Start([&](const std::string&, const std::string&) { ++came; });
  from->Send("b", "first");
  threads_left = kAnyNumber;
  from->Send("b", "second");
  EXPECT_TRUE(WaitFor(kPatience, [&] { return came == 2; })) << came;
  to->Stop();
}

/// Runs `open` while this process may have no more than so much address space beyond what it has.
template <class Open>
void WithinMemory(const Open& open) {
  for (const rlim_t more : {0UL, 1UL << 20, 4UL << 20, 9UL << 20, 20UL << 20, 40UL << 20}) {
    std::ifstream statm("/proc/self/statm");
    rlim_t pages = 0;
    statm >> pages;
    rlimit limit{};
    getrlimit(RLIMIT_AS, &limit);
    limit.rlim_cur = pages * static_cast<rlim_t>(sysconf(_SC_PAGESIZE)) + more;
    setrlimit(RLIMIT_AS, &limit);
    const Status opened = open();
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_AS, &limit);
    const bool expected = opened.ok() || opened.code() == Code::kUnavailable;
    if (!expected) fprintf(stderr, "%s\n", opened.ToString().c_str());
    if (!expected) exit(1);
  }
  exit(0);
}

// Not of a Node: its threads, and those of RocksDB, allocate while it opens, and what fails there
// ends the process.
TEST_F(HostCode, WithoutMemoryAClientAndALogAreUnavailable) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  LogOptions log;
  log.dir = folder_ / "log";
  ClientOptions client;
  client.endpoints = {"127.0.0.1:1"};
  EXPECT_EXIT(WithinMemory([&] { return Client::Connect(client).status(); }),
              testing::ExitedWithCode(0), "");
  EXPECT_EXIT(WithinMemory([&] { return Log::Open(log).status(); }), testing::ExitedWithCode(0),
              "");
}

}  // namespace
}  // namespace raftkv::test

#endif  // RAFTKV_TEST_SANITIZED
