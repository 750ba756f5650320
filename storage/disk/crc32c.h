// Is a fragment of a log file whole? RocksDB guards each with a masked CRC-32C.
#pragma once

#include <cstdint>
#include <string_view>

namespace raftkv::storage {

std::uint32_t Crc32c(std::string_view bytes);
/// As it stands in the file: rotated and offset, so that a CRC of bytes that hold CRCs stays
/// useful.
std::uint32_t MaskedCrc32c(std::string_view bytes);

}  // namespace raftkv::storage
