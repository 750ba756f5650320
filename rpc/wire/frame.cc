#include "rpc/wire/frame.h"

#include <capnp/serialize.h>

#include "lib/kv/message_reader.h"
#include "rpc/wire/codec.h"

namespace raftkv::rpc {
namespace {

/// As many as in one call over a connection.
constexpr std::size_t kMaxMessagesInFrame = 64 * 1024;

struct BodyEncoder {
  wire::PeerFrame::Builder to;

  void operator()(const node::Hello& hello) { Encode(hello, to.initHello()); }
  void operator()(const node::HelloAnswer& answer) { Encode(answer, to.initAnswer()); }
  void operator()(const DeliverFrame& deliver) {
    RAFTKV_CHECK(deliver.messages.size() <= kMaxMessagesInFrame, deliver.messages.size());
    auto group = to.initDeliver();
    group.setAccepter(deliver.accepter);
    group.setSequence(deliver.sequence);
    auto list = group.initMessages(static_cast<capnp::uint>(deliver.messages.size()));
    for (capnp::uint i = 0; i < list.size(); ++i) Encode(deliver.messages[i], list[i]);
  }
  void operator()(const ClosedFrame& /*closed*/) { to.setClosed(); }
};

/// A guess that makes most frames one segment.
std::size_t FirstSegmentWords(const Frame& frame) {
  std::size_t words = 256;
  if (const auto* deliver = std::get_if<DeliverFrame>(&frame.body)) {
    for (const node::PeerMessage& message : deliver->messages) words += EncodedWords(message);
  }
  return words;
}

Status DecodeDeliver(wire::PeerFrame::Deliver::Reader group, DeliverFrame& deliver) {
  deliver.accepter = group.getAccepter();
  deliver.sequence = group.getSequence();
  if (deliver.sequence == 0) return {Code::kInvalidArgument, "a frame without a sequence number"};
  const auto list = group.getMessages();
  if (list.size() > kMaxMessagesInFrame) {
    return {Code::kInvalidArgument, "too many messages in one frame"};
  }
  deliver.messages.reserve(list.size());
  for (const auto wire_message : list) {
    auto message = Decode(wire_message, kNobody, kNobody);
    if (!message.ok()) return message.status();
    if (message->has_value()) deliver.messages.push_back(std::move(**message));
  }
  return Status::Ok();
}

Status DecodeBody(wire::PeerFrame::Reader wire_frame, Frame& frame) {
  const auto take = [&frame](auto decoded) {
    if (decoded.ok()) frame.body = std::move(decoded).value();
    return decoded.status();
  };
  switch (wire_frame.which()) {
    case wire::PeerFrame::UNKNOWN: break;
    case wire::PeerFrame::HELLO: return take(Decode(wire_frame.getHello()));
    case wire::PeerFrame::ANSWER: return take(Decode(wire_frame.getAnswer()));
    case wire::PeerFrame::DELIVER:
      return DecodeDeliver(wire_frame.getDeliver(), frame.body.emplace<DeliverFrame>());
    case wire::PeerFrame::CLOSED: frame.body = ClosedFrame{}; return Status::Ok();
  }
  return {Code::kInvalidArgument, "of a kind that this version does not know"};
}

}  // namespace

std::string EncodeFrame(const Frame& frame) {
  capnp::MallocMessageBuilder message(static_cast<capnp::uint>(FirstSegmentWords(frame)));
  auto root = message.initRoot<wire::PeerFrame>();
  root.setOpener(frame.link.opener);
  root.setNumber(frame.link.number);
  std::visit(BodyEncoder{root}, frame.body);
  const auto words = capnp::messageToFlatArray(message);
  const auto bytes = words.asBytes();
  return {reinterpret_cast<const char*>(bytes.begin()), bytes.size()};
}

Result<Frame> DecodeFrame(std::string_view bytes) {
  Frame frame;
  kv::MessageBytes storage;
  const Status status = kv::ReadMessage<wire::PeerFrame>(
      bytes, storage, "frame of a peer", [&frame](wire::PeerFrame::Reader wire_frame) {
        frame.link = {wire_frame.getOpener(), wire_frame.getNumber()};
        return DecodeBody(wire_frame, frame);
      });
  if (!status.ok()) return status;
  return frame;
}

}  // namespace raftkv::rpc
