// What stands at a place of a file in RocksDB's log format: a write-ahead log, or a MANIFEST?
//
// Such a file consists of blocks of 32 KiB, and these of fragments: CRC-32C of the rest, length u16
// and type u8, all little-endian, then the payload. A record is one fragment or, over blocks,
// several.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace raftkv::storage {

/// What stands at a place of a file.
struct Fragment {
  enum class Kind : std::uint8_t { kIntact, kPadding, kEnd, kCutShort, kBroken };
  Kind kind = Kind::kBroken;
  unsigned char type = 0;
  std::string_view payload;
  /// Bytes to the next fragment, for kIntact and kPadding; for kBroken to where it ends at most.
  std::size_t size = 0;

  /// Of an intact one: whether it is the first, or the last, of its record.
  [[nodiscard]] bool begins() const;
  [[nodiscard]] bool ends() const;
};

/// `at` is where a fragment may begin, `file.size()` at most.
Fragment ReadFragment(std::string_view file, std::size_t at);

/// Whether a power cut may have left a fragment like this: one of its sectors, or its part of a
/// sector, was never written, so there are zeros. `stored`: the file as it is on disk. An
/// interrupted write lacks whole sectors; a byte that changed later does not.
bool LacksASector(std::string_view stored, std::size_t begin, std::size_t end);

}  // namespace raftkv::storage
