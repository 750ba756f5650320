// Where does the key-value state machine keep its keys?
//
// kv::Engine over one RocksDB with one column family and its write-ahead log off: the Raft log is
// the redo log. After a crash a prefix of the writes is there, up to the last flush. Who reads
// holds it alive: a snapshot may have put another one in its place.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <rocksdb/env.h>

#include <raftkv/status.h>

#include "lib/base/ids.h"
#include "lib/kv/engine.h"
#include "lib/node/ports.h"

namespace rocksdb {
class DB;
}

namespace raftkv::storage {

struct KvEngineOptions {
  std::string folder;
  rocksdb::Env* env = nullptr;
  std::size_t cache_bytes = 64 << 20;
  node::LogSink log_sink;
};

class KvEngine final : public kv::Engine {
 public:
  /// Makes an empty database in a folder that holds none; durable.
  static Status Create(const KvEngineOptions& options);
  static Result<std::shared_ptr<KvEngine>> Open(const KvEngineOptions& options);
  ~KvEngine() override;

  std::unique_ptr<kv::View> NewView(kv::ReadTier tier) override;
  Status Write(const std::vector<kv::Mutation>& mutations) override;

  /// A write now would not wait for flushes or compactions. Safe from any thread.
  [[nodiscard]] bool TakesWritesAtOnce();
  /// Makes what was written durable. Safe from any thread.
  Status Flush();
  /// The applied index that the database has even after a crash. Safe from any thread.
  [[nodiscard]] Index flushed() const { return Index(flushed_->load()); }
  /// Flushes and closes; all views must be gone. The destructor closes without a flush.
  Status Close();

 private:
  KvEngine(std::unique_ptr<rocksdb::DB> db, std::shared_ptr<std::atomic<std::uint64_t>> flushed);

  std::unique_ptr<rocksdb::DB> db_;
  /// Shared with the listener that RocksDB keeps.
  const std::shared_ptr<std::atomic<std::uint64_t>> flushed_;
};

}  // namespace raftkv::storage
