// How are committed entries applied and reads answered without stalling the loop?
//
// node::StateMachine over kv::Store: one thread applies, but for a few puts that need not wait,
// which the loop applies itself; a read is answered from memory on the caller's thread where that
// suffices, otherwise by a small pool of readers.
#pragma once

#include <memory>
#include <vector>

#include <raftkv/status.h>

#include "lib/kv/store.h"
#include "lib/node/ports.h"
#include "storage/completions.h"
#include "storage/kv_engine.h"
#include "storage/worker.h"

namespace raftkv::storage {

class KvStateMachine final : public node::StateMachine {
 public:
  static Result<std::unique_ptr<KvStateMachine>> Open(std::unique_ptr<KvEngine> engine,
                                                      const kv::StoreOptions& options,
                                                      Completions completions);
  ~KvStateMachine() override { static_cast<void>(Close(/*clean=*/false)); }

  void Apply(std::vector<raft::Entry> entries, node::Done<node::Applied> done) override;
  void Read(Bytes request, std::size_t max_bytes, node::Done<Bytes> done) override;

  /// Safe from any thread, until Close().
  [[nodiscard]] kv::Engine& engine() { return *engine_; }
  /// What was applied at the open, and is durable.
  [[nodiscard]] Index applied_at_open() const { return applied_at_open_; }
  [[nodiscard]] std::uint64_t replicated_time_at_open_ms() const {
    return replicated_time_at_open_ms_;
  }

  /// Ends what is queued, joins the threads; `clean`: flushes, if nothing failed. No other call
  /// afterwards.
  Status Close(bool clean);

 private:
  KvStateMachine(std::unique_ptr<KvEngine> engine, std::unique_ptr<kv::Store> store,
                 Completions completions);
  Result<node::Applied> ApplyNow(const std::vector<raft::Entry>& entries);

  // Constant after construction.
  const std::unique_ptr<KvEngine> engine_;
  /// Of the apply thread while an apply is under way there, else of the loop.
  const std::unique_ptr<kv::Store> store_;
  const Index applied_at_open_;
  const std::uint64_t replicated_time_at_open_ms_;
  Completions completions_;
  /// Goes with store_: the first failure; nothing is applied after it.
  Status failure_;
  // End before what they run on.
  Worker apply_;
  Worker readers_;
  bool closed_ = false;
};

}  // namespace raftkv::storage
