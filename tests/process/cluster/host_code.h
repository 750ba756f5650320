// What may the code of a host do that has a member which others can reach, a client and a log? The
// rule is in <raftkv/kv.h>; the tests are the host_*_test.cc beside this header.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include <raftkv/client.h>
#include <raftkv/log.h>
#include <raftkv/node.h>

#include "tests/support/process/process.h"

// These two know threads and clocks by functions of their own, which nothing may stand before.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define RAFTKV_TEST_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define RAFTKV_TEST_SANITIZED
#endif
#endif

namespace raftkv::test {

inline constexpr std::chrono::milliseconds kPatience(60'000);

class HostCode : public testing::Test {
 protected:
  NodeOptions Options(const std::string& name = "n1") {
    NodeOptions options;
    options.name = name;
    options.data_dir = folder_ / name;
    options.listen = "127.0.0.1:0";
    options.disk_reserve_bytes = 0;
    options.log_sink = [said = said_](LogLevel, std::string_view line) { said->Add(line); };
    return options;
  }
  /// `each`: sees the lines of its log.
  void OpenNode(const std::function<void(std::string_view)>& each = nullptr) {
    NodeOptions options = Options();
    if (each) options.log_sink = [each](LogLevel, std::string_view line) { each(line); };
    auto node = Node::Open(std::move(options));
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
    options.on_warning = [said = said_](std::string_view line) { said->Add(line); };
    auto log = Log::Open(options);
    ASSERT_TRUE(log.ok()) << log.status().ToString();
    log_ = *std::move(log);
  }
  [[nodiscard]] std::string Said() const { return said_->All(); }
  /// Until the folder of what was destroyed in a callback is free again.
  template <class Open>
  static bool Opens(const Open& open) {
    return WaitFor(kPatience, [&] { return open().ok(); });
  }

  /// Shared: what a callback let go of may speak a little longer than the test.
  class Lines {
   public:
    void Add(std::string_view line) {
      const std::lock_guard lock(mutex_);
      text_ += std::string(line) + '\n';
    }
    [[nodiscard]] std::string All() const {
      const std::lock_guard lock(mutex_);
      return text_;
    }

   private:
    mutable std::mutex mutex_;
    std::string text_;  ///< guarded by mutex_
  };

  TempFolder folder_;
  const std::shared_ptr<Lines> said_ = std::make_shared<Lines>();
  std::unique_ptr<Node> node_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<Log> log_;
};

}  // namespace raftkv::test
