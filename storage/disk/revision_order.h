// In which order do keys stand in a database that keeps what they were at earlier revisions?
//
// Bytewise by key, and of one key the latest revision first. The revision is RocksDB's user-defined
// timestamp, so RocksDB knows which versions a read may see and which nobody can ask for any more.
// Order and name are those of RocksDB's own comparator for 64-bit timestamps, which has no public
// header in this version.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <rocksdb/comparator.h>
#include <rocksdb/slice.h>

namespace raftkv::storage {

inline constexpr std::size_t kTimestampBytes = 8;

const rocksdb::Comparator* RevisionOrder();

/// As the timestamp of a key, little-endian.
class Timestamp {
 public:
  explicit Timestamp(std::uint64_t revision) {
    for (char& byte : bytes_) {
      byte = static_cast<char>(revision);
      revision >>= 8;
    }
  }
  [[nodiscard]] rocksdb::Slice slice() const { return {bytes_, sizeof(bytes_)}; }

 private:
  char bytes_[kTimestampBytes];
};

/// Of a whole timestamp.
std::uint64_t RevisionOf(const rocksdb::Slice& timestamp);

}  // namespace raftkv::storage
