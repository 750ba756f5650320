// What is in a frame of the host's own transport? (raftkv.capnp, PeerFrame)
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <raftkv/status.h>

#include "lib/node/member.h"
#include "lib/node/ports.h"

namespace raftkv::rpc {

/// Which link a frame is about: who opened it, by the nonce of its boot, and which of its links.
struct LinkId {
  std::uint64_t opener = 0;
  std::uint64_t number = 0;
  friend bool operator==(const LinkId&, const LinkId&) = default;
};

struct DeliverFrame {
  std::uint64_t accepter = 0;
  std::uint64_t sequence = 0;
  /// From and to are kNobody: only the owner of the link knows them.
  std::vector<node::PeerMessage> messages;
};
struct ClosedFrame {};

struct Frame {
  LinkId link;
  std::variant<node::Hello, node::HelloAnswer, DeliverFrame, ClosedFrame> body;
};

std::string EncodeFrame(const Frame& frame);
/// InvalidArgument says what is wrong with the bytes.
Result<Frame> DecodeFrame(std::string_view bytes);

}  // namespace raftkv::rpc
