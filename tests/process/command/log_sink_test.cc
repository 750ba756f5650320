// Can a sink of log lines that is slow, hangs or throws do harm to a member?
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <future>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "lib/open/log_queue.h"
#include "lib/open/open_node.h"
#include "tests/support/process/process_cluster.h"
#include "tests/support/process/process_socket.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

/// Blocks whoever enters, until it is opened.
class Gate {
 public:
  void Pass() {
    entered_ = true;
    future_.wait();
  }
  void Open() { open_.set_value(); }
  [[nodiscard]] bool entered() const { return entered_; }

 private:
  std::promise<void> open_;
  std::shared_future<void> future_ = open_.get_future().share();
  std::atomic<bool> entered_{false};
};

TEST(LogQueue, KeepsTheOrderAndHandsOnAllAtTheEnd) {
  std::vector<std::string> lines;
  {
    auto queue =
        LogQueue::Start([&](LogLevel, std::string_view line) { lines.emplace_back(line); });
    ASSERT_TRUE(queue.ok());
    const LogQueue::Add add = (*queue)->adder();
    for (int i = 0; i < 1000; ++i) add(LogLevel::kInfo, std::to_string(i));
  }
  ASSERT_EQ(lines.size(), 1000u);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(lines[i], std::to_string(i));
}

TEST(LogQueue, DropsWhatASlowSinkDoesNotTakeAndSaysHowMuch) {
  auto gate = std::make_shared<Gate>();
  std::mutex mutex;
  std::vector<std::string> lines;
  auto queue = LogQueue::Start([&, gate](LogLevel, std::string_view line) {
    gate->Pass();
    const std::lock_guard lock(mutex);
    lines.emplace_back(line);
  });
  ASSERT_TRUE(queue.ok());
  const LogQueue::Add add = (*queue)->adder();
  add(LogLevel::kInfo, "first");
  ASSERT_TRUE(WaitFor(20s, [&] { return gate->entered(); }));
  for (std::size_t i = 0; i < LogQueue::kMaxLines + 10; ++i) add(LogLevel::kInfo, "x");
  // As many bytes as there may be are few lines, if they are long.
  gate->Open();
  (*queue)->Close();
  ASSERT_EQ(lines.size(), LogQueue::kMaxLines + 2);
  EXPECT_EQ(lines.back(), "10 log lines were dropped here: the log sink was too slow");
}

TEST(LogQueue, IsBoundedInBytesAndContainsWhatTheSinkThrows) {
  auto gate = std::make_shared<Gate>();
  std::atomic<int> lines{0};
  auto queue = LogQueue::Start([&, gate](LogLevel, std::string_view) {
    gate->Pass();
    ++lines;
    throw std::runtime_error("the host's own trouble");
  });
  ASSERT_TRUE(queue.ok());
  const LogQueue::Add add = (*queue)->adder();
  add(LogLevel::kInfo, "first");
  ASSERT_TRUE(WaitFor(20s, [&] { return gate->entered(); }));
  const std::string quarter(LogQueue::kMaxBytes / 4, 'x');
  for (int i = 0; i < 8; ++i) add(LogLevel::kInfo, quarter);
  gate->Open();
  (*queue)->Close();
  EXPECT_EQ(lines, 1 + 4 + 1);
}

TEST(LogSink, OneThatHangsKeepsAnEmbeddedMemberFromNothing) {
  TempFolder folder;
  // They outlive the thread that is left behind.
  static auto* const gate = new Gate();
  NodeOptions options;
  options.name = "n1";
  options.data_dir = folder / "data";
  options.listen = FreeAddress();
  options.log_level = LogLevel::kDebug;
  options.log_sink = [](LogLevel, std::string_view) { gate->Pass(); };
  auto node = Node::Open(std::move(options));
  ASSERT_TRUE(node.ok()) << node.status().ToString();
  ASSERT_TRUE(WaitFor(20s, [] { return gate->entered(); }));
  ASSERT_TRUE((*node)->WaitForLeader(20s).ok());
  EXPECT_TRUE((*node)->kv().Put("k", "v").ok());
  std::promise<Status> closed;
  std::thread closer([&] { closed.set_value((*node)->Close()); });
  auto outcome = closed.get_future();
  const bool in_time = outcome.wait_for(20s) == std::future_status::ready;
  EXPECT_TRUE(in_time);
  gate->Open();
  closer.join();
  if (in_time) {
    EXPECT_TRUE(outcome.get().ok());
  }
}

/// A pipe in which there is no room, and that nobody reads.
class FullPipe {
 public:
  FullPipe() {
    EXPECT_EQ(pipe2(ends_, O_CLOEXEC | O_NONBLOCK), 0);
    const std::string page(4096, 'x');
    while (write(ends_[1], page.data(), page.size()) > 0) {
    }
    fcntl(ends_[1], F_SETFL, 0);  // whoever writes now waits
  }
  ~FullPipe() {
    close(ends_[0]);
    close(ends_[1]);
  }
  [[nodiscard]] int writer() const { return ends_[1]; }

 private:
  int ends_[2] = {-1, -1};
};

class UnreadStderr : public testing::Test {
 protected:
  ProcessOptions Serve(std::vector<std::string> flags) {
    ProcessOptions options;
    options.command = cluster_.Command(0);
    options.command.insert(options.command.end(), flags.begin(), flags.end());
    options.stdout_path = folder_ / "stdout";
    options.stderr_path = folder_ / "stderr";
    return options;
  }

  TempFolder folder_;
  ProcessCluster cluster_{{.members = 1}};
  FullPipe full_;
};

TEST_F(UnreadStderr, DoesNotKeepAMemberFromServingOrFromStopping) {
  ProcessOptions options = Serve({"--log-level", "debug"});
  options.files[2] = full_.writer();
  Process serve(options);
  EXPECT_TRUE(WaitFor(60s, [&] { return cluster_.Cli({"put", "k", "v"}).exit_code == 0; }));
  EXPECT_EQ(cluster_.Cli({"get", "k", "--print-value-only"}).out, "v\n");
  serve.Signal(SIGTERM);
  EXPECT_EQ(serve.WaitForExit(20s), 0);
}

TEST_F(UnreadStderr, DoesNotKeepAMemberAliveThatCannotStart) {
  const BusyPort busy;
  ProcessOptions options = Serve({});
  options.files[2] = full_.writer();
  for (std::string& argument : options.command) {
    if (argument == cluster_.address(0)) argument = busy.address();
  }
  Process serve(options);
  // It hangs with its last words; a signal ends it all the same.
  serve.Signal(SIGTERM);
  const auto code = serve.WaitForExit(20s);
  ASSERT_TRUE(code.has_value());
  EXPECT_NE(*code, 0);
}

TEST_F(UnreadStderr, NeitherDoesUnreadStdout) {
  ProcessOptions options = Serve({});
  options.files[1] = full_.writer();
  Process serve(options);
  EXPECT_TRUE(WaitFor(60s, [&] { return cluster_.Cli({"put", "k", "v"}).exit_code == 0; }));
  serve.Signal(SIGTERM);
  EXPECT_TRUE(serve.WaitForExit(20s).has_value());
}

}  // namespace
}  // namespace raftkv::test
