#include "rpc/etcd/gateway_call.h"

#include <utility>

#include <nlohmann/json.hpp>

#include "lib/base/check.h"

namespace raftkv::etcd {
namespace {

/// What is no UTF-8 is replaced: the text may quote what a client sent.
std::string Dump(const nlohmann::ordered_json& json) {
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

constexpr HttpStatus kHttpOk{200, "OK"};

}  // namespace

HttpStatus HttpStatusOf(GrpcCode code) {
  switch (code) {
    case GrpcCode::kOk: return kHttpOk;
    case GrpcCode::kCancelled: return {408, "Request Timeout"};
    case GrpcCode::kInvalidArgument:
    case GrpcCode::kOutOfRange: return {400, "Bad Request"};
    case GrpcCode::kDeadlineExceeded: return {504, "Gateway Timeout"};
    case GrpcCode::kNotFound: return {404, "Not Found"};
    case GrpcCode::kAlreadyExists:
    case GrpcCode::kAborted: return {409, "Conflict"};
    case GrpcCode::kPermissionDenied: return {403, "Forbidden"};
    case GrpcCode::kUnauthenticated: return {401, "Unauthorized"};
    case GrpcCode::kResourceExhausted: return {429, "Too Many Requests"};
    case GrpcCode::kFailedPrecondition: return {412, "Precondition Failed"};
    case GrpcCode::kUnimplemented: return {501, "Not Implemented"};
    case GrpcCode::kUnavailable: return {503, "Service Unavailable"};
    case GrpcCode::kUnknown:
    case GrpcCode::kInternal:
    case GrpcCode::kDataLoss: return {500, "Internal Server Error"};
  }
  return {500, "Internal Server Error"};
}

std::string JsonError(const Outcome& outcome) {
  nlohmann::ordered_json error;
  error["error"] = outcome.message;
  error["message"] = outcome.message;
  error["code"] = static_cast<int>(outcome.code);
  return Dump(error);
}

std::string JsonStreamError(const Outcome& outcome) {
  const HttpStatus status = HttpStatusOf(outcome.code);
  nlohmann::ordered_json error;
  error["grpc_code"] = static_cast<int>(outcome.code);
  error["http_code"] = status.code;
  error["message"] = outcome.message;
  error["http_status"] = status.text;
  nlohmann::ordered_json line;
  line["error"] = std::move(error);
  return Dump(line);
}

kj::Promise<void> SendWhole(kj::HttpService::Response& response, const kj::HttpHeaderTable& table,
                            HttpStatus status, kj::StringPtr content_type, std::string body) {
  kj::HttpHeaders headers(table);
  headers.set(kj::HttpHeaderId::CONTENT_TYPE, content_type);
  auto stream = response.send(status.code, status.text, headers, body.size());
  auto kept = kj::heap<std::string>(std::move(body));
  auto written = stream->write(kept->data(), kept->size());
  return written.attach(kj::mv(stream), kj::mv(kept));
}

/// What methods hold of a call.
class GatewayCall::Answers final : public Sink {
 public:
  explicit Answers(GatewayCall& call) : call_(&call) {}
  void Forget() { call_ = nullptr; }

  void Send(std::string encoded) override {
    if (call_ != nullptr) call_->Send(std::move(encoded));
  }
  void Finish(Outcome outcome) override {
    if (call_ != nullptr) call_->Finish(std::move(outcome));
  }
  [[nodiscard]] std::size_t queued_bytes() const override {
    return call_ == nullptr ? 0 : call_->queued_bytes_;
  }

 private:
  GatewayCall* call_;  ///< null once the call is gone
};

GatewayCall::GatewayCall(SessionOwner& owner, const Method& method, const CallContext& context)
    : owner_(owner), method_(method), answers_(std::make_shared<Answers>(*this)) {
  handler_ = method.open(context, answers_);
}

GatewayCall::~GatewayCall() {
  answers_->Forget();
  handler_.reset();
  owner_.queued().Remove(queued_bytes_);
}

// --- What arrives.

void GatewayCall::OnValue(std::string_view json) {
  // As etcd: what follows the object of a unary call is not looked at.
  if (ended() || (!method_.client_streams && values_ > 0)) return;
  ++values_;
  handler_->OnMessage(json);
}

void GatewayCall::OnEnd(std::string_view rest) {
  if (!rest.empty()) OnValue(rest);
  // As etcd: an empty body is an empty request.
  if (!method_.client_streams && values_ == 0) OnValue("{}");
  if (!ended()) handler_->OnHalfClose();
}

void GatewayCall::Abort(Outcome outcome) {
  if (ended()) return;
  if (!method_.server_streams) {
    owner_.queued().Remove(std::exchange(queued_bytes_, 0));
    queue_.clear();
  }
  Finish(std::move(outcome));
}

// --- What is answered.

void GatewayCall::Send(std::string json) {
  if (ended()) return;
  const std::size_t size = json.size();
  if (!owner_.queued().HasRoom(size)) {
    return Abort({GrpcCode::kResourceExhausted, "etcdserver: too many requests"});
  }
  queue_.push_back(std::move(json));
  queued_bytes_ += size;
  owner_.queued().Add(size);
  if (queued_bytes_ >= Sink::kMaxQueuedBytes) full_ = true;
  Wake();
}

void GatewayCall::Finish(Outcome outcome) {
  if (ended()) return;
  outcome_ = std::move(outcome);
  Wake();
}

void GatewayCall::Wake() {
  KJ_IF_MAYBE (changed, changed_) {
    auto fulfiller = kj::mv(*changed);
    changed_ = nullptr;
    fulfiller->fulfill();
  }
}

kj::Promise<void> GatewayCall::Changed() {
  auto paf = kj::newPromiseAndFulfiller<void>();
  changed_ = kj::mv(paf.fulfiller);
  return kj::mv(paf.promise);
}

kj::Promise<void> GatewayCall::Answer(kj::HttpService::Response& response,
                                      const kj::HttpHeaderTable& table) {
  return method_.server_streams ? AnswerStream(response, table) : AnswerOnce(response, table);
}

kj::Promise<void> GatewayCall::AnswerOnce(kj::HttpService::Response& response,
                                          const kj::HttpHeaderTable& table) {
  if (!ended()) {
    return Changed().then([this, &response, &table] { return AnswerOnce(response, table); });
  }
  if (!outcome_->ok()) {
    return SendWhole(response, table, HttpStatusOf(outcome_->code), "application/json",
                     JsonError(*outcome_));
  }
  std::string body = queue_.empty() ? std::string("{}") : std::move(queue_.front());
  return SendWhole(response, table, kHttpOk, "application/json", std::move(body));
}

void GatewayCall::PopFront() {
  const std::size_t size = queue_.front().size();
  queue_.pop_front();
  queued_bytes_ -= size;
  owner_.queued().Remove(size);
}

kj::Promise<void> GatewayCall::AnswerStream(kj::HttpService::Response& response,
                                            const kj::HttpHeaderTable& table) {
  if (!queue_.empty()) {
    std::string line = R"({"result":)" + queue_.front() + "}\n";
    return WriteLine(response, table, std::move(line)).then([this, &response, &table] {
      // Only now: what the other side does not read counts as waiting.
      PopFront();
      if (full_ && queued_bytes_ < Sink::kMaxQueuedBytes) {
        full_ = false;
        if (!ended()) handler_->OnDrained();
      }
      return AnswerStream(response, table);
    });
  }
  if (!ended()) {
    return Changed().then([this, &response, &table] { return AnswerStream(response, table); });
  }
  const bool begun = body_ != nullptr;
  if (begun && !outcome_->ok()) {
    return WriteLine(response, table, JsonStreamError(*outcome_) + "\n").then([this] {
      body_ = nullptr;
    });
  }
  if (!outcome_->ok()) {
    return SendWhole(response, table, HttpStatusOf(outcome_->code), "application/json",
                     JsonError(*outcome_));
  }
  if (begun) {
    body_ = nullptr;  // the last chunk
    return kj::READY_NOW;
  }
  return SendWhole(response, table, kHttpOk, "application/json", "");
}

kj::Promise<void> GatewayCall::WriteLine(kj::HttpService::Response& response,
                                         const kj::HttpHeaderTable& table, std::string line) {
  if (body_ == nullptr) {
    kj::HttpHeaders headers(table);
    headers.set(kj::HttpHeaderId::CONTENT_TYPE, "application/json");
    body_ = response.send(kHttpOk.code, kHttpOk.text, headers);
  }
  auto kept = kj::heap<std::string>(std::move(line));
  KJ_IF_MAYBE (body, body_) {
    auto written = (*body)->write(kept->data(), kept->size());
    return written.attach(kj::mv(kept));
  }
  return kj::READY_NOW;
}

}  // namespace raftkv::etcd
