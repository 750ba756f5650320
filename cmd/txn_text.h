// Which transaction does a text describe, as `etcdctl txn` reads it?
//
// Compares, an empty line, the operations if they hold, an empty line, the operations otherwise;
// what is missing at the end is empty. One a line:
//
//   value("k") = "v"     also val, create (c), mod (m), version (ver), lease; and !=, <, >
//   put KEY VALUE [--prev-kv] [--lease ID | --ignore-lease]
//   put KEY --ignore-value [--prev-kv] [--lease ID | --ignore-lease]
//   get KEY [END] [--prefix] [--limit N] [--keys-only] [--count-only]
//   del KEY [END] [--prefix] [--prev-kv]
//   incr KEY [DELTA]
//
// The ID of a lease is hexadecimal, also in a compare: lease("k") = "0" is a key without one.
//
// A word is quoted with "..." (with the escapes of Go), '...' or `...` (as they are), or not at
// all.
#pragma once

#include <string_view>

#include <raftkv/kv.h>
#include <raftkv/status.h>

namespace raftkv::cmd {

/// InvalidArgument, with the number of the line in front: "line 3: ...".
Result<TxnRequest> ParseTxnText(std::string_view text);

}  // namespace raftkv::cmd
