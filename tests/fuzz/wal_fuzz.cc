// Write-ahead logs as they are found on the disk: whatever the bytes, the scan ends, reads nothing
// beyond them, and its verdict holds together; and RocksDB can read each batch that is taken for
// one.
#include <string>
#include <vector>

#include <rocksdb/write_batch.h>

#include "storage/disk/log_file.h"
#include "storage/log/wal_batch.h"
#include "storage/log/wal_scan.h"
#include "tests/fuzz/fuzz.h"

namespace raftkv::fuzz {
namespace {

void CheckScan(const std::vector<storage::WalFile>& files) {
  const storage::WalScan scan = storage::ScanWal(files);
  RAFTKV_CHECK(scan.first_batch <= scan.last_batch, scan.first_batch, scan.last_batch);
  RAFTKV_CHECK((scan.state == storage::WalState::kWhole) == scan.where.empty(), scan.where);
  if (!scan.broken.has_value()) return;
  RAFTKV_CHECK(scan.state != storage::WalState::kWhole);
  RAFTKV_CHECK(scan.broken->begin <= scan.broken->end, scan.broken->begin, scan.broken->end);
}

void CheckFragments(std::string_view bytes) {
  for (std::size_t at = 0; at <= bytes.size(); ++at) {
    const storage::Fragment fragment = storage::ReadFragment(bytes, at);
    RAFTKV_CHECK(fragment.kind != storage::Fragment::Kind::kIntact || fragment.size > 0);
    RAFTKV_CHECK(fragment.payload.size() <= bytes.size() - at, fragment.payload.size(), at);
  }
}

class Taker final : public rocksdb::WriteBatch::Handler {
 public:
  using Slice = rocksdb::Slice;
  rocksdb::Status PutCF(std::uint32_t /*family*/, const Slice& key, const Slice& value) override {
    if (first_) mark = storage::DecodeBatchMark({value.data(), value.size()});
    RAFTKV_CHECK(!first_ || key == Slice(storage::kBatchKey.data(), storage::kBatchKey.size()));
    first_ = false;
    return rocksdb::Status::OK();
  }
  rocksdb::Status DeleteCF(std::uint32_t /*family*/, const Slice& /*key*/) override {
    return Taken();
  }
  rocksdb::Status DeleteRangeCF(std::uint32_t /*family*/, const Slice& /*begin*/,
                                const Slice& /*end*/) override {
    return Taken();
  }

  Result<storage::BatchMark> mark = Status(Code::kNotFound, "no operation");

 private:
  [[nodiscard]] rocksdb::Status Taken() const {
    RAFTKV_CHECK(!first_);
    return rocksdb::Status::OK();
  }

  bool first_ = true;
};

void CheckBatch(std::string_view record) {
  const std::optional<storage::BatchMark> mark = storage::BatchMarkOf(record);
  const Result<storage::WalBatch> batch = storage::DecodeWalBatch(record);
  if (!batch.ok()) return CheckRefusal(batch.status(), {Code::kCorruption});
  RAFTKV_CHECK(batch->mark == mark);
  const rocksdb::WriteBatch read((std::string(record)));
  RAFTKV_CHECK(batch->first_sequence <= batch->last_sequence);
  Taker taker;
  const rocksdb::Status taken = read.Iterate(&taker);
  RAFTKV_CHECK(taken.ok(), taken.ToString());
  RAFTKV_CHECK(taker.mark.ok() == mark.has_value());
  RAFTKV_CHECK(!mark.has_value() || *taker.mark == *mark);
}

}  // namespace
}  // namespace raftkv::fuzz

RAFTKV_FUZZ_TARGET(wal) {
  CheckFragments(input);
  CheckScan({{"000001.log", std::string(input)}});
  const std::size_t middle = input.size() / 2;
  CheckScan({{"000001.log", std::string(input.substr(0, middle))},
             {"000002.log", std::string(input.substr(middle))}});
  CheckBatch(input);
}
