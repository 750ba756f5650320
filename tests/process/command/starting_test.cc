// What does a member answer between the opening of its ports and that of its data?
#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include <gtest/gtest.h>

#include <raftkv/client.h>

#include "lib/open/open_node.h"
#include "tests/support/faults/crash_fs.h"
#include "tests/support/process/process.h"
#include "tests/support/process/process_socket.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;

/// A disk on which the first new file has to wait.
class SlowDisk final : public rocksdb::FileSystemWrapper {
 public:
  SlowDisk() : rocksdb::FileSystemWrapper(std::make_shared<CrashFs>()) {}
  const char* Name() const override { return "SlowDisk"; }
  rocksdb::IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* out,
                                    rocksdb::IODebugContext* debug) override {
    std::call_once(first_, [this] {
      entered_.set_value();
      go_on_.get_future().wait();
    });
    return FileSystemWrapper::NewWritableFile(path, options, out, debug);
  }

  bool WaitUntilItIsUsed() {
    return entered_.get_future().wait_for(20s) == std::future_status::ready;
  }
  void GoOn() { go_on_.set_value(); }

 private:
  std::once_flag first_;
  std::promise<void> entered_;
  std::promise<void> go_on_;
};

class StartingTest : public testing::Test {
 protected:
  void SetUp() override {
    opening_ = std::async(std::launch::async, [this] {
      NodeOptions options;
      options.name = "n1";
      options.data_dir = "/data";
      options.listen = address_;
      options.http = http_;
      options.log_level = LogLevel::kOff;
      return OpenWith(std::move(options), {env_.get(), "boot", true});
    });
    ASSERT_TRUE(disk_->WaitUntilItIsUsed());
    ClientOptions options;
    options.endpoints = {address_};
    auto client = Client::Connect(options);
    ASSERT_TRUE(client.ok()) << client.status().ToString();
    client_ = *std::move(client);
  }
  void TearDown() override {
    client_.reset();
    if (opening_.valid()) {
      disk_->GoOn();
      EXPECT_TRUE(opening_.get().ok());
    }
  }

  std::shared_ptr<SlowDisk> disk_ = std::make_shared<SlowDisk>();
  std::unique_ptr<rocksdb::Env> env_ = rocksdb::NewCompositeEnv(disk_);
  const std::string address_ = FreeAddress();
  const std::string http_ = FreeAddress();
  std::future<Result<std::unique_ptr<Node>>> opening_;
  std::unique_ptr<Client> client_;
};

TEST_F(StartingTest, ItSaysThatItStarts) {
  for (const bool with_hash : {false, true}) {
    const auto status = client_->Status(address_, 20s, with_hash);
    ASSERT_TRUE(status.ok()) << status.status().ToString();
    EXPECT_EQ(status->node.name, "n1");
    EXPECT_EQ(status->node.cluster_id, 0U);
    ASSERT_EQ(status->node.errors.size(), 1U);
    EXPECT_EQ(status->node.errors[0], "the member is starting; try again");
  }
  EXPECT_EQ(HttpGet(http_, "/livez").status, 200);
  const HttpAnswer ready = HttpGet(http_, "/readyz");
  EXPECT_EQ(ready.status, 503);
  EXPECT_EQ(ready.body, "the member is starting; try again\n");
  EXPECT_EQ(HttpGet(http_, "/metrics").status, 200);
  const auto get = client_->kv().Get("k", {.timeout = 300ms, .consistency = Consistency::kLocal});
  EXPECT_EQ(get.code(), Code::kDeadlineExceeded) << get.status().ToString();
}

TEST_F(StartingTest, WhatIsAskedMeanwhileIsAnsweredOnceItRuns) {
  // Status calls come all the time while the member comes into being.
  std::atomic<bool> stop{false};
  std::atomic<int> starting{0};
  std::atomic<int> failed{0};
  std::thread asks([&] {
    while (!stop) {
      const auto status = client_->Status(address_, 20s, true);
      if (!status.ok()) ++failed;
      if (status.ok() && status->node.cluster_id == 0) ++starting;
    }
  });
  auto put =
      std::async(std::launch::async, [&] { return client_->kv().Put("k", "v", {.timeout = 20s}); });
  EXPECT_TRUE(WaitFor(20s, [&] { return starting >= 3; }));
  disk_->GoOn();
  const auto node = opening_.get();
  ASSERT_TRUE(node.ok()) << node.status().ToString();
  EXPECT_TRUE(put.get().ok());
  stop = true;
  asks.join();
  EXPECT_EQ(failed, 0);
  const auto status = client_->Status(address_, 20s, true);
  ASSERT_TRUE(status.ok()) << status.status().ToString();
  EXPECT_NE(status->node.cluster_id, 0U);
  EXPECT_TRUE(status->node.errors.empty());
}

}  // namespace
}  // namespace raftkv::test
