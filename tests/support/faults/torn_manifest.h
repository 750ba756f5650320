// What may a power cut leave behind the last synced record of a database's MANIFEST?
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "storage/disk/crc32c.h"
#include "tests/support/faults/crash_fs.h"

namespace raftkv::test {

/// The MANIFEST of the database in `folder`.
inline std::string ManifestPath(const CrashFs& fs, const std::string& folder) {
  std::string name = fs.Content(folder + "/CURRENT");
  while (name.ends_with('\n')) name.pop_back();
  return folder + "/" + name;
}

/// As RocksDB writes it; `type` 1: a whole record, 2 its beginning, 4 its end.
inline std::string LogFragment(unsigned char type, const std::string& payload) {
  std::string guarded(1, static_cast<char>(type));
  guarded += payload;
  const std::uint32_t crc = storage::MaskedCrc32c(guarded);
  std::string out;
  for (int i = 0; i < 4; ++i) out.push_back(static_cast<char>(crc >> (8 * i)));
  out.push_back(static_cast<char>(payload.size() & 0xff));
  out.push_back(static_cast<char>(payload.size() >> 8));
  return out + guarded;
}

/// With the first whole sector behind `at` unwritten.
inline std::string WithoutASector(std::string content, std::size_t at) {
  constexpr std::size_t kSectorBytes = 512;
  const std::size_t begin = (at / kSectorBytes + 1) * kSectorBytes;
  std::fill_n(content.begin() + static_cast<std::ptrdiff_t>(begin),
              std::min(kSectorBytes, content.size() - begin), '\0');
  return content;
}

/// `manifest` and a record of 1,500 bytes that lacks a sector.
inline std::string WithTornRecord(const std::string& manifest) {
  return WithoutASector(manifest + LogFragment(1, std::string(1500, 'r')), manifest.size());
}

/// The same of a record that goes on in the next block, where it lacks a sector.
inline std::string WithTornEnd(const std::string& manifest) {
  constexpr std::size_t kBlockBytes = 32 * 1024;
  constexpr std::size_t kHeaderBytes = 7;
  const std::size_t room = kBlockBytes - manifest.size() % kBlockBytes - kHeaderBytes;
  const std::string begun = manifest + LogFragment(2, std::string(room, 'r'));
  return WithoutASector(begun + LogFragment(4, std::string(1500, 'r')), begun.size());
}

}  // namespace raftkv::test
