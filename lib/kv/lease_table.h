// Which leases are there, and when does each end? (docs/data-model.md, leases)
//
// Part of the replicated state, in memory and in the engine: a row for each lease ('l') and one for
// each key that is attached to it ('k'). The lease that a key is attached to also stands in the
// key's own record. Deadlines are of the cluster clock (lib/raft/cluster_clock.h) as entries carry
// it.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include <raftkv/kv.h>
#include <raftkv/status.h>

#include "lib/base/ids.h"
#include "lib/kv/engine.h"

namespace raftkv::kv {

struct Lease {
  std::uint64_t id = 0;
  std::uint64_t ttl_ms = 0;
  /// It lasts at least until the cluster clock shows this.
  std::uint64_t deadline_ms = 0;
  friend bool operator==(const Lease&, const Lease&) = default;
};

/// InvalidArgument: no lease can have that time to live, or number.
Status CheckLeaseTtl(std::uint64_t ttl_ms);
Status CheckLeaseId(std::uint64_t id);
Status NoSuchLease(std::uint64_t id);

inline constexpr std::uint64_t kNoDeadline = UINT64_MAX;

/// What whoever ends leases must know of them.
struct LeaseStatus {
  /// The cluster clock of what is applied.
  std::uint64_t clock_ms = 0;
  /// Of the lease that ends first; kNoDeadline: there is none.
  std::uint64_t next_deadline_ms = kNoDeadline;
  std::size_t count = 0;
};

std::string LeaseKey(std::uint64_t id);
std::string EncodeLease(const Lease& lease);
/// Corruption, VersionMismatch.
Result<Lease> DecodeLease(std::string_view engine_key, std::string_view record);
/// All rows of leases: begin <= row < end.
std::string LeasesFrom(std::uint64_t id);
std::string EndOfLeases();
/// The rows of keys that are attached to `lease`, and what is in front of the key in each.
std::string AttachedPrefix(std::uint64_t lease);
std::string EndOfAttached(std::uint64_t lease);
std::string AttachedKey(std::uint64_t lease, std::string_view key);
inline constexpr std::size_t kAttachedPrefixBytes = 1 + 8;

/// In memory: the caller writes the rows.
class LeaseTable {
 public:
  /// What `view` has. Corruption, IOError, VersionMismatch.
  Status Load(View& view);
  /// What follows is of this entry.
  void BeginEntry(Index index, std::uint64_t clock_ms);
  [[nodiscard]] std::uint64_t clock_ms() const { return clock_ms_; }

  /// Null: there is no such lease.
  [[nodiscard]] const Lease* Find(std::uint64_t id) const;
  /// A number that no lease has; the same at all members.
  std::uint64_t NewId();
  /// `id` is not 0, and no lease has it.
  const Lease& Grant(std::uint64_t id, std::uint64_t ttl_ms);
  /// Its whole time to live begins again.
  const Lease& Renew(std::uint64_t id);
  void Remove(std::uint64_t id);
  /// Planted bug: a new leader renews them all.
  void RenewAll();

  /// The lease that ends first; 0: there is none.
  [[nodiscard]] std::uint64_t First() const;
  [[nodiscard]] bool IsOver(std::uint64_t id) const;
  [[nodiscard]] LeaseStatus status() const;

 private:
  using ByDeadline = std::set<std::pair<std::uint64_t, std::uint64_t>>;
  void SetDeadline(Lease& lease);

  std::unordered_map<std::uint64_t, Lease> leases_;
  ByDeadline by_deadline_;  ///< deadline, id; one a lease
  Index index_;
  std::uint64_t clock_ms_ = 0;
  std::uint64_t drawn_ = 0;  ///< numbers drawn by this entry
};

}  // namespace raftkv::kv
