// The record of a data folder: what is taken is written again as it was; one whole copy of two is
// enough.
#include <xxhash.h>

#include "lib/base/bytes.h"
#include "storage/folder/record.h"
#include "tests/fuzz/fuzz.h"

namespace raftkv::fuzz {
namespace {

void CheckOne(std::string_view bytes) {
  const Result<storage::Record> record = storage::DecodeRecord(bytes);
  if (!record.ok()) {
    return CheckRefusal(record.status(), {Code::kCorruption, Code::kVersionMismatch});
  }
  RAFTKV_CHECK(storage::IsRecord(bytes));
  std::string encoded = storage::EncodeRecord(*record);
  for (std::size_t at : {std::size_t{0}, encoded.size() / 3, encoded.size() - 1}) {
    encoded[at] = static_cast<char>(encoded[at] ^ 0x55);
    const Result<storage::Record> again = storage::DecodeRecord(encoded);
    RAFTKV_CHECK(again.ok(), again.status().ToString());
    RAFTKV_CHECK(*again == *record);
    encoded[at] = static_cast<char>(encoded[at] ^ 0x55);
  }
}

}  // namespace
}  // namespace raftkv::fuzz

RAFTKV_FUZZ_TARGET(folder_record) {
  CheckOne(input);
  // With the checksum of what is there, which chance would not find.
  std::string sealed(input);
  AppendBigEndian64(sealed, XXH3_64bits(input.data(), input.size()));
  CheckOne(sealed);
}
