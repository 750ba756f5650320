// Do these members make a quorum? The checks' own answer, by plain counting; it shares nothing with
// lib/raft/quorum.cc.
#pragma once

#include <functional>

#include "lib/raft/quorum.h"
#include "lib/raft/types.h"

namespace raftkv::test {

bool MakesQuorum(const raft::Configuration& configuration, raft::Purpose purpose,
                 const std::function<bool(NodeId)>& agrees);

}  // namespace raftkv::test
