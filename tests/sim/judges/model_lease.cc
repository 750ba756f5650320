// When does a lease end, and what goes with it?
#include <algorithm>
#include <string>
#include <utility>

#include "tests/sim/judges/model.h"

namespace raftkv::sim {

namespace {

constexpr int kMaxEnded = 1000;  ///< by one entry
constexpr std::uint64_t kMostId = INT64_MAX;

/// The least of true time in which a clock, which may be fast by 20 %, counts so much; two
/// milliseconds are lost to rounding.
std::uint64_t LeastTrueMs(std::uint64_t ms) { return ms * 4 / 5 - 2; }
std::uint64_t MostTrueMs(std::uint64_t ms) { return ms * 5 / 4; }

bool Says(const kv::OperationResult& result, std::uint64_t id, std::uint64_t ttl_ms) {
  return result.code == Code::kOk && result.leases.size() == 1 && result.leases[0].id == id &&
         result.leases[0].ttl.count() == static_cast<std::int64_t>(ttl_ms);
}

}  // namespace

std::int64_t Model::EndLease(std::uint64_t id) {
  leases_.erase(id);
  return static_cast<std::int64_t>(std::erase_if(keys_, [&](const auto& item) {
    if (item.second.lease != id) return false;
    Note(item.first, std::nullopt);
    return true;
  }));
}

/// The first to end first; each that had keys takes a revision.
std::string Model::Expire() {
  for (int ended = 0; ended < kMaxEnded; ++ended) {
    const auto first = std::min_element(
        leases_.begin(), leases_.end(),
        [](const auto& a, const auto& b) { return a.second.deadline_ms < b.second.deadline_ms; });
    if (first == leases_.end() || first->second.deadline_ms > clock_ms_) return {};
    const auto [id, lease] = *first;
    if (EndLease(id) > 0) ++revision_;
    if (lease.sent_ms == 0 || applied_ms_ >= lease.sent_ms + LeastTrueMs(lease.ttl_ms)) continue;
    return "lease " + std::to_string(id) + " of " + std::to_string(lease.ttl_ms) + " ms ends at " +
           std::to_string(applied_ms_) + " ms, though it was kept alive at " +
           std::to_string(lease.sent_ms);
  }
  return {};
}

std::string Model::CarryLease(const kv::ParsedOperation& operation,
                              const kv::OperationResult& result, bool& changed) {
  using Kind = kv::ParsedOperation::Kind;
  const auto begin_again = [this](Lease& lease) {
    lease.deadline_ms = clock_ms_ + lease.ttl_ms;
    lease.sent_ms = sent_ms_;
    lease.applied_ms = applied_ms_;
  };
  if (operation.kind == Kind::kGrantLease) {
    if (leases_.contains(operation.lease)) {
      return result.code == Code::kInvalidArgument ? "" : "a lease is granted twice";
    }
    const std::uint64_t id = operation.lease != 0     ? operation.lease
                             : !result.leases.empty() ? result.leases[0].id
                                                      : 0;
    if (!Says(result, id, operation.ttl_ms)) return "a grant is told otherwise";
    if (id == 0 || id > kMostId || leases_.contains(id)) return "no lease can have that number";
    begin_again(leases_[id] = {.ttl_ms = operation.ttl_ms});
    return {};
  }
  if (operation.kind == Kind::kRenewLeases) {
    if (result.code != Code::kOk || result.leases.size() != operation.leases.size()) {
      return "a keep-alive is refused";
    }
    for (std::size_t i = 0; i < operation.leases.size(); ++i) {
      const auto found = leases_.find(operation.leases[i]);
      const std::uint64_t ttl_ms = found == leases_.end() ? 0 : found->second.ttl_ms;
      const LeaseInfo& told = result.leases[i];
      if (told.id != operation.leases[i] || told.ttl.count() != static_cast<std::int64_t>(ttl_ms) ||
          told.remaining != told.ttl) {
        return "a keep-alive is told otherwise";
      }
      if (found != leases_.end()) begin_again(found->second);
    }
    return {};
  }
  if (!leases_.contains(operation.lease)) {
    return result.code == Code::kNotFound ? "" : "what is no lease is revoked";
  }
  const std::int64_t deleted = EndLease(operation.lease);
  changed = deleted > 0;
  return result.code == Code::kOk && result.number == deleted ? ""
                                                              : "a revocation is told otherwise";
}

std::string Model::CompareLeases(const kv::ParsedRead& asked, const kv::ReadAnswer& found) const {
  if (asked.settings) return {};
  if (found.revision != revision_) return "leases are shown at another revision";
  const auto wrong = [this](const LeaseInfo& told) {
    const auto lease = leases_.find(told.id);
    if (lease == leases_.end()) return told.ttl.count() != 0 || told.remaining.count() != 0;
    const std::uint64_t deadline_ms = lease->second.deadline_ms;
    const std::uint64_t left_ms = deadline_ms - std::min(deadline_ms, clock_ms_);
    return told.ttl.count() != static_cast<std::int64_t>(lease->second.ttl_ms) ||
           told.remaining.count() > static_cast<std::int64_t>(left_ms);
  };
  if (std::any_of(found.leases.begin(), found.leases.end(), wrong)) return "a lease is not so";
  if (asked.leases_from) {
    auto lease = leases_.lower_bound(*asked.leases_from);
    for (const LeaseInfo& told : found.leases) {
      if (lease == leases_.end() || told.id != lease->first) return "a lease is left out";
      ++lease;
    }
    return (lease == leases_.end()) != found.more || found.leases.empty() ? ""
                                                                          : "a list ends wrong";
  }
  // One that was left out of a full answer says so.
  if (found.leases.empty()) return found.more ? "" : "a lease has no answer";
  if (found.leases.size() != 1 || found.leases[0].id != *asked.lease) return "another lease";
  if (asked.count_only) return found.leases[0].keys.empty() ? "" : "keys that nobody asked for";
  auto next = found.leases[0].keys.begin();
  for (const auto& [key, value] : keys_) {
    if (value.lease != *asked.lease || key < asked.range.begin || *asked.lease == 0) continue;
    if (next == found.leases[0].keys.end()) {
      return found.more ? "" : "'" + key + "' is missing at its lease";
    }
    if (*next++ != key) return "'" + key + "' is not shown at its lease";
  }
  return next == found.leases[0].keys.end() ? "" : "'" + *next + "' is attached to nothing";
}

std::string Model::Overdue(std::uint64_t well_ms, std::uint64_t now_ms,
                           std::uint64_t slack_ms) const {
  for (const auto& [id, lease] : leases_) {
    const std::uint64_t from_ms = std::max(well_ms, lease.applied_ms);
    if (now_ms <= from_ms + MostTrueMs(lease.ttl_ms) + slack_ms) continue;
    return "lease " + std::to_string(id) + " of " + std::to_string(lease.ttl_ms) +
           " ms is still there, though nobody has kept it alive since " +
           std::to_string(lease.applied_ms) + " ms, and all is well since " +
           std::to_string(well_ms);
  }
  return {};
}

}  // namespace raftkv::sim
