#include "storage/log_format.h"

#include <xxhash.h>

#include <array>
#include <initializer_list>
#include <optional>

#include "lib/base/bytes.h"

namespace raftkv::storage {

namespace {

// version u8, kind u8, term u64, time u64, batch u64, checksum u64
constexpr std::size_t kChecksumOffset = 1 + 1 + 8 + 8 + 8;
constexpr std::size_t kHeaderBytes = kChecksumOffset + 8;

Status Damaged(std::string_view what) {
  return Status(Code::kCorruption, std::string(what) + " in the log database is damaged");
}

/// Of the payload, seeded with that of the index and the header.
std::uint64_t EntryChecksum(Index index, std::string_view header, std::string_view payload) {
  const std::string where = EncodeLogKey(index) + std::string(header);
  return XXH3_64bits_withSeed(payload.data(), payload.size(),
                              XXH3_64bits(where.data(), where.size()));
}

std::string EncodeNumbers(std::initializer_list<std::uint64_t> numbers) {
  std::string out(1, static_cast<char>(kValueFormatVersion));
  for (const std::uint64_t number : numbers) AppendBigEndian64(out, number);
  return out;
}

/// Takes the version off the front of `value`.
Status TakeVersion(std::string_view& value, std::string_view what) {
  if (value.empty()) return Damaged(what);
  const auto version = static_cast<std::uint8_t>(value.front());
  value.remove_prefix(1);
  if (version == kValueFormatVersion) return Status::Ok();
  if (version == 0) return Damaged(what);
  return Status(Code::kVersionMismatch, std::string(what) + " has format version " +
                                            std::to_string(version) + ", this program knows " +
                                            std::to_string(kValueFormatVersion) +
                                            ": use the newer program");
}

template <std::size_t kCount>
Result<std::array<std::uint64_t, kCount>> DecodeNumbers(std::string_view value,
                                                        std::string_view what) {
  if (Status version = TakeVersion(value, what); !version.ok()) return version;
  if (value.size() != kCount * 8) return Damaged(what);
  std::array<std::uint64_t, kCount> numbers;
  for (std::uint64_t& number : numbers) number = *TakeBigEndian64(value);
  return numbers;
}

}  // namespace

std::string EncodeLogKey(Index index) {
  std::string key;
  AppendBigEndian64(key, index.value);
  return key;
}

Result<Index> DecodeLogKey(std::string_view key) {
  const std::optional<std::uint64_t> index = TakeBigEndian64(key);
  if (!index.has_value() || !key.empty()) return Damaged("a log key");
  return Index(*index);
}

std::string EncodeEntry(const raft::Entry& entry, std::uint64_t batch_number) {
  std::string out;
  out.reserve(kHeaderBytes + entry.payload.size());
  out.push_back(static_cast<char>(kValueFormatVersion));
  out.push_back(static_cast<char>(entry.kind));
  AppendBigEndian64(out, entry.term.value);
  AppendBigEndian64(out, entry.time_ms);
  AppendBigEndian64(out, batch_number);
  AppendBigEndian64(out, EntryChecksum(entry.index, out, entry.payload.view()));
  out.append(entry.payload.view());
  return out;
}

Result<StoredEntry> DecodeEntry(Index index, std::string_view value) {
  const std::string what = "log entry " + std::to_string(index.value);
  if (value.size() < kHeaderBytes) return Damaged(what);
  const std::string_view header = value.substr(0, kChecksumOffset);
  std::string_view rest = value;
  if (Status version = TakeVersion(rest, what); !version.ok()) return version;
  const auto kind = static_cast<std::uint8_t>(rest.front());
  rest.remove_prefix(1);
  StoredEntry stored;
  stored.entry.index = index;
  stored.entry.term = Term(*TakeBigEndian64(rest));
  stored.entry.time_ms = *TakeBigEndian64(rest);
  stored.batch_number = *TakeBigEndian64(rest);
  const std::uint64_t checksum = *TakeBigEndian64(rest);
  if (checksum != EntryChecksum(index, header, rest)) return Damaged(what);
  if (kind > static_cast<std::uint8_t>(raft::EntryKind::kConfiguration)) {
    return Status(Code::kVersionMismatch, what + " is of unknown kind " + std::to_string(kind) +
                                              ": a newer program wrote it, use that");
  }
  stored.entry.kind = static_cast<raft::EntryKind>(kind);
  if (!rest.empty()) stored.entry.payload = Bytes(std::string(rest));
  return stored;
}

std::string EncodeFormatVersion(std::uint32_t version) {
  std::string out;
  AppendBigEndian32(out, version);
  return out;
}

Result<std::uint32_t> DecodeFormatVersion(std::string_view value) {
  const std::optional<std::uint32_t> version = TakeBigEndian32(value);
  if (!version.has_value() || !value.empty()) return Damaged("the format version");
  return *version;
}

std::string EncodeIdentity(const Identity& identity) {
  return EncodeNumbers({identity.member.value, identity.cluster.value}) + identity.name;
}

Result<Identity> DecodeIdentity(std::string_view value) {
  if (Status version = TakeVersion(value, "the identity"); !version.ok()) return version;
  const std::optional<std::uint64_t> member = TakeBigEndian64(value);
  const std::optional<std::uint64_t> cluster = TakeBigEndian64(value);
  if (!member || !cluster || *member == 0 || value.empty()) return Damaged("the identity");
  return Identity{NodeId(*member), ClusterId(*cluster), std::string(value)};
}

std::string EncodeBoot(const node::Boot& boot) { return EncodeNumbers({boot.counter, boot.nonce}); }

Result<node::Boot> DecodeBoot(std::string_view value) {
  Result<std::array<std::uint64_t, 2>> numbers = DecodeNumbers<2>(value, "a boot counter");
  if (!numbers.ok()) return numbers.status();
  return node::Boot{(*numbers)[0], (*numbers)[1]};
}

std::string EncodeHardState(const raft::HardState& state) {
  return EncodeNumbers({state.term.value, state.vote.value, state.commit.value});
}

Result<raft::HardState> DecodeHardState(std::string_view value) {
  Result<std::array<std::uint64_t, 3>> numbers = DecodeNumbers<3>(value, "the hard state");
  if (!numbers.ok()) return numbers.status();
  return raft::HardState{Term((*numbers)[0]), NodeId((*numbers)[1]), Index((*numbers)[2])};
}

std::string EncodeBatchMark(const BatchMark& mark) {
  return EncodeNumbers({mark.number, mark.last_index.value});
}

Result<BatchMark> DecodeBatchMark(std::string_view value) {
  Result<std::array<std::uint64_t, 2>> numbers = DecodeNumbers<2>(value, "the batch number");
  if (!numbers.ok()) return numbers.status();
  return BatchMark{(*numbers)[0], Index((*numbers)[1])};
}

std::string EncodeBase(const StoredBase& base) {
  std::string out =
      EncodeNumbers({base.last.index.value, base.last.term.value, base.configuration_index.value});
  out.append(base.configuration.view());
  return out;
}

Result<StoredBase> DecodeBase(std::string_view value) {
  if (Status version = TakeVersion(value, "the base of the log"); !version.ok()) return version;
  const std::optional<std::uint64_t> index = TakeBigEndian64(value);
  const std::optional<std::uint64_t> term = TakeBigEndian64(value);
  const std::optional<std::uint64_t> configured = TakeBigEndian64(value);
  const bool sound = index && term && configured && *term > 0 && *configured > 0 &&
                     *configured <= *index && !value.empty();
  if (!sound) return Damaged("the base of the log");
  return StoredBase{{Index(*index), Term(*term)}, Index(*configured), Bytes(std::string(value))};
}

std::string EncodeBytes(std::string_view bytes) {
  std::string out(1, static_cast<char>(kValueFormatVersion));
  out.append(bytes);
  return out;
}

Result<std::string> DecodeBytes(std::string_view value, std::string_view what) {
  if (Status version = TakeVersion(value, what); !version.ok()) return version;
  return std::string(value);
}

std::string PeerBootKey(NodeId peer) {
  std::string key(kPeerBootPrefix);
  AppendBigEndian64(key, peer.value);
  return key;
}

Result<NodeId> DecodePeerBootKey(std::string_view key) {
  if (key.substr(0, kPeerBootPrefix.size()) != kPeerBootPrefix) return Damaged("a peer's key");
  key.remove_prefix(kPeerBootPrefix.size());
  const std::optional<std::uint64_t> peer = TakeBigEndian64(key);
  if (!peer.has_value() || !key.empty()) return Damaged("a peer's key");
  return NodeId(*peer);
}

}  // namespace raftkv::storage
