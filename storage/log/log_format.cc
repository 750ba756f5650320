#include "storage/log/log_format.h"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <optional>

#include "lib/base/bytes.h"

namespace raftkv::storage {

namespace {

// version u8, kind u8, term u64, time u64, batch u64, cluster clock u64 (version 2), checksum u64
constexpr std::size_t kMaxCheckedBytes = kMaxEntryHeaderBytes - 8;

Status DamagedValue(std::string_view what) {
  return Status(Code::kCorruption, std::string(what) + " in the log database is damaged");
}

void StoreBigEndian64(char* out, std::uint64_t value) {
  for (int shift = 56; shift >= 0; shift -= 8) *out++ = static_cast<char>(value >> shift);
}

/// Of the payload, seeded with that of the index and what stands before the checksum in `header`.
std::uint64_t EntryChecksum(Index index, std::string_view header, std::string_view payload) {
  std::array<char, 8 + kMaxCheckedBytes> where;
  StoreBigEndian64(where.data(), index.value);
  std::copy(header.begin(), header.end(), where.data() + 8);
  return XXH3_64bits_withSeed(payload.data(), payload.size(),
                              XXH3_64bits(where.data(), 8 + header.size()));
}

std::string EncodeNumbers(std::initializer_list<std::uint64_t> numbers) {
  std::string out(1, static_cast<char>(kValueFormatVersion));
  for (const std::uint64_t number : numbers) AppendBigEndian64(out, number);
  return out;
}

/// Takes the version off the front of `value`.
Status TakeVersion(std::string_view& value, std::string_view what) {
  if (value.empty()) return DamagedValue(what);
  const auto version = static_cast<std::uint8_t>(value.front());
  value.remove_prefix(1);
  if (version == kValueFormatVersion) return Status::Ok();
  if (version == 0) return DamagedValue(what);
  return Status(Code::kVersionMismatch, std::string(what) + " has format version " +
                                            std::to_string(version) + ", this program knows " +
                                            std::to_string(kValueFormatVersion) +
                                            ": use the newer program");
}

template <std::size_t kCount>
Result<std::array<std::uint64_t, kCount>> DecodeNumbers(std::string_view value,
                                                        std::string_view what) {
  if (Status version = TakeVersion(value, what); !version.ok()) return version;
  if (value.size() != kCount * 8) return DamagedValue(what);
  std::array<std::uint64_t, kCount> numbers;
  for (std::uint64_t& number : numbers) number = *TakeBigEndian64(value);
  return numbers;
}

}  // namespace

std::array<char, 8> LogKeyOf(Index index) {
  std::array<char, 8> key;
  StoreBigEndian64(key.data(), index.value);
  return key;
}

std::string EncodeLogKey(Index index) {
  const std::array<char, 8> key = LogKeyOf(index);
  return std::string(key.data(), key.size());
}

Result<Index> DecodeLogKey(std::string_view key) {
  const std::optional<std::uint64_t> index = TakeBigEndian64(key);
  if (!index.has_value() || !key.empty()) return DamagedValue("a log key");
  return Index(*index);
}

EntryHeader::EntryHeader(const raft::Entry& entry, std::uint64_t batch_number) {
  const bool has_clock = entry.clock_ms != 0;
  bytes[0] = static_cast<char>(has_clock ? kClockedEntryFormatVersion : kValueFormatVersion);
  bytes[1] = static_cast<char>(entry.kind);
  size = 2;
  const auto add = [this](std::uint64_t number) {
    StoreBigEndian64(&bytes[size], number);
    size += 8;
  };
  add(entry.term.value);
  add(entry.time_ms);
  add(batch_number);
  if (has_clock) add(entry.clock_ms);
  add(EntryChecksum(entry.index, view(), entry.payload.view()));
}

std::string EncodeEntry(const raft::Entry& entry, std::uint64_t batch_number) {
  const EntryHeader header(entry, batch_number);
  std::string out(header.view());
  out.append(entry.payload.view());
  return out;
}

Result<StoredEntry> DecodeEntry(Index index, std::string_view value) {
  const std::string what = "log entry " + std::to_string(index.value);
  std::string_view rest = value;
  const bool has_clock = !value.empty() && value.front() == kClockedEntryFormatVersion;
  if (has_clock) {
    rest.remove_prefix(1);
  } else if (Status version = TakeVersion(rest, what); !version.ok()) {
    return version;
  }
  const std::size_t header_bytes = kMaxEntryHeaderBytes - (has_clock ? 0 : 8);
  if (value.size() < header_bytes) return DamagedValue(what);
  const std::string_view header = value.substr(0, header_bytes - 8);
  const auto kind = static_cast<std::uint8_t>(rest.front());
  rest.remove_prefix(1);
  StoredEntry stored;
  stored.entry.index = index;
  stored.entry.term = Term(*TakeBigEndian64(rest));
  stored.entry.time_ms = *TakeBigEndian64(rest);
  stored.batch_number = *TakeBigEndian64(rest);
  if (has_clock) stored.entry.clock_ms = *TakeBigEndian64(rest);
  const std::uint64_t checksum = *TakeBigEndian64(rest);
  if (checksum != EntryChecksum(index, header, rest)) return DamagedValue(what);
  if (kind > static_cast<std::uint8_t>(raft::EntryKind::kConfiguration)) {
    return Status(Code::kVersionMismatch,
                  what + " is of unknown kind " + std::to_string(kind) +
                      ": it was written by a newer program; use that program");
  }
  // 0 has another form.
  if (has_clock && stored.entry.clock_ms == 0) return DamagedValue(what);
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
  if (!version.has_value() || !value.empty()) return DamagedValue("the format version");
  return *version;
}

Status CheckFolderVersion(std::uint32_t version, std::uint32_t known) {
  if (version == known) return Status::Ok();
  const std::string what = "the data folder has format version " + std::to_string(version) +
                           ", this program knows " + std::to_string(known);
  if (version > known) return {Code::kVersionMismatch, what + ": use the newer program"};
  return {Code::kVersionMismatch,
          what +
              ": carry the data over, with 'raftkv snapshot save' while the older program serves "
              "it and 'raftkv snapshot restore' of this one into a new folder"};
}

std::string EncodeIdentity(const Identity& identity) {
  return EncodeNumbers({identity.member.value, identity.cluster.value}) + identity.name;
}

Result<Identity> DecodeIdentity(std::string_view value) {
  if (Status version = TakeVersion(value, "the identity"); !version.ok()) return version;
  const std::optional<std::uint64_t> member = TakeBigEndian64(value);
  const std::optional<std::uint64_t> cluster = TakeBigEndian64(value);
  if (!member || !cluster || *member == 0 || value.empty()) return DamagedValue("the identity");
  return Identity{NodeId(*member), ClusterId(*cluster), std::string(value)};
}

std::string EncodeBoot(const node::Boot& boot) { return EncodeNumbers({boot.counter, boot.nonce}); }

Result<node::Boot> DecodeBoot(std::string_view value) {
  Result<std::array<std::uint64_t, 2>> numbers = DecodeNumbers<2>(value, "a boot counter");
  if (!numbers.ok()) return numbers.status();
  return node::Boot{.counter = (*numbers)[0], .nonce = (*numbers)[1]};
}

/// The first incarnation goes without saying, so that an older release reads what it always read.
std::string EncodePeerBoot(const node::PeerBoot& boot) {
  if (boot.incarnation == 1) return EncodeBoot(boot.boot);
  return EncodeNumbers({boot.boot.counter, boot.boot.nonce, boot.incarnation});
}

Result<node::PeerBoot> DecodePeerBoot(std::string_view value) {
  constexpr std::size_t kWithIncarnation = 1 + 3 * 8;
  if (value.size() != kWithIncarnation) {
    Result<node::Boot> boot = DecodeBoot(value);
    if (!boot.ok()) return boot.status();
    return node::PeerBoot{.boot = *boot, .incarnation = 1};
  }
  Result<std::array<std::uint64_t, 3>> numbers = DecodeNumbers<3>(value, "a boot of a peer");
  if (!numbers.ok()) return numbers.status();
  return node::PeerBoot{.boot = {.counter = (*numbers)[0], .nonce = (*numbers)[1]},
                        .incarnation = (*numbers)[2]};
}

std::string EncodeHardState(const raft::HardState& state) {
  return EncodeNumbers({state.term.value, state.vote.value, state.commit.value});
}

Result<raft::HardState> DecodeHardState(std::string_view value) {
  Result<std::array<std::uint64_t, 3>> numbers = DecodeNumbers<3>(value, "the hard state");
  if (!numbers.ok()) return numbers.status();
  return raft::HardState{
      .term = Term((*numbers)[0]), .vote = NodeId((*numbers)[1]), .commit = Index((*numbers)[2])};
}

std::string EncodeBatchMark(const BatchMark& mark) {
  std::string out = EncodeNumbers({mark.number, mark.last_index.value});
  if (mark.unsynced > 0) AppendBigEndian64(out, mark.unsynced);
  return out;
}

Result<BatchMark> DecodeBatchMark(std::string_view value) {
  constexpr std::string_view kWhat = "the batch number";
  if (Status version = TakeVersion(value, kWhat); !version.ok()) return version;
  const std::optional<std::uint64_t> number = TakeBigEndian64(value);
  const std::optional<std::uint64_t> last = TakeBigEndian64(value);
  if (!number || !last) return DamagedValue(kWhat);
  if (value.empty()) return BatchMark{*number, Index(*last)};
  const std::optional<std::uint64_t> unsynced = TakeBigEndian64(value);
  if (!unsynced || *unsynced == 0 || *unsynced >= *number || !value.empty())
    return DamagedValue(kWhat);
  return BatchMark{*number, Index(*last), *unsynced};
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
  if (!sound) return DamagedValue("the base of the log");
  return StoredBase{{Index(*index), Term(*term)}, Index(*configured), Bytes(std::string(value))};
}

std::string EncodeHead(Index first) { return EncodeNumbers({first.value}); }

Result<Index> DecodeHead(std::string_view value) {
  Result<std::array<std::uint64_t, 1>> numbers = DecodeNumbers<1>(value, "the head of the log");
  if (!numbers.ok()) return numbers.status();
  if ((*numbers)[0] == 0) return DamagedValue("the head of the log");
  return Index((*numbers)[0]);
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
  if (key.substr(0, kPeerBootPrefix.size()) != kPeerBootPrefix) return DamagedValue("a peer's key");
  key.remove_prefix(kPeerBootPrefix.size());
  const std::optional<std::uint64_t> peer = TakeBigEndian64(key);
  if (!peer.has_value() || !key.empty()) return DamagedValue("a peer's key");
  return NodeId(*peer);
}

}  // namespace raftkv::storage
