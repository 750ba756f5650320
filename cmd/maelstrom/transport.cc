#include "cmd/maelstrom/transport.h"

#include <algorithm>
#include <utility>

#include "cmd/base64.h"

namespace raftkv::cmd::maelstrom {

std::string MessageLine(const std::string& from, const std::string& to, const std::string& body) {
  return "{\"src\":" + ToText(from) + ",\"dest\":" + ToText(to) + ",\"body\":" + body + "}";
}

void LineTransport::Start(Receiver receiver) {
  const MutexLock lock(mutex_);
  receiver_ = std::move(receiver);
}

void LineTransport::Send(const std::string& to, std::string frame) {
  writer_.WritePeer(MessageLine(
      node_id_, to,
      std::string("{\"type\":\"") + kType + "\",\"frame\":\"" + EncodeBase64(frame) + "\"}"));
}

bool LineTransport::Deliver(const std::string& from, const Value& body) {
  const Value* frame = Find(body, "frame");
  if (std::find(node_ids_.begin(), node_ids_.end(), from) == node_ids_.end()) return false;
  if (frame == nullptr || !frame->is_string()) return false;
  auto bytes = DecodeBase64(frame->get_ref<const std::string&>());
  if (!bytes) return false;
  const MutexLock lock(mutex_);
  if (receiver_) receiver_(from, *std::move(bytes));
  return true;
}

}  // namespace raftkv::cmd::maelstrom
