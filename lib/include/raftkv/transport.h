// How do members reach each other where not by raftkv's own RPC?
//
// A Transport carries frames, opaque bytes, between the members of a cluster: over a message bus, a
// simulated network, whatever the host has. A member with NodeOptions::transport speaks to the
// others by it alone; consensus, storage, forwarding and snapshots are the same.
//
// A frame arrives whole and unchanged or not at all. It may be lost, delayed, doubled, and
// overtaken by others: members find out by themselves, and restarts of either side as well. Frames
// are neither encrypted nor authenticated: who can put one in takes part in the cluster.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

namespace raftkv {

class Transport {
 public:
  /// Takes a frame that the member at `from` sent to this one. Safe from any thread, also several
  /// at a time and from inside Send(); returns at once. More than 64 MiB that wait are dropped.
  using Receiver = std::function<void(const std::string& from, std::string frame)>;

  virtual ~Transport() = default;
  /// From now on frames to this member go to `receiver`. A member calls it when it is opened, and
  /// again after Stop() where it repairs a damaged disk.
  virtual void Start(Receiver receiver) = 0;
  /// Takes `frame` for the member at the address `to`, as NodeOptions::cluster has it; only between
  /// Start() and Stop(), by one thread at a time, which runs the member: it must not block. What
  /// cannot be sent now is dropped; so it must not keep more than it can bear.
  /// A frame has Limits::max_request_bytes and kMaxFrameOverhead at most.
  virtual void Send(const std::string& to, std::string frame) = 0;
  /// When it returns the receiver runs no more, and is called no more.
  virtual void Stop() = 0;

  static constexpr std::size_t kMaxFrameOverhead = 2 * 1024 * 1024;
};

}  // namespace raftkv
