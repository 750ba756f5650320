// What does a transaction of Maelstrom's workloads do to the store, and what is answered?
//
// Reads ("r"), writes ("w") and appends to lists ("append") may be mixed, and share the keys and
// values of lin-kv. All of them take effect at one instant, in order, each seeing those before it.
#pragma once

#include <chrono>

#include <raftkv/kv.h>

#include "cmd/maelstrom/json.h"
#include "cmd/maelstrom/workloads.h"

namespace raftkv::cmd::maelstrom {

/// The request 'txn'; `kv` outlives the call of `done`.
void HandleTxn(const Value& body, KV& kv, std::chrono::milliseconds timeout, Done done);

}  // namespace raftkv::cmd::maelstrom
