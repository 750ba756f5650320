#include "storage/log/wal_scan.h"

#include <algorithm>

#include <rocksdb/slice.h>
#include <rocksdb/write_batch.h>

#include "storage/log/crc32c.h"
#include "storage/log/log_format.h"

namespace raftkv::storage {

namespace {

constexpr std::size_t kWalBlockBytes = 32 * 1024;
constexpr std::size_t kFragmentHeaderBytes = 4 + 2 + 1;
/// Disks write one whole or not at all; the smallest that there are.
constexpr std::size_t kSectorBytes = 512;
/// Of the representation of a WriteBatch; an empty one has nothing else.
constexpr std::size_t kBatchHeaderBytes = 8 + 4;

enum FragmentType : unsigned char { kZero = 0, kFull = 1, kFirst = 2, kMiddle = 3, kLast = 4 };

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

/// What stands at a place of a file.
struct Fragment {
  enum class Kind : std::uint8_t { kIntact, kPadding, kEnd, kCutShort, kBroken };
  Kind kind = Kind::kBroken;
  unsigned char type = kZero;
  std::string_view payload;
  /// Bytes to the next fragment, for kIntact and kPadding; for kBroken to where it ends at most.
  std::size_t size = 0;
};

Fragment ReadFragment(std::string_view file, std::size_t at) {
  Fragment fragment;
  const std::size_t in_file = file.size() - at;
  const std::size_t in_block = kWalBlockBytes - at % kWalBlockBytes;
  if (in_file == 0) {
    fragment.kind = Fragment::Kind::kEnd;
    return fragment;
  }
  if (in_block < kFragmentHeaderBytes) {
    fragment.kind = Fragment::Kind::kPadding;
    fragment.size = std::min(in_block, in_file);
    return fragment;
  }
  if (in_file < kFragmentHeaderBytes) {
    fragment.kind = Fragment::Kind::kCutShort;
    return fragment;
  }
  fragment.size = std::min(in_block, in_file);
  const auto* p = reinterpret_cast<const unsigned char*>(file.data() + at);
  const std::uint32_t crc =
      static_cast<std::uint32_t>(p[0]) | static_cast<std::uint32_t>(p[1]) << 8 |
      static_cast<std::uint32_t>(p[2]) << 16 | static_cast<std::uint32_t>(p[3]) << 24;
  const std::size_t length = static_cast<std::size_t>(p[4]) | static_cast<std::size_t>(p[5]) << 8;
  fragment.type = p[6];
  if (fragment.type < kFull || fragment.type > kLast || length > in_block - kFragmentHeaderBytes) {
    return fragment;
  }
  // The CRC covers type and payload, not the length: a wrong length can look like a short file.
  const std::size_t there = std::min(length, in_file - kFragmentHeaderBytes);
  const bool fits = MaskedCrc32c(file.substr(at + 6, 1 + there)) == crc;
  if (there < length) {
    fragment.kind = fits ? Fragment::Kind::kBroken : Fragment::Kind::kCutShort;
    return fragment;
  }
  fragment.size = kFragmentHeaderBytes + length;
  if (!fits) return fragment;
  fragment.kind = Fragment::Kind::kIntact;
  fragment.payload = file.substr(at + kFragmentHeaderBytes, length);
  return fragment;
}

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
    const bool begins = fragment.type == kFull || fragment.type == kFirst;
    const bool ends = fragment.type == kFull || fragment.type == kLast;
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
      const bool begins = fragment.type == kFull || fragment.type == kFirst;
      if (begins) {
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
      if (fragment.type == kFull || fragment.type == kLast) batch.reset();
      at += fragment.size;
    }
  }

  const std::uint64_t flushed_;
  WalScan scan_;
  /// The batch that is being put together from fragments.
  std::optional<std::string> batch_;
};

}  // namespace

bool LacksASector(std::string_view stored, std::size_t begin, std::size_t end) {
  // All of its last sector: what is behind it there was written with it, or later.
  end = std::min((end + kSectorBytes - 1) / kSectorBytes * kSectorBytes, stored.size());
  while (begin < end) {
    const std::size_t next = std::min((begin / kSectorBytes + 1) * kSectorBytes, end);
    const std::string_view part = stored.substr(begin, next - begin);
    if (part.find_first_not_of('\0') == std::string_view::npos) return true;
    begin = next;
  }
  return false;
}

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
