// How do frames of raftkv travel as messages between Maelstrom's nodes?
//
// As bodies of a type of our own: {"type":"raftkv_frame","frame":"BASE64"}.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <raftkv/transport.h>

#include "cmd/maelstrom/json.h"
#include "cmd/maelstrom/line_writer.h"
#include "lib/base/mutex.h"  // check:allow include: nothing of raftkv itself

namespace raftkv::cmd::maelstrom {

class LineTransport final : public Transport {
 public:
  static constexpr const char* kType = "raftkv_frame";

  /// `writer` outlives it; an address is a node's id, one of `node_ids`.
  LineTransport(LineWriter& writer, std::string node_id, std::vector<std::string> node_ids)
      : writer_(writer), node_id_(std::move(node_id)), node_ids_(std::move(node_ids)) {}

  void Start(Receiver receiver) override;
  void Send(const std::string& to, std::string frame) override;
  void Stop() override { Start(nullptr); }

  /// A message of kType; false: there is no frame in it, or `from` is no node.
  bool Deliver(const std::string& from, const Value& body);

 private:
  LineWriter& writer_;
  const std::string node_id_;
  const std::vector<std::string> node_ids_;
  Mutex mutex_;
  Receiver receiver_ RAFTKV_GUARDED_BY(mutex_);
};

/// One message as it stands on a line.
std::string MessageLine(const std::string& from, const std::string& to, const std::string& body);

}  // namespace raftkv::cmd::maelstrom
