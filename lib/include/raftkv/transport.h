// How can members communicate other than by raftkv's own RPC?
//
// A Transport carries frames, opaque bytes, between the members of a cluster: over a message bus, a
// simulated network, or whatever the host has. A member with NodeOptions::transport communicates
// with the others through it alone; consensus, storage, forwarding and snapshots are the same.
//
// A frame arrives whole and unchanged or not at all. It may be lost, delayed, duplicated and
// reordered: members detect this themselves, as well as restarts of either side. Frames are neither
// encrypted nor authenticated: anyone who can inject a frame takes part in the cluster.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

namespace raftkv {

class Transport {
 public:
  /// Takes a frame that the member at `from` sent to this one. Thread-safe, and may be called from
  /// inside Send(); returns at once. Frames beyond 64 MiB of queued ones are dropped.
  using Receiver = std::function<void(const std::string& from, std::string frame)>;

  virtual ~Transport() = default;
  /// From now on frames to this member go to `receiver`. Called when the member is opened, and
  /// again after Stop() when it repairs a damaged disk.
  virtual void Start(Receiver receiver) = 0;
  /// Sends `frame` to the member at the address `to`, as in NodeOptions::cluster. Called only
  /// between Start() and Stop(), by one thread at a time, which runs the member: it must not block.
  /// It should bound what it buffers and drop what it cannot send now. A frame has at most
  /// Limits::max_request_bytes + kMaxFrameOverhead bytes.
  virtual void Send(const std::string& to, std::string frame) = 0;
  /// Once it has returned, the receiver is not running and is not called again.
  virtual void Stop() = 0;

  static constexpr std::size_t kMaxFrameOverhead = 2 * 1024 * 1024;
};

}  // namespace raftkv
