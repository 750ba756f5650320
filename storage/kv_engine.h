// Where does the key-value state machine keep its keys?
//
// kv::Engine over one RocksDB with one column family and its write-ahead log off: the Raft log is
// the redo log. After a crash a prefix of the writes is there, up to the last flush.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <rocksdb/env.h>

#include <raftkv/status.h>

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
  static Result<std::unique_ptr<KvEngine>> Open(const KvEngineOptions& options);
  ~KvEngine() override;

  std::unique_ptr<kv::View> NewView(kv::ReadTier tier) override;
  Status Write(const std::vector<kv::Mutation>& mutations) override;

  /// Makes what was written durable.
  /// A write now would not wait for flushes or compactions. Safe from any thread.
  [[nodiscard]] bool TakesWritesAtOnce();
  Status Flush();
  /// Flushes and closes; all views must be gone. The destructor closes without a flush.
  Status Close();

 private:
  explicit KvEngine(std::unique_ptr<rocksdb::DB> db);

  std::unique_ptr<rocksdb::DB> db_;
};

}  // namespace raftkv::storage
