#include "storage/disk/log_file.h"

#include <algorithm>

#include "storage/disk/crc32c.h"

namespace raftkv::storage {

namespace {

constexpr std::size_t kBlockBytes = 32 * 1024;
constexpr std::size_t kFragmentHeaderBytes = 4 + 2 + 1;
/// Disks write one whole or not at all; the smallest that there are.
constexpr std::size_t kSectorBytes = 512;

enum FragmentType : unsigned char { kFull = 1, kFirst = 2, kMiddle = 3, kLast = 4 };

}  // namespace

bool Fragment::begins() const { return type == kFull || type == kFirst; }
bool Fragment::ends() const { return type == kFull || type == kLast; }

Fragment ReadFragment(std::string_view file, std::size_t at) {
  Fragment fragment;
  const std::size_t in_file = file.size() - at;
  const std::size_t in_block = kBlockBytes - at % kBlockBytes;
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

}  // namespace raftkv::storage
