// The values of the log database: what is taken is written again, byte for byte.
#include <string>

#include "storage/log/log_format.h"
#include "tests/fuzz/fuzz.h"

namespace raftkv::fuzz {
namespace {

/// `encode` is the other direction of `decoded`.
template <class T, class Encode>
void CheckSame(std::string_view bytes, const Result<T>& decoded, const Encode& encode) {
  if (!decoded.ok()) {
    return CheckRefusal(decoded.status(), {Code::kCorruption, Code::kVersionMismatch});
  }
  RAFTKV_CHECK(encode(*decoded) == bytes);
}

/// With the checksum that it has, and with the right one, which chance would not find.
void CheckEntry(std::string_view bytes) {
  const auto encode = [](const storage::StoredEntry& stored) {
    return storage::EncodeEntry(stored.entry, stored.batch_number);
  };
  const Index index(1);
  CheckSame(bytes, storage::DecodeEntry(index, bytes), encode);
  if (bytes.size() < storage::kMaxEntryHeaderBytes) return;
  raft::Entry entry;
  entry.index = index;
  entry.term = Term(static_cast<unsigned char>(bytes[2]));
  entry.kind = static_cast<raft::EntryKind>(bytes[1]);
  entry.payload = Bytes(std::string(bytes.substr(storage::kMaxEntryHeaderBytes)));
  entry.clock_ms = static_cast<unsigned char>(bytes[4]);
  const std::string sealed = storage::EncodeEntry(entry, static_cast<unsigned char>(bytes[3]));
  const Result<storage::StoredEntry> decoded = storage::DecodeEntry(index, sealed);
  CheckSame(sealed, decoded, encode);
  const bool known = static_cast<unsigned char>(bytes[1]) <=
                     static_cast<unsigned char>(raft::EntryKind::kConfiguration);
  RAFTKV_CHECK(decoded.ok() == known, decoded.status().ToString());
  // Of another place it is none.
  RAFTKV_CHECK(!storage::DecodeEntry(Index(2), sealed).ok());
}

/// The first incarnation goes without saying; what says it is read all the same.
void CheckPeerBoot(std::string_view bytes) {
  const Result<node::PeerBoot> boot = storage::DecodePeerBoot(bytes);
  if (!boot.ok()) {
    return CheckRefusal(boot.status(), {Code::kCorruption, Code::kVersionMismatch});
  }
  const Result<node::PeerBoot> again = storage::DecodePeerBoot(storage::EncodePeerBoot(*boot));
  RAFTKV_CHECK(again.ok(), again.status().ToString());
  RAFTKV_CHECK(*again == *boot);
}

}  // namespace
}  // namespace raftkv::fuzz

RAFTKV_FUZZ_TARGET(log_record) {
  using namespace storage;  // NOLINT: one name a line below
  if (input.empty()) return;
  switch (TakeCase(input, 12)) {
    case 0: return CheckEntry(input);
    case 1: return CheckSame(input, DecodeIdentity(input), EncodeIdentity);
    case 2: return CheckSame(input, DecodeBoot(input), EncodeBoot);
    case 3: return CheckPeerBoot(input);
    case 4: return CheckSame(input, DecodeHardState(input), EncodeHardState);
    case 5: return CheckSame(input, DecodeBatchMark(input), EncodeBatchMark);
    case 6: return CheckSame(input, DecodeBase(input), EncodeBase);
    case 7: return CheckSame(input, DecodeHead(input), EncodeHead);
    case 8: return CheckSame(input, DecodeFormatVersion(input), EncodeFormatVersion);
    case 9: return CheckSame(input, DecodeLogKey(input), EncodeLogKey);
    case 10: return CheckSame(input, DecodePeerBootKey(input), PeerBootKey);
    default:
      return CheckSame(input, DecodeBytes(input, "formation"),
                       [](const std::string& bytes) { return EncodeBytes(bytes); });
  }
}
