// How is a message between members written in the trace?
#pragma once

#include <string>

#include "lib/node/ports.h"
#include "lib/raft/message.h"

namespace raftkv::sim {

std::string Describe(const raft::Message& message);
std::string Describe(const node::PeerMessage& message);

}  // namespace raftkv::sim
