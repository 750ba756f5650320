// Frames of a host's own transport, with the messages of members in them: what is understood
// encodes again to the same frame, and keeps to what the members rely on.
#include <variant>

#include "rpc/wire/frame.h"
#include "tests/fuzz/fuzz.h"

namespace raftkv::fuzz {
namespace {

bool IsOneLine(const std::string& text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < ' ') return false;
  }
  return true;
}

void CheckHello(const node::Hello& hello) {
  RAFTKV_CHECK(hello.protocol_min <= hello.protocol_max);
  for (const std::string* const text :
       {&hello.name, &hello.expected_name, &hello.zone, &hello.address, &hello.formation}) {
    RAFTKV_CHECK(IsOneLine(*text), *text);
  }
}

struct MessageCheck {
  void operator()(const raft::Message& message) const {
    const auto* const append = std::get_if<raft::AppendEntries>(&message.body);
    if (append == nullptr) return;
    Index index = append->prev_log_index;
    Term term = append->prev_log_term;
    for (const raft::Entry& entry : append->entries) {
      RAFTKV_CHECK(entry.index == ++index, entry.index.value);
      RAFTKV_CHECK(entry.term >= term, entry.term.value);
      RAFTKV_CHECK(entry.term <= append->term, entry.term.value);
      term = entry.term;
    }
  }
  void operator()(const node::SnapshotChunk& chunk) const {
    RAFTKV_CHECK(chunk.snapshot != nullptr);
    RAFTKV_CHECK(!chunk.data.empty() || chunk.last);
    RAFTKV_CHECK(chunk.offset + chunk.data.size() >= chunk.offset, chunk.offset);
  }
  template <class Other>
  void operator()(const Other& /*message*/) const {}
};

void CheckFrame(const rpc::Frame& frame) {
  if (const auto* const hello = std::get_if<node::Hello>(&frame.body)) {
    CheckHello(*hello);
    RAFTKV_CHECK(hello->member != kNobody);
  }
  if (const auto* const answer = std::get_if<node::HelloAnswer>(&frame.body)) {
    CheckHello(answer->self);
    RAFTKV_CHECK(IsOneLine(answer->refusal));
  }
  if (const auto* const deliver = std::get_if<rpc::DeliverFrame>(&frame.body)) {
    RAFTKV_CHECK(deliver->sequence != 0);
    for (const node::PeerMessage& message : deliver->messages) {
      std::visit(MessageCheck{}, message);
    }
  }
}

/// Raft's own messages, compared field by field.
void CheckSameRaft(const rpc::Frame& a, const rpc::Frame& b) {
  RAFTKV_CHECK(a.link == b.link);
  RAFTKV_CHECK(a.body.index() == b.body.index(), a.body.index(), b.body.index());
  const auto* const left = std::get_if<rpc::DeliverFrame>(&a.body);
  if (left == nullptr) return;
  const auto& right = std::get<rpc::DeliverFrame>(b.body);
  RAFTKV_CHECK(left->messages.size() == right.messages.size());
  for (std::size_t i = 0; i < left->messages.size(); ++i) {
    const auto* const message = std::get_if<raft::Message>(&left->messages[i]);
    if (message != nullptr) {
      RAFTKV_CHECK(*message == std::get<raft::Message>(right.messages[i]));
    }
  }
}

}  // namespace
}  // namespace raftkv::fuzz

RAFTKV_FUZZ_TARGET(frame) {
  const Result<rpc::Frame> frame = rpc::DecodeFrame(input);
  if (!frame.ok()) return CheckRefusal(frame.status(), {Code::kInvalidArgument});
  CheckFrame(*frame);
  const std::string encoded = rpc::EncodeFrame(*frame);
  const Result<rpc::Frame> again = rpc::DecodeFrame(encoded);
  RAFTKV_CHECK(again.ok(), again.status().ToString());
  CheckSameRaft(*frame, *again);
  RAFTKV_CHECK(rpc::EncodeFrame(*again) == encoded);
}
