// How does a test run whole clusters in one process, over a network that it can cut?
//
// Each member gets a transport of the network, under its address:
//
//   raftkv::InProcessNetwork network;
//   options.transport = network.NewTransport("n1");
//   options.cluster = {{"n1", "n1"}, {"n2", "n2"}, {"n3", "n3"}};
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include <raftkv/transport.h>

namespace raftkv {

struct InProcessNetworkOptions {
  /// The delay of each frame is drawn from [min_delay, max_delay], so frames overtake each other.
  std::chrono::microseconds min_delay{0};
  std::chrono::microseconds max_delay{0};
  unsigned loss_percent = 0;
  unsigned duplicate_percent = 0;  ///< each copy has a delay of its own
  std::uint64_t seed = 1;
  /// Of frames under way; more are dropped.
  std::size_t max_bytes = 256 * 1024 * 1024;
};

/// All calls are safe from any thread.
class InProcessNetwork {
 public:
  explicit InProcessNetwork(const InProcessNetworkOptions& options = {});
  /// What is under way is lost. Transports may live on, and reach nobody.
  ~InProcessNetwork();
  InProcessNetwork(const InProcessNetwork&) = delete;
  InProcessNetwork& operator=(const InProcessNetwork&) = delete;

  /// Of the member at `address`. A later one of the same address takes its place once it is
  /// started.
  std::shared_ptr<Transport> NewTransport(std::string address);

  /// Frames from `from` to `to` are lost from now on, those under way as well. One way only.
  void Cut(const std::string& from, const std::string& to);
  void Heal(const std::string& from, const std::string& to);
  void HealAll();

 private:
  class Body;
  const std::shared_ptr<Body> body_;
};

}  // namespace raftkv
