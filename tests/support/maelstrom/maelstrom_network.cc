#include "tests/support/maelstrom/maelstrom_network.h"

#include <algorithm>
#include <filesystem>

#include "lib/base/check.h"

namespace raftkv::test::maelstrom {
namespace {

constexpr const char* kInitialiser = "c0";  ///< the client that sends `init`

std::string Shortened(const std::string& text) {
  constexpr std::size_t kMost = 300;
  return text.size() <= kMost ? text : text.substr(0, kMost) + "...";
}

bool IsMessage(const Json& message) {
  const auto has = [](const Json& object, const char* name) {
    return object.is_object() && object.contains(name);
  };
  return has(message, "src") && message["src"].is_string() && has(message, "dest") &&
         message["dest"].is_string() && has(message, "body") && has(message["body"], "type") &&
         message["body"]["type"].is_string();
}

}  // namespace

Network::Network(NetworkOptions options)
    : options_(std::move(options)), random_(options_.seed), nodes_(options_.nodes) {
  for (std::size_t i = 0; i < size(); ++i) numbers_.emplace(name(i), i);
  std::filesystem::create_directory(folder_ / "tmp");
}

void Network::Report(std::string problem) {
  constexpr std::size_t kMost = 20;
  if (problems_.size() < kMost) problems_.push_back(std::move(problem));
}

void Network::ReportOf(std::size_t node, const std::string& what) {
  Report(name(node) + " " + what);
}

void Network::Start(std::size_t node) {
  Node& started = nodes_.at(node);
  RAFTKV_CHECK(started.child == nullptr, node);
  std::vector<std::string> command = options_.command;
  if (options_.data_dirs) {
    command.insert(command.end(), {"--data-dir", folder_ / name(node)});
  }
  started.child = std::make_unique<Child>(
      std::move(command), std::map<std::string, std::string>{{"TMPDIR", folder_ / "tmp"}});
  ++started.starts;
  started.told = false;
  // Peers that were told earlier may send to it before.
  const auto latest_ms = static_cast<std::uint64_t>(options_.latest_init.count());
  scheduler_.After(Milliseconds(random_.Below(latest_ms)),
                   [this, node, start = started.starts] { Init(node, start); });
}

void Network::Init(std::size_t node, std::int64_t start) {
  Node& started = nodes_.at(node);
  if (started.child == nullptr || started.starts != start) return;
  started.told = true;
  Json names = Json::array();
  for (std::size_t i = 0; i < size(); ++i) names.push_back(name(i));
  Send(kInitialiser, node,
       {{"type", "init"}, {"msg_id", start}, {"node_id", name(node)}, {"node_ids", names}});
}

void Network::Kill(std::size_t node) {
  nodes_.at(node).child.reset();
  nodes_.at(node).up = false;
}

bool Network::AllUp() const {
  return std::all_of(nodes_.begin(), nodes_.end(), [](const Node& node) { return node.up; });
}

void Network::Send(const std::string& client, std::size_t node, Json body) {
  if (nodes_.at(node).child == nullptr) return;
  const Json message = {{"src", client}, {"dest", name(node)}, {"body", std::move(body)}};
  nodes_[node].child->WriteLine(message.dump());
}

bool Network::RunUntil(Time end, const std::function<bool()>& condition) {
  while (!condition()) {
    if (Clock::now() >= end) return false;
    Poll(std::min(end, scheduler_.NextTime().value_or(end)));
    scheduler_.RunDue();
  }
  return true;
}

void Network::Poll(Time until) {
  std::vector<pollfd> polled;
  for (const Node& node : nodes_) {
    for (const pollfd& each : node.child ? node.child->Polled() : std::array<pollfd, 3>()) {
      polled.push_back(node.child ? each : pollfd{-1, 0, 0});
    }
  }
  const auto wait = std::max(Clock::duration::zero(), until - Clock::now());
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(wait);
  const timespec timeout = {seconds.count(), std::chrono::nanoseconds(wait - seconds).count()};
  if (ppoll(polled.data(), polled.size(), &timeout, nullptr) <= 0) return;
  for (std::size_t i = 0; i < size(); ++i) {
    if (nodes_[i].child == nullptr) continue;
    if (polled[3 * i].revents != 0) nodes_[i].child->Flush();
    if (polled[3 * i + 1].revents != 0 || polled[3 * i + 2].revents != 0) ReadFrom(i);
  }
}

void Network::ReadFrom(std::size_t node) {
  const std::vector<std::string> log = nodes_[node].child->ReadStderr();
  for (const std::string& line : nodes_[node].child->ReadStdout()) Route(node, line);
  if (nodes_[node].child->ended() && !ending_) Ended(node);
  for (const std::string& line : log) {
    if (log_line_) log_line_(node, line);  // may kill the node
  }
}

void Network::Ended(std::size_t node) {
  constexpr Milliseconds kToDie{10'000};
  Child& child = *nodes_[node].child;
  const auto code = child.process().WaitForExit(kToDie);
  child.ReadStderr();
  ReportOf(node, (code ? "ended by itself with exit code " + std::to_string(*code)
                       : "closed its stdout and runs on") +
                     "; its last words:\n" + child.last_stderr());
  Kill(node);
}

void Network::Route(std::size_t node, const std::string& line) {
  const Json message = Json::parse(line, nullptr, false);
  if (message.is_discarded() || !IsMessage(message)) {
    return ReportOf(node, "printed what is no message: " + Shortened(line));
  }
  if (!nodes_[node].told) return ReportOf(node, "sent this before its init: " + Shortened(line));
  if (message["src"] != name(node)) {
    return ReportOf(node, "spoke for another: " + Shortened(line));
  }
  const auto dest = message["dest"].get<std::string>();
  if (const auto peer = numbers_.find(dest); peer != numbers_.end()) {
    ++messages_;
    Forward(node, peer->second, line);
    if (random_.Below(100) < options_.doubled_percent) Forward(node, peer->second, line);
  } else if (dest == kInitialiser) {
    ReceiveInitAnswer(node, message["body"]);
  } else if (receive_) {
    receive_(node, dest, message["body"]);
  }
}

void Network::ReceiveInitAnswer(std::size_t node, const Json& body) {
  const bool right = body["type"] == "init_ok" && body.contains("in_reply_to") &&
                     body["in_reply_to"] == nodes_[node].starts && !nodes_[node].up;
  if (!right) ReportOf(node, "answered init by " + Shortened(body.dump()));
  nodes_[node].up = true;
}

void Network::Forward(std::size_t from, std::size_t to, const std::string& line) {
  const auto deliver = [this, from, to](const std::string& arrived) {
    if (nodes_[to].child == nullptr || cut_.count({from, to}) != 0) return;
    nodes_[to].child->WriteLine(arrived);
  };
  const auto mean = std::chrono::microseconds(options_.latency);
  if (mean.count() == 0) return deliver(line);
  const auto drawn = random_.Below(static_cast<std::uint64_t>(mean.count()));
  scheduler_.After(mean / 2 + std::chrono::microseconds(drawn), [deliver, line] { deliver(line); });
}

void Network::EndAll(Milliseconds timeout) {
  ending_ = true;
  for (Node& node : nodes_) {
    if (node.child) node.child->CloseInput();
  }
  const auto over = [](const Node& node) { return node.child == nullptr || node.child->ended(); };
  RunUntil(Clock::now() + timeout, [&] { return std::all_of(nodes_.begin(), nodes_.end(), over); });
  for (std::size_t i = 0; i < size(); ++i) {
    if (!IsRunning(i)) continue;
    Child& child = *nodes_[i].child;
    const auto code = child.process().WaitForExit(timeout);
    if (!child.rest().empty())
      ReportOf(i, "left a line without its end: " + Shortened(child.rest()));
    if (!code) ReportOf(i, "did not end when its stdin was closed");
    if (code.value_or(0) != 0) {
      ReportOf(i, "ended with exit code " + std::to_string(*code) + "; its last words:\n" +
                      child.last_stderr());
    }
    Kill(i);
  }
  for (const auto& left : std::filesystem::directory_iterator(folder_ / "tmp")) {
    Report("a node left " + left.path().filename().string() + " in the temporary folder");
  }
}

}  // namespace raftkv::test::maelstrom
