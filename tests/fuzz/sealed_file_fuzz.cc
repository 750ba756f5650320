// Sealed files: whatever the bytes, none is handed out that was not sealed with the key.
#include <algorithm>
#include <cstring>
#include <string>

#include "storage/cipher/sealed_file.h"
#include "tests/fuzz/fuzz.h"

namespace raftkv::fuzz {
namespace {

const storage::Secret& Key() {
  static const storage::Secret key = [] {
    const unsigned char raw[storage::Secret::kBytes] = {1, 2, 3};
    return storage::Secret(raw);
  }();
  return key;
}

/// What can be read of it, to its end.
Result<std::string> ReadSealed(std::string_view bytes) {
  auto opened = storage::SealedReader::Open(Key(), [&bytes](char* to, std::size_t size) {
    const std::size_t count = std::min(size, bytes.size());
    if (count > 0) std::memcpy(to, bytes.data(), count);
    bytes.remove_prefix(count);
    return Result<std::size_t>(count);
  });
  if (!opened.ok()) return opened.status();
  std::string plain;
  while (true) {
    const Result<std::string_view> next = (*opened)->Next();
    if (!next.ok()) return next.status();
    if (next->empty()) return plain;
    plain.append(*next);
  }
}

void CheckDamage(const Status& refused) {
  CheckRefusal(refused, {Code::kCorruption, Code::kVersionMismatch, Code::kPermissionDenied});
}

}  // namespace
}  // namespace raftkv::fuzz

RAFTKV_FUZZ_TARGET(sealed_file) {
  const Result<std::string> read = ReadSealed(input);
  if (!read.ok()) CheckDamage(read.status());
  // The input as what is sealed: it is read as it was, and not once a byte of it has changed.
  std::string sealed;
  storage::SealedWriter writer(Key(), [&sealed](std::string_view bytes) {
    sealed.append(bytes);
    return Status::Ok();
  });
  RAFTKV_CHECK(writer.Append(input).ok());
  RAFTKV_CHECK(writer.Finish().ok());
  const Result<std::string> again = ReadSealed(sealed);
  RAFTKV_CHECK(again.ok(), again.status().ToString());
  RAFTKV_CHECK(*again == input);
  const std::size_t at =
      (input.empty() ? 0 : static_cast<unsigned char>(input[0]) * 31U + input.size()) %
      sealed.size();
  sealed[at] = static_cast<char>(sealed[at] ^ 1);
  const Result<std::string> damaged = ReadSealed(sealed);
  RAFTKV_CHECK(!damaged.ok(), at);
  CheckDamage(damaged.status());
}
