#include "tests/sim/program/trace.h"

#include <variant>

#include "tests/support/raft/raft_format.h"

namespace raftkv::sim {

std::string Describe(const raft::Message& message) { return test::Format(message); }

std::string Describe(const node::PeerMessage& message) {
  if (const auto* raft_message = std::get_if<raft::Message>(&message)) {
    return Describe(*raft_message);
  }
  if (const auto* forward = std::get_if<node::ForwardSubmit>(&message)) {
    return "ForwardSubmit " + std::to_string(forward->id);
  }
  if (const auto* reply = std::get_if<node::ForwardSubmitReply>(&message)) {
    return "ForwardSubmitReply " + std::to_string(reply->id) + " " +
           reply->outcome.status.ToString();
  }
  return "another message";
}

}  // namespace raftkv::sim
