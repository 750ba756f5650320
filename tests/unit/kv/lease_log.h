// How does a test use leases, and look at what the store keeps of them?
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "lib/kv/layout.h"
#include "lib/kv/lease_table.h"
#include "lib/kv/record.h"
#include "tests/support/node/kv_log.h"

namespace raftkv::test {

class LeaseLog : public AppliedLog {
 public:
  using AppliedLog::AppliedLog;

  /// One operation.
  kv::OperationResult Do(kv::Operation operation) {
    const kv::Response response = Apply({std::move(operation)});
    EXPECT_EQ(response.results.size(), 1U);
    return response.results.empty() ? kv::OperationResult() : response.results.front();
  }
  /// The number of the new lease; 0: it was refused.
  std::uint64_t Grant(std::uint64_t id, std::uint64_t ttl_ms) {
    const kv::OperationResult result = Do(kv::GrantLeaseOp{id, ttl_ms});
    EXPECT_FALSE(result.changed) << "a grant takes no revision";
    return result.leases.size() == 1 ? result.leases.front().id : 0;
  }
  std::vector<LeaseInfo> Renew(std::vector<std::uint64_t> ids) {
    const kv::OperationResult result = Do(kv::RenewLeasesOp{std::move(ids)});
    EXPECT_EQ(result.code, Code::kOk) << result.message;
    EXPECT_FALSE(result.changed) << "a keep-alive takes no revision";
    return result.leases;
  }
  Code Put(const std::string& key, const std::string& value, std::uint64_t lease) {
    return Do(kv::PutOp{key, value, false, lease}).code;
  }

  [[nodiscard]] std::uint64_t revision() { return store().revisions().revision; }
  /// What the key's own record says.
  std::uint64_t LeaseOf(const std::string& key) {
    const auto found = engine().content().find(kv::DataKey(key));
    if (found == engine().content().end()) return 0;
    const auto data = kv::DecodeDataRecord(found->second);
    EXPECT_TRUE(data.ok()) << data.status().ToString();
    return data.ok() ? data->counts.lease : 0;
  }
  /// What the rows say: deadline by number.
  std::map<std::uint64_t, std::uint64_t> Deadlines() {
    std::map<std::uint64_t, std::uint64_t> deadlines;
    VisitRows(kv::LeasesFrom(0), kv::EndOfLeases(), [&](const auto& key, const auto& record) {
      const auto lease = kv::DecodeLease(key, record);
      EXPECT_TRUE(lease.ok()) << lease.status().ToString();
      if (lease.ok()) deadlines[lease->id] = lease->deadline_ms;
    });
    return deadlines;
  }
  std::vector<std::string> Attached(std::uint64_t lease) {
    std::vector<std::string> keys;
    VisitRows(kv::AttachedPrefix(lease), kv::EndOfAttached(lease),
              [&](const auto& key, const auto&) {
                keys.push_back(key.substr(kv::kAttachedPrefixBytes));
              });
    return keys;
  }
  /// Whether the rows of leases and the records of keys say the same.
  void ExpectConsistent() {
    const auto deadlines = Deadlines();
    std::size_t attached = 0;
    for (const auto& [id, deadline] : deadlines) {
      for (const std::string& key : Attached(id)) {
        EXPECT_EQ(LeaseOf(key), id) << key;
        ++attached;
      }
    }
    std::size_t rows = 0;
    for (const auto& [key, record] : engine().content()) {
      if (key.front() == kv::kAttachedPrefix) ++rows;
      if (key.front() != kv::kDataPrefix) continue;
      const std::uint64_t lease = LeaseOf(key.substr(1));
      EXPECT_TRUE(lease == 0 || deadlines.count(lease) == 1) << key << " is of no lease";
    }
    EXPECT_EQ(attached, rows) << "a key is attached to a lease that is gone";
    const kv::LeaseStatus status = store().leases();
    EXPECT_EQ(status.count, deadlines.size());
    std::uint64_t first = kv::kNoDeadline;
    for (const auto& [id, deadline] : deadlines) first = std::min(first, deadline);
    EXPECT_EQ(status.next_deadline_ms, first);
  }

 private:
  template <class Visit>
  void VisitRows(const std::string& begin, const std::string& end, const Visit& visit) {
    const auto& content = engine().content();
    for (auto it = content.lower_bound(begin); it != content.lower_bound(end); ++it) {
      visit(it->first, it->second);
    }
  }
};

}  // namespace raftkv::test
