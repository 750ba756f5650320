// How are leases read, also where they do not fit into one answer?
//
// Page after page, each from the state of its own moment.
#pragma once

#include <cstdint>
#include <vector>

#include <raftkv/kv.h>

#include "lib/session/multi_get.h"

namespace raftkv::node {

/// NotFound: there is no such lease. `ask` may be called until `done` is.
void ReadLease(std::uint64_t id, bool with_keys, MultiGet::Ask ask, Callback<LeaseInfo> done);
/// All of them, by number, without their keys.
void ReadLeases(MultiGet::Ask ask, Callback<std::vector<LeaseInfo>> done);

}  // namespace raftkv::node
