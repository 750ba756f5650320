#include "cmd/maelstrom/node_process.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "cmd/maelstrom/line_splitter.h"

namespace raftkv::cmd::maelstrom {

NodeProcess::NodeProcess(Options options, LineWriter& writer)
    : options_(std::move(options)), writer_(writer), workloads_(options_.request_timeout) {}

NodeProcess::~NodeProcess() { static_cast<void>(Close()); }

Status NodeProcess::Close() {
  if (node_ == nullptr) return Status::Ok();
  const Status closed = node_->Close();
  node_.reset();
  return closed;
}

Status NodeProcess::Failure() {
  if (!failure_.ok() || node_ == nullptr) return failure_;
  const Status failure = node_->WaitForFailure(std::chrono::milliseconds(0));
  return failure.code() == Code::kDeadlineExceeded ? Status::Ok() : failure;
}

void NodeProcess::Ignore(const std::string& why) {
  if (options_.node.log_level <= LogLevel::kWarn) {
    options_.log(LogLevel::kWarn, "a message was ignored: " + why);
  }
}

void NodeProcess::OnTooLongLine() {
  Ignore(fmt::format("its line is longer than {} bytes", LineSplitter::kMaxLineBytes));
}

void NodeProcess::OnLine(std::string_view line) {
  if (line.find_first_not_of(" \t\r") == std::string_view::npos) return;
  const auto message = ParseJson(line);
  if (!message.ok()) return Ignore(message.status().message());
  const auto from = FindString(*message, "src");
  const auto to = FindString(*message, "dest");
  const Value* body = Find(*message, "body");
  if (!from || !to || body == nullptr || !body->is_object()) {
    return Ignore("it is not an object with strings 'src' and 'dest' and an object 'body'");
  }
  OnMessage(*from, *to, *body);
}

void NodeProcess::OnMessage(const std::string& from, const std::string& to, const Value& body) {
  const auto type = FindString(body, "type");
  if (type == LineTransport::kType) {
    // Before init a peer that is further says hello: it says it again.
    if (transport_ != nullptr && !transport_->Deliver(from, body)) {
      Ignore("what " + from + " has sent is no frame of a node");
    }
    return;
  }
  if (Find(body, "in_reply_to") != nullptr) return Ignore("an answer to no request");
  const auto msg_id = FindInteger(body, "msg_id");
  if (!msg_id) return Ignore("a request without an integer 'msg_id', which cannot be answered");
  if (!type) {
    return Reply({from, to, *msg_id, {}},
                 Answer::Error(ErrorCode::kMalformedRequest, "the request has no string 'type'"));
  }
  OnRequest({from, to, *msg_id, *type}, body);
}

void NodeProcess::OnRequest(const Request& request, const Value& body) {
  if (request.type == "init") return OnInit(request, body);
  if (node_ == nullptr) return Ignore("a request before 'init'");
  if (request.to != node_id_) return Ignore("it is for " + request.to + ", not " + node_id_);
  if (open_ >= kMaxOpenRequests) {
    return Reply(request, Answer::Error(ErrorCode::kTemporarilyUnavailable,
                                        "too many requests are open at this node; try again"));
  }
  ++open_;
  workloads_.Handle(request.type, body, node_->kv(), node_id_,
                    [this, request](const Answer& answer) {
                      Reply(request, answer);
                      --open_;
                    });
}

void NodeProcess::OnInit(const Request& request, const Value& body) {
  const auto malformed = [&](const std::string& why) {
    Reply(request, Answer::Error(ErrorCode::kMalformedRequest, why));
  };
  if (node_ != nullptr) return malformed("this node was already initialized, as " + node_id_);
  const auto node_id = FindString(body, "node_id");
  const Value* list = Find(body, "node_ids");
  if (!node_id || list == nullptr || !list->is_array()) {
    return malformed("'init' needs a string 'node_id' and a list 'node_ids'");
  }
  std::vector<std::string> node_ids;
  for (const Value& id : *list) {
    if (!id.is_string()) return malformed("'node_ids' contains something other than strings");
    node_ids.push_back(id.get<std::string>());
  }
  const Status opened = OpenNode(*node_id, node_ids);
  if (opened.ok()) return Reply(request, {"init_ok", {}});
  if (opened.code() == Code::kInvalidArgument) return malformed(opened.message());
  failure_ = opened;
  Reply(request, Answer::Error(ErrorCode::kCrash, opened.message()));
}

Status NodeProcess::OpenNode(const std::string& node_id, const std::vector<std::string>& node_ids) {
  NodeOptions options = options_.node;
  options.name = node_id;
  for (const std::string& id : node_ids) options.cluster.push_back({id, id});
  auto transport = std::make_shared<LineTransport>(writer_, node_id, node_ids);
  options.transport = transport;
  // Frames can come as soon as the node is open; the line behind this one comes later.
  auto opened = Node::Open(std::move(options));
  if (!opened.ok()) return opened.status();
  node_id_ = node_id;
  transport_ = std::move(transport);
  node_ = std::move(opened).value();
  return Status::Ok();
}

void NodeProcess::Reply(const Request& request, const Answer& answer) {
  writer_.WriteAnswer(MessageLine(request.to, request.from,
                                  fmt::format("{{\"type\":{},\"in_reply_to\":{}{}}}",
                                              ToText(answer.type), request.msg_id, answer.fields)));
}

}  // namespace raftkv::cmd::maelstrom
