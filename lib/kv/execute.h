// What does one operation do to the keys?
#pragma once

#include <cstdint>
#include <vector>

#include <raftkv/status.h>

#include "lib/kv/parse.h"
#include "lib/kv/pending_write.h"
#include "lib/kv/request.h"

namespace raftkv::kv {

/// Carries out `operations` in order. `revision` is what the store has, before and afterwards: each
/// call among them that changes something takes the next one. `results` becomes one an operation,
/// or empty where every one has changed something and has no more to say. The Status is the
/// engine's failure: the caller must not write what is pending then.
Status Execute(const std::vector<ParsedOperation>& operations, std::uint64_t& revision,
               PendingWrite& pending, std::vector<OperationResult>& results);

/// Grants, renews or revokes leases. A revocation is at `revision`.
Status ExecuteLease(const ParsedOperation& operation, std::uint64_t revision, PendingWrite& pending,
                    OperationResult& result);
/// Ends leases whose deadlines have passed, as many as one entry may. Each that had keys takes a
/// revision: `revision` is the store's, before and afterwards.
Status ExpireLeases(std::uint64_t& revision, PendingWrite& pending);
/// Refuses a put whose lease there is not.
bool RefusesLease(const ParsedOperation& operation, PendingWrite& pending, OperationResult& result);
/// Refuses a put that keeps something of a key that does not exist: `counts` are what the key has.
bool RefusesUpdate(const ParsedOperation& put, const Counts& counts, OperationResult& result);

/// A put, delete or increment by itself, at `revision`.
Status ExecuteWrite(const ParsedOperation& operation, std::uint64_t revision, PendingWrite& pending,
                    OperationResult& result);
/// What an increment leads to, without writing it: `result` has the sum, or why there is none.
Status Increment(const ParsedOperation& operation, PendingWrite& pending, OperationResult& result);

}  // namespace raftkv::kv
