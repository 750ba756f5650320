// What becomes of open objects when the process ends, and in a process that was forked from it?
#include <sys/wait.h>
#include <unistd.h>

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
constexpr unsigned kNoHang = 120;

struct Everything {
  std::unique_ptr<Node> node;
  std::unique_ptr<Client> client;
  std::unique_ptr<Log> log;
};

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
    OpenNode();
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
  void ExitInACallbackOf(const std::string& which) {
    Everything& all = OpenAll();
    if (which == "client") all.client->kv().GetAsync("k", {kPatience}, [](auto&&) { exit(kExit); });
    if (which == "node") all.node->kv().GetAsync("k", {kPatience}, [](auto&&) { exit(kExit); });
    if (which == "log") all.log->AppendAsync("x", {kPatience}, [](auto&&) { exit(kExit); });
    if (which == "refused") all.node->kv().GetAsync("", {}, [](auto&&) { exit(kExit); });
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
};

TEST_P(HostProcess, OpenObjectsDoNotDisturbTheEnd) {
  EXPECT_EXIT(JustExit(), testing::ExitedWithCode(kExit), "");
}

TEST_P(HostProcess, ObjectsAtWorkDoNotDisturbTheEnd) {
  EXPECT_EXIT(ExitMeanwhile(), testing::ExitedWithCode(kExit), "");
}

TEST_P(HostProcess, ACallbackMayExit) {
  for (const char* which : {"client", "node", "log", "refused"}) {
    EXPECT_EXIT(ExitInACallbackOf(which), testing::ExitedWithCode(kExit), "") << which;
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
