// Which batches does RocksDB find when it recovers, and what was there before it replayed them?
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include <rocksdb/wal_filter.h>

namespace raftkv::storage {

/// Observes a recovery. With `ignore` no batch is replayed: only flushed data is visible then.
class WalWatch final : public rocksdb::WalFilter {
 public:
  explicit WalWatch(bool ignore) : ignore_(ignore) {}

  const char* Name() const override { return "raftkv.WalWatch"; }
  void ColumnFamilyLogNumberMap(const std::map<std::uint32_t, std::uint64_t>& log_numbers,
                                const std::map<std::string, std::uint32_t>& families) override;
  WalProcessingOption LogRecordFound(unsigned long long log_number, const std::string& file_name,
                                     const rocksdb::WriteBatch& batch,
                                     rocksdb::WriteBatch* new_batch, bool* batch_changed) override;

  /// The oldest write-ahead log that is still needed; nullopt: there are none. Older ones may
  /// exist, and may lack what was in tables before it was synced.
  [[nodiscard]] std::optional<std::uint64_t> oldest_log() const {
    // The families know a lower bound only: one that is never written to keeps its first number.
    return first_read_.has_value() ? first_read_ : oldest_log_;
  }
  /// The number of the last batch that was found; 0: none.
  [[nodiscard]] std::uint64_t last_batch() const { return last_batch_; }

 private:
  const bool ignore_;
  std::optional<std::uint64_t> oldest_log_;
  std::optional<std::uint64_t> first_read_;  ///< by RocksDB itself
  std::uint64_t last_batch_ = 0;
};

/// Ends a recovery before the first batch with a number above `last_batch`, or that is none.
class WalStop final : public rocksdb::WalFilter {
 public:
  explicit WalStop(std::uint64_t last_batch) : last_batch_(last_batch) {}

  const char* Name() const override { return "raftkv.WalStop"; }
  WalProcessingOption LogRecordFound(unsigned long long log_number, const std::string& file_name,
                                     const rocksdb::WriteBatch& batch,
                                     rocksdb::WriteBatch* new_batch, bool* batch_changed) override;

 private:
  const std::uint64_t last_batch_;
};

}  // namespace raftkv::storage
