// What do operations on leases do?
#include <string>
#include <vector>

#include "lib/base/check.h"
#include "lib/base/hex.h"
#include "lib/base/mutants.h"
#include "lib/kv/execute.h"
#include "lib/kv/lease_table.h"

namespace raftkv::kv {
namespace {

/// What one entry may end, so that an entry stays short work and others get in between.
constexpr std::size_t kMaxEndedLeases = 1000;
constexpr std::size_t kMaxEndedBytes = 64 << 20;

using std::chrono::milliseconds;

LeaseInfo InfoOf(const Lease& lease) {
  LeaseInfo info;
  info.id = lease.id;
  info.ttl = milliseconds(lease.ttl_ms);
  info.remaining = info.ttl;
  return info;
}

/// Of keys that went, at `revision`.
struct Ended {
  std::uint64_t keys = 0;
  std::size_t bytes = 0;
};

Result<Ended> EndLease(std::uint64_t id, std::uint64_t revision, PendingWrite& pending) {
  const auto keys = pending.KeysAttachedTo(id);
  if (!keys.ok()) return keys.status();
  Ended ended;
  for (const std::string& key : *keys) {
    const auto counts = pending.CountsOf(key);
    if (!counts.ok()) return counts.status();
    if (counts->lease != id) {
      return Status(Code::kCorruption, "a key is listed for the lease " + Hex(id) +
                                           ", and its own record says otherwise");
    }
    const auto deleted = pending.DeleteData(key, revision);
    if (!deleted.ok()) return deleted.status();
    RAFTKV_CHECK(*deleted);
    ++ended.keys;
    ended.bytes += key.size();
  }
  pending.DeleteRecord(LeaseKey(id));
  pending.leases().Remove(id);
  return ended;
}

void Grant(const ParsedOperation& operation, PendingWrite& pending, OperationResult& result) {
  LeaseTable& leases = pending.leases();
  if (leases.Find(operation.lease) != nullptr) {
    result.code = Code::kInvalidArgument;
    result.message = ("there is a lease " + Hex(operation.lease)).append(kLeaseIsThere);
    return;
  }
  const std::uint64_t id = operation.lease == 0 ? leases.NewId() : operation.lease;
  const Lease& lease = leases.Grant(id, operation.ttl_ms);
  pending.PutRecord(LeaseKey(id), EncodeLease(lease));
  result.leases.push_back(InfoOf(lease));
}

void Renew(const ParsedOperation& operation, PendingWrite& pending, OperationResult& result) {
  LeaseTable& leases = pending.leases();
  result.leases.reserve(operation.leases.size());
  for (const std::uint64_t id : operation.leases) {
    if (leases.Find(id) == nullptr) {
      result.leases.emplace_back().id = id;
      continue;
    }
    const Lease& lease = leases.Renew(id);
    if (!RAFTKV_MUTANT(kRenewalNotWritten)) pending.PutRecord(LeaseKey(id), EncodeLease(lease));
    result.leases.push_back(InfoOf(lease));
  }
}

}  // namespace

Status ExecuteLease(const ParsedOperation& operation, std::uint64_t revision, PendingWrite& pending,
                    OperationResult& result) {
  if (operation.kind == ParsedOperation::Kind::kGrantLease) {
    Grant(operation, pending, result);
    return Status::Ok();
  }
  if (operation.kind == ParsedOperation::Kind::kRenewLeases) {
    Renew(operation, pending, result);
    return Status::Ok();
  }
  RAFTKV_CHECK(operation.kind == ParsedOperation::Kind::kRevokeLease);
  if (pending.leases().Find(operation.lease) == nullptr) {
    const Status missing = NoSuchLease(operation.lease);
    result.code = missing.code();
    result.message = missing.message();
    return Status::Ok();
  }
  const auto ended = EndLease(operation.lease, revision, pending);
  if (!ended.ok()) return ended.status();
  result.number = static_cast<std::int64_t>(ended->keys);
  result.changed = ended->keys > 0;
  return Status::Ok();
}

/// It names no lease: which ones end is decided here, by the clock of the entry. So one that is
/// late or doubled ends only what is over, and never what was renewed before it.
Status ExpireLeases(std::uint64_t& revision, PendingWrite& pending) {
  LeaseTable& leases = pending.leases();
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < kMaxEndedLeases && bytes < kMaxEndedBytes; ++i) {
    const std::uint64_t id = leases.First();
    if (id == 0 || !(leases.IsOver(id) || RAFTKV_MUTANT(kExpireUnchecked))) break;
    const auto ended = EndLease(id, revision + 1, pending);
    if (!ended.ok()) return ended.status();
    if (ended->keys > 0) ++revision;
    bytes += ended->bytes;
    if (RAFTKV_MUTANT(kExpireUnchecked)) break;
  }
  return Status::Ok();
}

}  // namespace raftkv::kv
