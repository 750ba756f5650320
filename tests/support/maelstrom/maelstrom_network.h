// How do the lines of real nodes reach each other and the clients, late, or not at all?
//
// The nodes are processes that speak the protocol of Maelstrom on stdin and stdout. Messages
// between nodes are late by a drawn time, so that they overtake each other, and are lost where a
// link is cut when they would arrive; those of clients are neither. Whatever breaks the protocol is
// a problem.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "lib/base/random.h"
#include "tests/support/maelstrom/maelstrom_child.h"
#include "tests/support/maelstrom/maelstrom_scheduler.h"
#include "tests/support/process/process.h"

namespace raftkv::test::maelstrom {

using Json = nlohmann::json;

/// From one node to another, by number.
using Link = std::pair<std::size_t, std::size_t>;

struct NetworkOptions {
  /// The program and its arguments, the same for each node.
  std::vector<std::string> command;
  std::size_t nodes = 3;
  /// One way; each message takes half to one and a half times that.
  Milliseconds latency{0};
  /// Of the messages between nodes, in percent.
  std::uint64_t doubled_percent = 0;
  /// Nodes are to be killed and started again: each gets `--data-dir` with a folder of its own.
  bool data_dirs = false;
  /// A process that has started is sent its `init` within that.
  Milliseconds latest_init{50};
  std::uint64_t seed = 1;
};

/// One thread: everything happens in RunUntil. Nodes are called n1, n2, ... and numbered from 0.
class Network {
 public:
  /// What a node sends to a client.
  using Receive =
      std::function<void(std::size_t node, const std::string& client, const Json& body)>;
  using LogLine = std::function<void(std::size_t node, const std::string& line)>;

  explicit Network(NetworkOptions options);

  void set_receive(Receive receive) { receive_ = std::move(receive); }
  /// A line that a node writes on stderr.
  void set_log_line(LogLine log_line) { log_line_ = std::move(log_line); }

  /// Starts its process, and sends it `init` soon.
  void Start(std::size_t node);
  /// SIGKILL.
  void Kill(std::size_t node);
  [[nodiscard]] bool IsRunning(std::size_t node) const { return nodes_.at(node).child != nullptr; }
  /// It has answered `init`.
  [[nodiscard]] bool IsUp(std::size_t node) const { return nodes_.at(node).up; }
  [[nodiscard]] bool AllUp() const;

  /// In place of the links that were cut before.
  void Cut(std::set<Link> links) { cut_ = std::move(links); }
  void Send(const std::string& client, std::size_t node, Json body);

  /// Lets things happen until `condition` holds or the time has come; whether it held.
  bool RunUntil(Time end, const std::function<bool()>& condition);
  /// Closes the stdin of all nodes: each has to end well, and to leave nothing behind.
  void EndAll(Milliseconds timeout);

  [[nodiscard]] std::size_t size() const { return nodes_.size(); }
  [[nodiscard]] static std::string name(std::size_t node) { return "n" + std::to_string(node + 1); }
  [[nodiscard]] Scheduler& scheduler() { return scheduler_; }
  [[nodiscard]] std::uint64_t messages() const { return messages_; }
  /// The first few; none if all is well.
  [[nodiscard]] const std::vector<std::string>& problems() const { return problems_; }
  void Report(std::string problem);

 private:
  struct Node {
    std::unique_ptr<Child> child;
    std::int64_t starts = 0;
    bool told = false;  ///< `init` has been sent to this process
    bool up = false;
  };

  void Init(std::size_t node, std::int64_t start);
  void Poll(Time until);
  void ReadFrom(std::size_t node);
  void Ended(std::size_t node);
  void Route(std::size_t node, const std::string& line);
  void ReceiveInitAnswer(std::size_t node, const Json& body);
  void Forward(std::size_t from, std::size_t to, const std::string& line);
  void ReportOf(std::size_t node, const std::string& what);

  const NetworkOptions options_;
  const TempFolder folder_;
  Random random_;
  Receive receive_;
  LogLine log_line_;
  Scheduler scheduler_;
  std::vector<Node> nodes_;
  std::map<std::string, std::size_t> numbers_;  ///< by name
  std::set<Link> cut_;
  bool ending_ = false;
  std::uint64_t messages_ = 0;  ///< between nodes
  std::vector<std::string> problems_;
};

}  // namespace raftkv::test::maelstrom
