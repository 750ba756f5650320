// May a transaction be carried out at all, whatever the store holds?
#pragma once

#include <cstddef>

#include <raftkv/kv.h>
#include <raftkv/status.h>

#include "lib/kv/parse.h"

namespace raftkv::kv {

/// That each Op has what its kind needs, and the depth: what comes from the wire is checked where
/// it is parsed.
Status CheckShape(const TxnRequest& txn, std::size_t depth = 1);

/// InvalidArgument if a branch writes a key twice, other than by deletes only. The branches of a
/// nested transaction count both, as one operation of the branch that it is in.
Status CheckWrittenOnce(const ParsedTxn& txn);

/// Deletes, compares and counts of whole ranges.
std::size_t CountWholeRanges(const ParsedOperation& operation);

}  // namespace raftkv::kv
