#include "storage/wal_filter.h"

#include <algorithm>

#include <rocksdb/write_batch.h>

#include "storage/wal_scan.h"

namespace raftkv::storage {

void WalWatch::ColumnFamilyLogNumberMap(const std::map<std::uint32_t, std::uint64_t>& log_numbers,
                                        const std::map<std::string, std::uint32_t>& /*families*/) {
  for (const auto& [family, number] : log_numbers) {
    oldest_log_ = std::min(oldest_log_.value_or(number), number);
  }
}

rocksdb::WalFilter::WalProcessingOption WalWatch::LogRecordFound(unsigned long long /*log_number*/,
                                                                 const std::string& /*file_name*/,
                                                                 const rocksdb::WriteBatch& batch,
                                                                 rocksdb::WriteBatch* /*new_batch*/,
                                                                 bool* /*batch_changed*/) {
  const std::optional<std::uint64_t> number = BatchNumberOf(batch.Data());
  if (number.has_value()) last_batch_ = *number;
  return ignore_ ? WalProcessingOption::kStopReplay : WalProcessingOption::kContinueProcessing;
}

}  // namespace raftkv::storage
