// How does a client learn who leads an election, and what the leader says?
#pragma once

#include <memory>
#include <string>

#include "rpc/etcd/contender.h"
#include "rpc/etcd/method.h"

namespace raftkv::etcd {

/// The stream of v3electionpb.Election.Observe. `recipes` outlives it.
std::unique_ptr<Conversation<LeaderRequest>> ObserveElection(Recipes& recipes,
                                                             StreamReplier<LeaderResponse> reply);

}  // namespace raftkv::etcd
