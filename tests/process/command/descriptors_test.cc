// Does a cluster whose members may have few descriptors live on beside any number of connections?
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/process/process_cluster.h"
#include "tests/support/process/process_socket.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;

class FewDescriptors : public testing::Test {
 protected:
  static constexpr int kLimit = 128;

  void SetUp() override {
    for (std::size_t i = 0; i < cluster_.size(); ++i) {
      ProcessOptions options;
      options.command = {"/bin/sh", "-c",
                         "ulimit -n " + std::to_string(kLimit) + "; exec \"$0\" \"$@\""};
      const std::vector<std::string> serve = cluster_.Command(i);
      options.command.insert(options.command.end(), serve.begin(), serve.end());
      options.stdout_path = folder_ / ("stdout" + std::to_string(i));
      options.stderr_path = folder_ / ("stderr" + std::to_string(i));
      members_.push_back(std::make_unique<Process>(options));
    }
    ASSERT_TRUE(WaitFor(60s, [&] { return Put("before"); }));
  }
  bool Put(const std::string& value) const {
    return cluster_.Cli({"put", "k", value}).exit_code == 0;
  }
  void ExpectAllRun() {
    for (auto& member : members_) EXPECT_TRUE(member->Running()) << member->Stderr();
  }

  TempFolder folder_;
  ProcessCluster cluster_{{.members = 3, .http = true, .steady = true}};
  std::vector<std::unique_ptr<Process>> members_;
};

TEST_F(FewDescriptors, MoreIdleConnectionsThanThereAreDescriptorsHarmNobody) {
  std::vector<std::unique_ptr<RawConnection>> idle;
  for (int i = 0; i < 2 * kLimit; ++i) {
    for (std::size_t member = 0; member < 3; ++member) {
      idle.push_back(std::make_unique<RawConnection>(cluster_.address(member)));
    }
  }
  EXPECT_TRUE(WaitFor(60s, [&] { return Put("meanwhile"); }));
  ExpectAllRun();
}

TEST_F(FewDescriptors, NorDoThoseOfHttpAndAProbeIsAnswered) {
  std::vector<std::unique_ptr<RawConnection>> idle;
  for (int i = 0; i < 2 * kLimit; ++i) {
    for (std::size_t member = 0; member < 3; ++member) {
      idle.push_back(std::make_unique<RawConnection>(cluster_.http_address(member)));
    }
  }
  EXPECT_TRUE(
      WaitFor(60s, [&] { return HttpGet(cluster_.http_address(0), "/livez").status == 200; }));
  EXPECT_TRUE(WaitFor(60s, [&] { return Put("meanwhile"); }));
  ExpectAllRun();
}

TEST_F(FewDescriptors, AMemberThatComesBackFindsRoomAtTheOthers) {
  std::vector<std::unique_ptr<RawConnection>> idle;
  for (int i = 0; i < 2 * kLimit; ++i) {
    for (std::size_t member = 0; member < 2; ++member) {
      idle.push_back(std::make_unique<RawConnection>(cluster_.address(member)));
    }
  }
  members_[2]->Kill();
  ASSERT_TRUE(cluster_.Start(2));
  EXPECT_TRUE(WaitFor(60s, [&] {
    const auto status = cluster_.Status(2);
    return status.ok() && status->node.errors.empty();
  }));
  EXPECT_TRUE(Put("after"));
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(members_[i]->Running());
}

}  // namespace
}  // namespace raftkv::test
