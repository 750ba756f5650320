#include <algorithm>
#include <atomic>
#include <set>

#include <raftkv/in_process_network.h>

#include "tests/rpc/server/rpc_fixture.h"

namespace raftkv::rpc {
namespace {

/// What has come to an address.
class Received {
 public:
  raftkv::Transport::Receiver Receiver() {
    return [this](const std::string& from, std::string frame) {
      const std::lock_guard lock(mutex_);
      frames_.push_back(from + ":" + frame);
    };
  }
  std::vector<std::string> frames() {
    const std::lock_guard lock(mutex_);
    return frames_;
  }
  bool WaitForCount(std::size_t count) {
    return WaitFor([&] { return frames().size() >= count; });
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> frames_;
};

TEST(InProcessNetwork, CarriesFramesInOrderAndNamesTheSender) {
  InProcessNetwork network;
  Received received;
  const auto a = network.NewTransport("a");
  const auto b = network.NewTransport("b");
  b->Start(received.Receiver());
  for (int i = 0; i < 100; ++i) a->Send("b", std::to_string(i));
  a->Send("nobody", "lost");
  ASSERT_TRUE(received.WaitForCount(100));
  const auto frames = received.frames();
  for (int i = 0; i < 100; ++i) EXPECT_EQ(frames[i], "a:" + std::to_string(i));
}

TEST(InProcessNetwork, ACutIsOneWayAndHeals) {
  InProcessNetwork network;
  Received at_a;
  Received at_b;
  const auto a = network.NewTransport("a");
  const auto b = network.NewTransport("b");
  a->Start(at_a.Receiver());
  b->Start(at_b.Receiver());
  network.Cut("a", "b");
  a->Send("b", "1");
  b->Send("a", "2");
  ASSERT_TRUE(at_a.WaitForCount(1));
  EXPECT_TRUE(at_b.frames().empty());
  network.Heal("a", "b");
  a->Send("b", "3");
  ASSERT_TRUE(at_b.WaitForCount(1));
  network.Cut("a", "b");
  network.Cut("b", "a");
  network.HealAll();
  a->Send("b", "4");
  ASSERT_TRUE(at_b.WaitForCount(2));
  EXPECT_EQ(at_b.frames(), (std::vector<std::string>{"a:3", "a:4"}));
}

TEST(InProcessNetwork, LosesDoublesAndReordersAsItIsTold) {
  InProcessNetworkOptions options;
  options.max_delay = std::chrono::milliseconds(5);
  options.loss_percent = 20;
  options.duplicate_percent = 20;
  InProcessNetwork network(options);
  Received received;
  const auto a = network.NewTransport("a");
  const auto b = network.NewTransport("b");
  b->Start(received.Receiver());
  constexpr int kFrames = 2000;
  for (int i = 0; i < kFrames; ++i) a->Send("b", std::to_string(i));
  ASSERT_TRUE(received.WaitForCount(kFrames * 8 / 10));
  const auto frames = received.frames();
  const std::set<std::string> distinct(frames.begin(), frames.end());
  EXPECT_LT(distinct.size(), frames.size()) << "some came twice";
  EXPECT_LT(distinct.size(), static_cast<std::size_t>(kFrames)) << "some were lost";
  std::vector<int> order;
  for (const std::string& frame : frames) order.push_back(std::stoi(frame.substr(2)));
  EXPECT_FALSE(std::is_sorted(order.begin(), order.end()));
}

TEST(InProcessNetwork, NothingComesAfterStopAndItMayStartAgain) {
  InProcessNetwork network;
  Received received;
  std::atomic<bool> stopped{false};
  std::atomic<int> after_stop{0};
  const auto a = network.NewTransport("a");
  const auto b = network.NewTransport("b");
  b->Start([&](const std::string& from, const std::string& frame) {
    if (stopped) ++after_stop;
    received.Receiver()(from, frame);
  });
  for (int i = 0; i < 1000; ++i) a->Send("b", "x");
  b->Stop();
  stopped = true;
  a->Send("b", "x");
  Received again;
  b->Start(again.Receiver());
  a->Send("b", "y");
  ASSERT_TRUE(WaitFor([&] {
    const auto frames = again.frames();
    return !frames.empty() && frames.back() == "a:y";
  }));
  EXPECT_EQ(after_stop, 0);
}

TEST(InProcessNetwork, WhatIsUnderWayIsBounded) {
  InProcessNetworkOptions options;
  options.min_delay = options.max_delay = std::chrono::milliseconds(50);
  options.max_bytes = 2500;
  InProcessNetwork network(options);
  Received received;
  const auto a = network.NewTransport("a");
  const auto b = network.NewTransport("b");
  b->Start(received.Receiver());
  for (int i = 0; i < 10; ++i) a->Send("b", std::string(1000, 'x'));
  ASSERT_TRUE(received.WaitForCount(2));
  a->Send("b", "end");
  ASSERT_TRUE(received.WaitForCount(3));
  EXPECT_EQ(received.frames().back(), "a:end");
}

TEST(InProcessNetwork, ATransportMayOutliveIt) {
  Received received;
  auto network = std::make_unique<InProcessNetwork>();
  const auto a = network->NewTransport("a");
  a->Start(received.Receiver());
  network.reset();
  a->Send("a", "into the void");
  a->Stop();
  EXPECT_TRUE(received.frames().empty());
}

}  // namespace
}  // namespace raftkv::rpc
