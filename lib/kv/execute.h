// What does one operation do to the keys?
#pragma once

#include <vector>

#include <raftkv/status.h>

#include "lib/kv/parse.h"
#include "lib/kv/pending_write.h"
#include "lib/kv/request.h"

namespace raftkv::kv {

/// Carries out `operations` in order, all at `revision`. `results` becomes one an operation, or
/// empty where every one is ok without anything to say. The Status is the engine's failure: the
/// caller must not write what is pending then.
Status Execute(const std::vector<ParsedOperation>& operations, std::uint64_t revision,
               PendingWrite& pending, std::vector<OperationResult>& results);

}  // namespace raftkv::kv
