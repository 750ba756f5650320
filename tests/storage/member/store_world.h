// How does a test open a store, wait for its completions, and make entries for it?
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <rocksdb/env.h>

#include "lib/node/ports.h"
#include "storage/member/open.h"
#include "tests/support/faults/crash_fs.h"

namespace raftkv::test {

/// The loop of a test: completions are queued by any thread and run by the test.
class TestLoop {
 public:
  storage::Executor executor() {
    return [this](OnceFunction<void()> work) { Post(std::move(work)); };
  }
  void Post(OnceFunction<void()> work);
  /// Runs completions until `done()`; false: not within half a minute.
  bool RunUntil(const std::function<bool()>& done);

 private:
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<OnceFunction<void()>> queue_;
};

/// One member on a disk in memory.
class StoreWorld {
 public:
  explicit StoreWorld(std::shared_ptr<CrashFs> fs = std::make_shared<CrashFs>());
  ~StoreWorld() { store.reset(); }

  /// Opens (and keeps) the store.
  Status Open();
  /// As a crash of the process would.
  void Drop() { store.reset(); }
  Status CloseCleanly();

  // One call and its completion.
  Status Write(node::LogWrite write);
  Status WriteEntries(Index first, Term term, int count, std::size_t payload_bytes = 20,
                      Index commit = Index(1));
  /// Of this member and `others`.
  Status Form(ClusterId cluster = ClusterId(77), const std::vector<NodeId>& others = {});
  Result<std::vector<raft::Entry>> Read(Index first, Index last, std::size_t max_bytes);
  Result<node::Applied> Apply(std::vector<raft::Entry> entries);
  Result<node::Snapshots::Made> MakeSnapshot();
  Result<node::SnapshotSource::Part> ReadPart(node::SnapshotSource& source, std::uint64_t offset,
                                              std::size_t max_bytes);
  Result<std::uint64_t> Receive(const raft::SnapshotMeta& meta, std::uint64_t id,
                                std::uint64_t offset, const node::SnapshotSource::Part& part);
  Result<std::uint64_t> Install(const raft::SnapshotMeta& meta, node::LogWrite write);

  std::shared_ptr<CrashFs> fs;
  std::unique_ptr<rocksdb::Env> env;
  TestLoop loop;
  storage::StoreOptions options;
  std::unique_ptr<storage::Store> store;
};

/// A payload that tells `index` and `term`, of at least `bytes` bytes.
Bytes TestPayload(Index index, Term term, std::size_t bytes);
/// Entries first.. of `term`, of kind no-op (no state machine looks inside).
std::vector<raft::Entry> MakeEntries(Index first, Term term, int count, std::size_t bytes);
/// The encoded configuration of a cluster.
Bytes TestConfiguration(ClusterId cluster, NodeId member, const std::vector<NodeId>& others = {});

}  // namespace raftkv::test
