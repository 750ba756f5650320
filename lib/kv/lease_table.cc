#include "lib/kv/lease_table.h"

#include <algorithm>
#include <vector>

#include "lib/base/bytes.h"
#include "lib/base/check.h"
#include "lib/base/hex.h"
#include "lib/base/mutants.h"
#include "lib/base/random.h"
#include "lib/kv/layout.h"
#include "lib/kv/record.h"

namespace raftkv::kv {
namespace {

constexpr std::uint64_t kLeastTtlMs = static_cast<std::uint64_t>(kMinLeaseTtl.count());
constexpr std::uint64_t kMostTtlMs = static_cast<std::uint64_t>(kMaxLeaseTtl.count());

std::string WithId(char prefix, std::uint64_t id) {
  std::string key(1, prefix);
  AppendBigEndian64(key, id);
  return key;
}

/// The first key after all that begin with `prefix` and `id`.
std::string EndAfter(char prefix, std::uint64_t id) {
  return id == UINT64_MAX ? std::string(1, static_cast<char>(prefix + 1)) : WithId(prefix, id + 1);
}

Status DamagedLease() { return {Code::kCorruption, "a record of a lease is damaged"}; }

}  // namespace

Status CheckLeaseTtl(std::uint64_t ttl_ms) {
  if (ttl_ms >= kLeastTtlMs && ttl_ms <= kMostTtlMs) return Status::Ok();
  return {Code::kInvalidArgument,
          "a lease cannot have a time to live of " + std::to_string(ttl_ms) + " ms: it is from " +
              std::to_string(kLeastTtlMs) + " ms to " + std::to_string(kMostTtlMs / 1000) + " s"};
}

Status CheckLeaseId(std::uint64_t id) {
  if (id <= kMaxLeaseId) return Status::Ok();
  return {Code::kInvalidArgument, "a lease cannot have the number " + std::to_string(id) +
                                      ": it is at most " + std::to_string(kMaxLeaseId)};
}

Status NoSuchLease(std::uint64_t id) {
  return {Code::kNotFound, "there is no lease " + Hex(id) + ": it has ended, or never was"};
}

std::string LeaseKey(std::uint64_t id) { return WithId(kLeasePrefix, id); }
std::string LeasesFrom(std::uint64_t id) { return WithId(kLeasePrefix, id); }
std::string EndOfLeases() { return std::string(1, static_cast<char>(kLeasePrefix + 1)); }
std::string AttachedPrefix(std::uint64_t lease) { return WithId(kAttachedPrefix, lease); }
std::string EndOfAttached(std::uint64_t lease) { return EndAfter(kAttachedPrefix, lease); }
std::string AttachedKey(std::uint64_t lease, std::string_view key) {
  return AttachedPrefix(lease).append(key);
}

std::string EncodeLease(const Lease& lease) {
  std::string record(1, static_cast<char>(kRecordFormatVersion));
  AppendBigEndian64(record, lease.ttl_ms);
  AppendBigEndian64(record, lease.deadline_ms);
  return record;
}

Result<Lease> DecodeLease(std::string_view engine_key, std::string_view record) {
  if (Status status = TakeFormatVersion(record, "a lease"); !status.ok()) return status;
  if (engine_key.empty() || engine_key.front() != kLeasePrefix) return DamagedLease();
  engine_key.remove_prefix(1);
  const auto id = TakeBigEndian64(engine_key);
  const auto ttl_ms = TakeBigEndian64(record);
  const auto deadline_ms = TakeBigEndian64(record);
  if (!id || !ttl_ms || !deadline_ms) return DamagedLease();
  if (*id == 0 || !engine_key.empty() || !record.empty()) return DamagedLease();
  if (!CheckLeaseTtl(*ttl_ms).ok() || !CheckLeaseId(*id).ok() || *deadline_ms == kNoDeadline) {
    return DamagedLease();
  }
  return Lease{.id = *id, .ttl_ms = *ttl_ms, .deadline_ms = *deadline_ms};
}

Status LeaseTable::Load(View& view) {
  RAFTKV_CHECK(leases_.empty(), leases_.size());
  if (RAFTKV_MUTANT(kLeasesNotLoaded)) return Status::Ok();
  Status damage;
  Status status = view.Scan(LeasesFrom(0), EndOfLeases(), [&](auto key, auto record) {
    const auto lease = DecodeLease(key, record);
    damage = lease.status();
    if (!lease.ok()) return false;
    leases_.emplace(lease->id, *lease);
    by_deadline_.emplace(lease->deadline_ms, lease->id);
    return true;
  });
  return status.ok() ? damage : status;
}

void LeaseTable::BeginEntry(Index index, std::uint64_t clock_ms) {
  RAFTKV_CHECK(clock_ms >= clock_ms_, clock_ms, clock_ms_);
  index_ = index;
  clock_ms_ = clock_ms;
  drawn_ = 0;
}

const Lease* LeaseTable::Find(std::uint64_t id) const {
  const auto found = leases_.find(id);
  return found == leases_.end() ? nullptr : &found->second;
}

std::uint64_t LeaseTable::NewId() {
  // Spread, so that one who mistypes a number does not meet a neighbour's lease.
  Random dice(Random(index_.value).Next() + drawn_++);
  std::uint64_t id = dice.Next() & kMaxLeaseId;
  while (id == 0 || Find(id) != nullptr) id = dice.Next() & kMaxLeaseId;
  return id;
}

void LeaseTable::SetDeadline(Lease& lease) {
  by_deadline_.erase({lease.deadline_ms, lease.id});
  lease.deadline_ms = clock_ms_ + lease.ttl_ms;
  by_deadline_.emplace(lease.deadline_ms, lease.id);
  RAFTKV_CHECK(by_deadline_.size() == leases_.size(), by_deadline_.size(), leases_.size());
}

const Lease& LeaseTable::Grant(std::uint64_t id, std::uint64_t ttl_ms) {
  RAFTKV_CHECK(id != 0);
  const auto [at, is_new] = leases_.emplace(id, Lease{.id = id, .ttl_ms = ttl_ms});
  RAFTKV_CHECK(is_new, id);
  SetDeadline(at->second);
  return at->second;
}

const Lease& LeaseTable::Renew(std::uint64_t id) {
  const auto found = leases_.find(id);
  RAFTKV_CHECK(found != leases_.end(), id);
  SetDeadline(found->second);
  return found->second;
}

void LeaseTable::RenewAll() {
  for (auto& [id, lease] : leases_) SetDeadline(lease);
}

void LeaseTable::Remove(std::uint64_t id) {
  const auto found = leases_.find(id);
  RAFTKV_CHECK(found != leases_.end(), id);
  by_deadline_.erase({found->second.deadline_ms, id});
  leases_.erase(found);
  RAFTKV_CHECK(by_deadline_.size() == leases_.size(), by_deadline_.size(), leases_.size());
}

std::uint64_t LeaseTable::First() const {
  return by_deadline_.empty() ? 0 : by_deadline_.begin()->second;
}

bool LeaseTable::IsOver(std::uint64_t id) const {
  const Lease* const lease = Find(id);
  return lease != nullptr && lease->deadline_ms <= clock_ms_;
}

LeaseStatus LeaseTable::status() const {
  return {.clock_ms = clock_ms_,
          .next_deadline_ms = by_deadline_.empty() ? kNoDeadline : by_deadline_.begin()->first,
          .count = leases_.size()};
}

}  // namespace raftkv::kv
