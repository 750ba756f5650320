#include "storage/log/wal_scan.h"

#include <algorithm>

#include <rocksdb/slice.h>
#include <rocksdb/write_batch.h>

#include "storage/disk/log_file.h"
#include "storage/log/log_format.h"

namespace raftkv::storage {

namespace {

/// Of the representation of a WriteBatch; an empty one has nothing else.
constexpr std::size_t kBatchHeaderBytes = 8 + 4;

/// Finds the batch mark, which is the first put of every batch.
class MarkFinder final : public rocksdb::WriteBatch::Handler {
 public:
  rocksdb::Status PutCF(std::uint32_t, const rocksdb::Slice& key,
                        const rocksdb::Slice& value) override {
    if (key == rocksdb::Slice(kBatchKey.data(), kBatchKey.size())) {
      Result<BatchMark> decoded = DecodeBatchMark(std::string_view(value.data(), value.size()));
      if (decoded.ok()) mark = *decoded;
    }
    done_ = true;
    return rocksdb::Status::OK();
  }
  bool Continue() override { return !done_; }

  std::optional<BatchMark> mark;

 private:
  bool done_ = false;
};

class Scanner {
 public:
  explicit Scanner(std::uint64_t flushed) : flushed_(flushed) {}

  WalScan Scan(const std::vector<WalFile>& files) {
    for (const WalFile& file : files) {
      std::size_t at = 0;
      batch_.reset();
      // A process that is killed while it writes to a file has not begun the next one.
      if (scan_.state == WalState::kCutShort && !file.content.empty()) {
        scan_.state = WalState::kTorn;
      }
      if (scan_.state == WalState::kWhole) at = ScanIntact(file);
      if (scan_.state != WalState::kWhole) ScanBehind(file, at);
      if (scan_.state == WalState::kDamaged) break;
    }
    return scan_;
  }

 private:
  void Found(WalState state, const WalFile& file, std::size_t at, const std::string& what) {
    scan_.state = state;
    scan_.where = file.name + " at " + std::to_string(at) + ": " + what;
  }

  /// Reads fragments one after the other; returns where the intact ones end.
  std::size_t ScanIntact(const WalFile& file) {
    std::size_t at = 0;
    while (true) {
      const Fragment fragment = ReadFragment(file.content, at);
      switch (fragment.kind) {
        case Fragment::Kind::kEnd:
          if (batch_.has_value()) Found(WalState::kCutShort, file, at, "a batch has no end");
          return at;
        case Fragment::Kind::kCutShort:
          Found(WalState::kCutShort, file, at, "a fragment is truncated");
          return at;
        case Fragment::Kind::kBroken:
          Found(WalState::kTorn, file, at, "a fragment is broken");
          scan_.broken = BrokenFragment{file.name, at, at + fragment.size};
          return at;
        case Fragment::Kind::kPadding: break;
        case Fragment::Kind::kIntact:
          if (!Take(fragment)) {
            const bool out_of_order = scan_.state == WalState::kWhole;
            Found(out_of_order ? WalState::kTorn : scan_.state, file, at,
                  out_of_order ? "a fragment is out of order" : "batches are missing before it");
            return at;
          }
          break;
      }
      at += fragment.size;
    }
  }

  /// Are all that are missing before this batch such that a power cut may have taken them?
  [[nodiscard]] bool OnlyUnsyncedLost(const BatchMark& mark) const {
    const std::uint64_t known = std::max(scan_.last_batch, flushed_);
    return mark.number > known + 1 && mark.number - 1 - mark.unsynced <= known;
  }

  /// Adds an intact fragment to the batch; false: it does not belong here (state as it was), or
  /// batches are missing before the one that it ends (state kTorn or kDamaged).
  bool Take(const Fragment& fragment) {
    const bool begins = fragment.begins();
    const bool ends = fragment.ends();
    if (begins == batch_.has_value()) return false;
    if (begins) batch_.emplace();
    batch_->append(fragment.payload);
    if (!ends) return true;
    const std::optional<BatchMark> mark = BatchMarkOf(*batch_);
    const bool empty = batch_->size() == kBatchHeaderBytes;
    batch_.reset();
    // RocksDB's own, at the beginning of the first file after a cut.
    if (empty) return true;
    if (mark.has_value() && OnlyUnsyncedLost(*mark)) {
      scan_.state = WalState::kTorn;
      return false;
    }
    if (!mark.has_value() || (scan_.last_batch != 0 && mark->number != scan_.last_batch + 1)) {
      scan_.state = WalState::kDamaged;
      return false;
    }
    if (scan_.first_batch == 0) scan_.first_batch = mark->number;
    scan_.last_batch = mark->number;
    return true;
  }

  /// Looks for the beginning of a later batch, or a whole one, at every offset from `at` on.
  void ScanBehind(const WalFile& file, std::size_t at) {
    const std::string_view content = file.content;
    std::optional<std::string> batch;
    while (at < content.size()) {
      const Fragment fragment = ReadFragment(content, at);
      if (fragment.kind != Fragment::Kind::kIntact) {
        ++at;
        continue;
      }
      if (fragment.begins()) {
        batch.emplace(fragment.payload);
      } else if (batch.has_value()) {
        batch->append(fragment.payload);
      }
      const std::optional<BatchMark> mark = batch.has_value() ? BatchMarkOf(*batch) : std::nullopt;
      if (mark.has_value() && mark->number > scan_.last_batch) {
        if (!OnlyUnsyncedLost(*mark)) {
          Found(WalState::kDamaged, file, at,
                "batch " + std::to_string(mark->number) + " is after a broken place, batch " +
                    std::to_string(scan_.last_batch + 1) + " was lost before it");
          return;
        }
        scan_.state = WalState::kTorn;
      }
      if (fragment.ends()) batch.reset();
      at += fragment.size;
    }
  }

  const std::uint64_t flushed_;
  WalScan scan_;
  /// The batch that is being put together from fragments.
  std::optional<std::string> batch_;
};

}  // namespace

std::optional<BatchMark> BatchMarkOf(std::string_view batch) {
  if (batch.size() <= kBatchHeaderBytes) return std::nullopt;
  // Enough for the mark; the rest may be long or missing.
  rocksdb::WriteBatch beginning(std::string(batch.substr(0, 128)));
  MarkFinder finder;
  beginning.Iterate(&finder).PermitUncheckedError();
  return finder.mark;
}

WalScan ScanWal(const std::vector<WalFile>& files, std::uint64_t flushed) {
  return Scanner(flushed).Scan(files);
}

}  // namespace raftkv::storage
