// What becomes of open objects when the process ends, and in a process that was forked from it?
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <future>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "tests/process/cluster/host_code.h"

namespace raftkv::test {
namespace {

constexpr int kExit = 7;
constexpr int kTooSlow = 9;
constexpr unsigned kNoHang = 120;

struct Everything {
  std::unique_ptr<Node> node;
  std::unique_ptr<Client> client;
  std::unique_ptr<Log> log;
};

/// When a callback began to end the process. Goes after all others, and says if that took long:
/// what waits for the callback itself is not waited for.
struct EndWatch {
  std::atomic<std::chrono::steady_clock::rep> began{0};
  ~EndWatch() {
    using Clock = std::chrono::steady_clock;
    if (began == 0) return;
    if (Clock::now() - Clock::time_point(Clock::duration(began)) > std::chrono::seconds(4)) {
      std::fprintf(stderr, "the end took too long\n");
      _exit(kTooSlow);
    }
  }
};
EndWatch end_watch;

/// Made before anything of raftkv is, so that it goes after whatever is made at the first use.
Everything at_namespace_scope;

enum class Place : unsigned char { kNamespaceScope, kFunction, kNeverDestroyed };

Everything& At(Place place) {
  if (place == Place::kNamespaceScope) return at_namespace_scope;
  if (place == Place::kNeverDestroyed) {
    static Everything& never = *new Everything;
    return never;
  }
  static Everything in_a_function;
  return in_a_function;
}

[[noreturn]] void Die(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::abort();
}

/// The statements run in processes of their own.
class HostProcess : public HostCode, public testing::WithParamInterface<Place> {
 protected:
  void SetUp() override {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    // What such a process leaves behind goes with the folder of this one.
    if (const char* before = getenv("TMPDIR")) before_ = before;
    setenv("TMPDIR", folder_.path().c_str(), 1);
  }
  void TearDown() override {
    before_.empty() ? unsetenv("TMPDIR") : setenv("TMPDIR", before_.c_str(), 1);
  }

  Everything& OpenAll() {
    alarm(kNoHang);
    OpenNode([this](std::string_view) {
      if (ends_in_sink_) ExitQuickly();
    });
    OpenClient();
    OpenLog();
    if (HasFatalFailure()) Die(Said());
    Everything& all = At(GetParam());
    all = {std::move(node_), std::move(client_), std::move(log_)};
    if (!all.client->kv().Put("k", "v", {kPatience}).ok()) Die("no put");
    if (!all.log->Append("x", {kPatience}).ok()) Die("no append");
    return all;
  }

  void JustExit() {
    OpenAll();
    exit(kExit);
  }
  /// While all of them are at work.
  void ExitMeanwhile() {
    Everything& all = OpenAll();
    for (int i = 0; i < 200; ++i) {
      all.node->kv().PutAsync("k", "v", {kPatience}, nullptr);
      all.client->kv().PutAsync("k", "v", {kPatience}, nullptr);
      all.log->AppendAsync("x", {kPatience}, nullptr);
    }
    exit(kExit);
  }
  [[noreturn]] static void ExitQuickly() {
    end_watch.began = std::chrono::steady_clock::now().time_since_epoch().count();
    exit(kExit);
  }
  void ExitInACallbackOf(const std::string& which, bool meanwhile = false) {
    Everything& all = OpenAll();
    for (int i = 0; meanwhile && i < 200; ++i) {
      all.node->kv().PutAsync("k", "v", {kPatience}, nullptr);
      all.client->kv().PutAsync("k", "v", {kPatience}, nullptr);
      all.log->AppendAsync("x", {kPatience}, nullptr);
    }
    const auto ends = [](auto&&) { ExitQuickly(); };
    if (which == "client") all.client->kv().GetAsync("k", {kPatience}, ends);
    if (which == "node") all.node->kv().GetAsync("k", {kPatience}, ends);
    if (which == "log") all.log->AppendAsync("x", {kPatience}, ends);
    if (which == "refused") all.node->kv().GetAsync("", {}, ends);
    if (which == "sink") {
      ends_in_sink_ = true;
      all.node->kv().GetAsync("k", {kPatience}, [](auto&&) -> void { throw 1; });
    }
    while (true) pause();
  }
  /// Another thread closes it while this one ends the process.
  void ExitAfterACallbackLetGo() {
    Everything& all = OpenAll();
    std::promise<void> called;
    all.node->kv().PutAsync("k", "v", {kPatience}, [&](auto&&) {
      all.node.reset();
      all.log.reset();
      called.set_value();
    });
    called.get_future().wait();
    exit(kExit);
  }
  void ExitInAForkedChild() {
    Everything& all = OpenAll();
    const pid_t child = fork();
    if (child == 0) {
      alarm(kNoHang);
      if (all.node->Close().code() != Code::kInvalidArgument) Die("Close");
      if (all.log->Append("x").code() != Code::kInvalidArgument) Die("Append");
      if (Node::Open(Options("n2")).code() != Code::kInvalidArgument) Die("Open");
      all.log.reset();
      exit(kExit + 1);
    }
    int status = 0;
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status)) Die("the child did not exit");
    if (WEXITSTATUS(status) != kExit + 1) Die("the child failed");
    if (!all.node->kv().Put("after", "v", {kPatience}).ok()) Die("Put");
    if (!all.log->Append("after", {kPatience}).ok()) Die("Append");
    exit(kExit);
  }

 private:
  std::string before_;
  std::atomic<bool> ends_in_sink_{false};
};

TEST_P(HostProcess, OpenObjectsDoNotDisturbTheEnd) {
  EXPECT_EXIT(JustExit(), testing::ExitedWithCode(kExit), "");
}

TEST_P(HostProcess, ObjectsAtWorkDoNotDisturbTheEnd) {
  EXPECT_EXIT(ExitMeanwhile(), testing::ExitedWithCode(kExit), "");
}

TEST_P(HostProcess, ACallbackMayExit) {
  for (const char* which : {"client", "node", "log", "refused", "sink"}) {
    EXPECT_EXIT(ExitInACallbackOf(which), testing::ExitedWithCode(kExit), "") << which;
  }
}

TEST_P(HostProcess, ACallbackMayExitWhileAllAreAtWork) {
  for (const char* which : {"client", "node", "log"}) {
    EXPECT_EXIT(ExitInACallbackOf(which, /*meanwhile=*/true), testing::ExitedWithCode(kExit), "")
        << which;
  }
}

TEST_P(HostProcess, TheProcessMayEndWhileACallbacksLeftoversAreClosed) {
  EXPECT_EXIT(ExitAfterACallbackLetGo(), testing::ExitedWithCode(kExit), "");
}

TEST_P(HostProcess, AForkedChildExits) {
  EXPECT_EXIT(ExitInAForkedChild(), testing::ExitedWithCode(kExit), "");
}

INSTANTIATE_TEST_SUITE_P(Places, HostProcess,
                         testing::Values(Place::kNamespaceScope, Place::kFunction,
                                         Place::kNeverDestroyed),
                         [](const auto& place) -> std::string {
                           switch (place.param) {
                             case Place::kNamespaceScope: return "NamespaceScope";
                             case Place::kFunction: return "Function";
                             case Place::kNeverDestroyed: break;
                           }
                           return "NeverDestroyed";
                         });

}  // namespace
}  // namespace raftkv::test
