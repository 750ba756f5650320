#include "storage/log/wal_scan.h"

#include <algorithm>
#include <string_view>

#include "storage/disk/log_file.h"
#include "storage/log/wal_batch.h"

namespace raftkv::storage {

namespace {

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
      if (scan_.state != WalState::kWhole && !malformed_) ScanBehind(file, at);
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
          if (const std::string wrong = Take(fragment); !wrong.empty()) {
            Found(scan_.state == WalState::kWhole ? WalState::kTorn : scan_.state, file, at, wrong);
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

  /// Adds an intact fragment to the batch. Not empty, with what is wrong: it does not belong here
  /// (state as it was), or not the batch that it ends (state kTorn or kDamaged).
  std::string Take(const Fragment& fragment) {
    const bool begins = fragment.begins();
    const bool ends = fragment.ends();
    if (begins == batch_.has_value()) return "a fragment is out of order";
    if (begins) batch_.emplace();
    batch_->append(fragment.payload);
    if (!ends) return "";
    const Result<WalBatch> batch = DecodeWalBatch(*batch_);
    batch_.reset();
    if (!batch.ok()) return Malformed(batch.status().message());
    if (!batch->mark.has_value()) return "";
    const BatchMark& mark = *batch->mark;
    const bool follows = scan_.last_batch == 0 || mark.number == scan_.last_batch + 1;
    if (OnlyUnsyncedLost(mark) || !follows) {
      scan_.state = OnlyUnsyncedLost(mark) ? WalState::kTorn : WalState::kDamaged;
      return "batches are missing before it";
    }
    if (scan_.last_batch != 0 && batch->first_sequence <= last_sequence_) {
      return Malformed("a record whose sequence number is not above that of the one before it");
    }
    if (scan_.first_batch == 0) scan_.first_batch = mark.number;
    scan_.last_batch = mark.number;
    last_sequence_ = batch->last_sequence;
    return "";
  }

  std::string Malformed(std::string what) {
    scan_.state = WalState::kDamaged;
    malformed_ = true;
    return what;
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
  /// Of the last intact batch before the first broken place.
  std::uint64_t last_sequence_ = 0;
  /// There is a batch that the log never wrote: what follows it makes no difference.
  bool malformed_ = false;
};

}  // namespace

WalScan ScanWal(const std::vector<WalFile>& files, std::uint64_t flushed) {
  return Scanner(flushed).Scan(files);
}

}  // namespace raftkv::storage
