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

/// A put, delete or increment by itself, at `revision`.
Status ExecuteWrite(const ParsedOperation& operation, std::uint64_t revision, PendingWrite& pending,
                    OperationResult& result);
/// What an increment leads to, without writing it: `result` has the sum, or why there is none.
Status Increment(const ParsedOperation& operation, PendingWrite& pending, OperationResult& result);

}  // namespace raftkv::kv
