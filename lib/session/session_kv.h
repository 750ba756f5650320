// How do calls of a KV become requests that are carried out exactly once?
//
// SessionKv gathers concurrent calls into one request, encodes it once, sends it over a Channel,
// and retries the identical bytes under its session until each call's timeout. It is the KV of the
// remote client (a channel over a connection) and of a host's own node (a channel straight into
// it).
//
// The KV interface is safe from any thread; everything else happens on the loop.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include <raftkv/kv.h>
#include <raftkv/node.h>

#include "lib/base/bytes.h"
#include "lib/base/once_function.h"
#include "lib/base/time.h"
#include "lib/node/ports.h"

namespace raftkv::node {

/// The thread that everything runs on, seen from outside.
class Loop {
 public:
  virtual ~Loop() = default;
  /// Runs `work` on the loop; safe from any thread. After the loop ended, drops it: its destructor
  /// runs.
  virtual void Post(OnceFunction<void()> work) = 0;
  /// On the loop only: runs `work` at `when` (not cancellable; may run late).
  virtual void At(MonoTime when, OnceFunction<void()> work) = 0;
  /// Safe from any thread.
  virtual MonoTime Now() = 0;
};

/// The way to the cluster. On the loop only; each callback runs once, later, on the loop.
class Channel {
 public:
  virtual ~Channel() = default;
  /// The replicated time that a new session starts from.
  virtual void OpenSession(MonoTime deadline, Done<std::uint64_t> done) = 0;
  /// One attempt. A channel that lost its connection after sending answers UnknownOutcome; before,
  /// or where nobody could be reached, Unavailable. It looks for the leader by itself, between
  /// attempts.
  virtual void Submit(Bytes request, MonoTime deadline, SubmitDone done) = 0;
  /// A bounded read is answered by any member, the others by the leader or with its help.
  virtual void Read(Bytes request, ReadPolicy policy, MonoTime deadline, Done<Bytes> done) = 0;
  /// A page of a watch (an encoded kv WatchRequest), from any member: answered once there are
  /// events, or at `deadline`, a little before it where the answer has a way to go.
  virtual void Watch(Bytes request, MonoTime deadline, Done<Bytes> done) = 0;
};

struct SessionKvOptions {
  Limits limits;
  /// Gather concurrent calls while a request is under way and quick (kGatherTime); without, each
  /// call is its own request.
  bool coalesce = true;
  /// Of session ids; must differ between clients (from the system's entropy in production).
  std::uint64_t seed = 1;
  /// Calls that wait to be sent, in bytes; more are refused as Unavailable.
  std::size_t max_queued_bytes = 64 << 20;
  /// Requests of writes, and of reads of each consistency, under way at a time (the server bounds
  /// it as well).
  std::size_t max_outstanding = 64;  ///< half of kv::StoreOptions::max_outstanding at most
  /// For what callbacks throw; empty: stderr.
  LogSink log_sink = nullptr;
};

class StoppableKv : public KV {
 public:
  /// On the loop. Open calls end with Cancelled or, where a write may have been carried out,
  /// UnknownOutcome; later ones with Cancelled. Afterwards it may be destroyed on any thread.
  virtual void Stop() = 0;
};

/// `loop` outlives the KV, and `channel` its Stop(). Destroying it on the loop stops it.
std::unique_ptr<StoppableKv> NewSessionKv(Loop& loop, Channel& channel, SessionKvOptions options);

}  // namespace raftkv::node
