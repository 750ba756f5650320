// How does a test run whole clusters in one process, over a network that it can partition?
//
// Each member gets a transport of the network for its address:
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
  unsigned duplicate_percent = 0;  ///< each copy gets its own delay
  std::uint64_t seed = 1;
  /// Limit of frames in flight; more are dropped.
  std::size_t max_bytes = 256 * 1024 * 1024;
};

/// All calls are safe from any thread.
class InProcessNetwork {
 public:
  explicit InProcessNetwork(const InProcessNetworkOptions& options = {});
  /// Frames in flight are lost. Transports may outlive the network, but reach no one.
  ~InProcessNetwork();
  InProcessNetwork(const InProcessNetwork&) = delete;
  InProcessNetwork& operator=(const InProcessNetwork&) = delete;

  /// The transport of the member at `address`. A later one for the same address replaces it once it
  /// is started.
  std::shared_ptr<Transport> NewTransport(std::string address);

  /// Drops frames from `from` to `to` from now on, including those in flight. One direction only.
  void Cut(const std::string& from, const std::string& to);
  void Heal(const std::string& from, const std::string& to);
  void HealAll();

 private:
  class Body;
  const std::shared_ptr<Body> body_;
};

}  // namespace raftkv
