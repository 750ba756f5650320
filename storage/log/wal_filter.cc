#include "storage/log/wal_filter.h"

#include <algorithm>

#include <rocksdb/write_batch.h>

#include "storage/log/wal_batch.h"

namespace raftkv::storage {

void WalWatch::ColumnFamilyLogNumberMap(const std::map<std::uint32_t, std::uint64_t>& log_numbers,
                                        const std::map<std::string, std::uint32_t>& /*families*/) {
  for (const auto& [family, number] : log_numbers) {
    oldest_log_ = std::min(oldest_log_.value_or(number), number);
  }
}

rocksdb::WalFilter::WalProcessingOption WalWatch::LogRecordFound(unsigned long long log_number,
                                                                 const std::string& /*file_name*/,
                                                                 const rocksdb::WriteBatch& batch,
                                                                 rocksdb::WriteBatch* /*new_batch*/,
                                                                 bool* /*batch_changed*/) {
  if (!first_read_.has_value()) first_read_ = log_number;
  const std::optional<BatchMark> mark = BatchMarkOf(batch.Data());
  if (mark.has_value()) last_batch_ = mark->number;
  return ignore_ ? WalProcessingOption::kStopReplay : WalProcessingOption::kContinueProcessing;
}

rocksdb::WalFilter::WalProcessingOption WalStop::LogRecordFound(unsigned long long /*log_number*/,
                                                                const std::string& /*file_name*/,
                                                                const rocksdb::WriteBatch& batch,
                                                                rocksdb::WriteBatch* /*new_batch*/,
                                                                bool* /*batch_changed*/) {
  const Result<WalBatch> read = DecodeWalBatch(batch.Data());
  const bool wanted = read.ok() && (!read->mark.has_value() || read->mark->number <= last_batch_);
  return wanted ? WalProcessingOption::kContinueProcessing : WalProcessingOption::kStopReplay;
}

}  // namespace raftkv::storage
