// What does one Maelstrom node do with the lines that it is given?
//
// It is nobody until its `init`; then it is a member of a cluster whose members are the nodes.
// Lines come from one thread; answers leave on any.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <raftkv/node.h>

#include "cmd/maelstrom/json.h"
#include "cmd/maelstrom/line_writer.h"
#include "cmd/maelstrom/transport.h"
#include "cmd/maelstrom/workloads.h"

namespace raftkv::cmd::maelstrom {

class NodeProcess {
 public:
  struct Options {
    /// All but the name, the cluster and the transport.
    NodeOptions node;
    std::chrono::milliseconds request_timeout{4000};
    std::function<void(LogLevel, std::string_view)> log;
  };

  /// `writer` outlives it.
  NodeProcess(Options options, LineWriter& writer);
  /// Closes the node.
  ~NodeProcess();

  void OnLine(std::string_view line);
  void OnTooLongLine();
  /// Why this process cannot go on; Ok: it can.
  Status Failure();
  /// Requests that are not answered yet.
  [[nodiscard]] int open_requests() const { return open_; }
  /// Ends what is open: it is answered, or nobody knows its fate.
  Status Close();

 private:
  struct Request {
    std::string from;
    std::string to;
    std::int64_t msg_id = 0;
    std::string type;
  };
  static constexpr int kMaxOpenRequests = 4096;

  void OnMessage(const std::string& from, const std::string& to, const Value& body);
  void OnRequest(const Request& request, const Value& body);
  void OnInit(const Request& request, const Value& body);
  Status OpenNode(const std::string& node_id, const std::vector<std::string>& node_ids);
  void Reply(const Request& request, const Answer& answer);
  void Ignore(const std::string& why);

  Options options_;
  LineWriter& writer_;
  Workloads workloads_;
  std::string node_id_;
  std::shared_ptr<LineTransport> transport_;
  std::unique_ptr<Node> node_;
  Status failure_;
  std::atomic<int> open_{0};
};

}  // namespace raftkv::cmd::maelstrom
