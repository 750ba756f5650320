#include "rpc/etcd/gateway.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include "lib/base/check.h"
#include "rpc/etcd/gateway_call.h"
#include "rpc/etcd/grpc_call.h"
#include "rpc/etcd/grpc_framing.h"
#include "rpc/etcd/json_values.h"
#include "rpc/etcd/version.h"
#include "rpc/etcd/watched_stream.h"
#include "rpc/loop/sockets.h"
#include "rpc/loop/tcp_progress.h"

namespace raftkv::etcd {
namespace {

constexpr std::size_t kBodyReadBytes = 16 * 1024;
/// Without a request, until a connection is closed.
constexpr auto kKeptAlive = 5 * kj::MINUTES;
constexpr kj::StringPtr kPlainText = "text/plain; charset=utf-8"_kj;

std::string VersionJson() {
  nlohmann::ordered_json version;
  version["etcdserver"] = kEtcdVersion;
  version["etcdcluster"] = kEtcdClusterVersion;
  return version.dump();
}

/// "kv/range" of "/v3/kv/range"; nothing: the path is not one of the methods'.
std::optional<std::string_view> MethodPath(std::string_view path) {
  for (const std::string_view prefix : {"/v3/", "/v3beta/", "/v3alpha/"}) {
    if (!path.starts_with(prefix)) continue;
    path.remove_prefix(prefix.size());
    // Where etcd had the methods of leases first, and still has them.
    if (path.starts_with("kv/lease/")) path.remove_prefix(3);
    return path;
  }
  return std::nullopt;
}

/// Base64 makes four bytes of three, and JSON needs some around them.
std::size_t MaxJsonBytes(const Http2Limits& limits) {
  return limits.max_message_bytes / 3 * 4 + kBodyReadBytes;
}

bool AsksForClose(kj::StringPtr connection) {
  const std::string_view text(connection.begin(), connection.size());
  return text == "close" || text == "Close";
}

}  // namespace

/// Malformed requests are answered; nothing is written to the host's stderr.
class QuietGatewayErrors final : public kj::HttpServerErrorHandler {
 public:
  kj::Promise<void> handleApplicationError(kj::Exception,
                                           kj::Maybe<kj::HttpService::Response&>) override {
    return kj::READY_NOW;
  }
};

Gateway::Gateway(SessionOwner& owner, std::function<Status()> healthy)
    : owner_(owner), healthy_(std::move(healthy)) {
  kj::HttpHeaderTable::Builder builder;
  timeout_ = builder.add("Grpc-Timeout");
  has_leader_ = builder.add("Grpc-Metadata-Hasleader");
  expect_ = builder.add("Expect");
  table_ = builder.build();
}

/// One request at a time.
class Gateway::Connection final : public DoorConnection,
                                  private kj::HttpService,
                                  private kj::HttpServerCallbacks,
                                  private kj::TaskSet::ErrorHandler {
 public:
  Connection(Gateway& gateway, kj::Own<kj::AsyncIoStream> stream, std::string_view first);
  ~Connection() noexcept override = default;

  kj::Promise<SessionEnd> Ended() override { return kj::mv(ended_); }
  void Tick() override;
  [[nodiscard]] bool idle() const override { return !busy_; }
  void SayGoodbye() override;
  void Stop(const Outcome& outcome) override;

 private:
  kj::Promise<void> request(kj::HttpMethod method, kj::StringPtr url,
                            const kj::HttpHeaders& headers, kj::AsyncInputStream& body,
                            Response& response) override;
  /// Asked when a response begins. What is left of its request's body must not be taken for the
  /// next one.
  bool shouldClose() override { return last_ || (call_ != nullptr && !streams_ && !body_read_); }
  void taskFailed(kj::Exception&& exception) override { End({rpc::ShortReason(exception)}); }

  kj::Promise<void> Answer(kj::HttpMethod method, std::string_view path,
                           const kj::HttpHeaders& headers, kj::AsyncInputStream& body,
                           Response& response);
  kj::Promise<void> Page(kj::HttpMethod method, Response& response, HttpStatus status,
                         kj::StringPtr content_type, std::string text);
  kj::Promise<void> Plain(Response& response, HttpStatus status, std::string text);
  kj::Promise<void> Call(const Method& method, const kj::HttpHeaders& headers,
                         kj::AsyncInputStream& body, Response& response);
  kj::Promise<void> ReadBody(kj::AsyncInputStream& body);
  void TakeBody(std::size_t size);
  kj::Promise<void> EndAt(MonoTime deadline);
  void CountUnfinished(std::size_t now);
  void FinishRequest();
  void End(SessionEnd end);

  Gateway& gateway_;
  SessionOwner& owner_;
  QuietGatewayErrors errors_;
  kj::Own<WatchedStream> stream_;

  // The request.
  bool busy_ = false;
  bool last_ = false;     ///< the connection is not used again after it
  bool reading_ = false;  ///< a read of the body is in progress
  bool body_read_ = false;
  bool streams_ = false;        ///< the body may take as long as it likes, an object in it may not
  std::uint64_t progress_ = 0;  ///< requests, and objects in them
  std::unique_ptr<GatewayCall> call_;
  std::unique_ptr<JsonValues> values_;
  std::size_t unfinished_bytes_ = 0;  ///< as counted by the owner
  std::string buffer_;

  // Looks at even intervals.
  TickCount stuck_;
  TickCount slow_;
  std::uint64_t writes_at_tick_ = 0;
  std::uint64_t acknowledged_at_tick_ = 0;
  std::uint64_t progress_at_tick_ = 0;

  bool over_ = false;
  kj::Promise<SessionEnd> ended_ = nullptr;
  kj::Own<kj::PromiseFulfiller<SessionEnd>> end_;
  kj::Own<kj::HttpServer> server_;
  kj::TaskSet tasks_;  // last: goes first
};

Gateway::Connection::Connection(Gateway& gateway, kj::Own<kj::AsyncIoStream> stream,
                                std::string_view first)
    : gateway_(gateway), owner_(gateway.owner_), tasks_(*this) {
  auto paf = kj::newPromiseAndFulfiller<SessionEnd>();
  ended_ = kj::mv(paf.promise);
  end_ = kj::mv(paf.fulfiller);
  const ConnectionTicks& ticks = owner_.ticks();
  kj::HttpServerSettings settings;
  settings.headerTimeout = (ticks.interval * ticks.handshake).count() * kj::NANOSECONDS;
  settings.pipelineTimeout = kKeptAlive;
  settings.errorHandler = errors_;
  settings.callbacks = *this;
  server_ = kj::heap<kj::HttpServer>(owner_.timer(), *gateway.table_,
                                     static_cast<kj::HttpService&>(*this), settings);
  stream_ = kj::heap<WatchedStream>(owner_.timer(), kj::mv(stream), first);
  tasks_.add(server_->listenHttpCleanDrain(*stream_)
                 .ignoreResult()
                 .exclusiveJoin(stream_->Gone())
                 .then([this] { End({}); }));
}

// --- A request.

kj::Promise<void> Gateway::Connection::request(kj::HttpMethod method, kj::StringPtr url,
                                               const kj::HttpHeaders& headers,
                                               kj::AsyncInputStream& body, Response& response) {
  busy_ = true;
  reading_ = body_read_ = false;
  ++progress_;
  KJ_IF_MAYBE (connection, headers.get(kj::HttpHeaderId::CONNECTION)) {
    last_ = last_ || AsksForClose(*connection);
  }
  const std::string_view whole(url.begin(), url.size());
  return Answer(method, whole.substr(0, whole.find('?')), headers, body, response)
      .attach(kj::defer([this] { FinishRequest(); }));
}

void Gateway::Connection::FinishRequest() {
  busy_ = false;
  // What a read that was dropped has taken is lost. Otherwise KJ skips a little of a body that was
  // not read to its end, so that the client is not cut off before it has the answer.
  const bool skips = call_ != nullptr && !body_read_ && !reading_;
  if (reading_ || (last_ && !skips)) stream_->StopReading();
  call_.reset();
  values_.reset();
  std::string().swap(buffer_);
  CountUnfinished(0);
}

kj::Promise<void> Gateway::Connection::Answer(kj::HttpMethod method, std::string_view path,
                                              const kj::HttpHeaders& headers,
                                              kj::AsyncInputStream& body, Response& response) {
  if (path == "/version") {
    return Page(method, response, HttpStatusOf(GrpcCode::kOk), "application/json", VersionJson());
  }
  if (path == "/health") {
    const Status healthy = gateway_.healthy_();
    nlohmann::ordered_json text;
    text["health"] = healthy.ok() ? "true" : "false";
    if (!healthy.ok()) text["reason"] = healthy.message();
    return Page(method, response,
                HttpStatusOf(healthy.ok() ? GrpcCode::kOk : GrpcCode::kUnavailable),
                "application/json",
                text.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  }
  const auto method_path = MethodPath(path);
  if (!method_path) return Plain(response, {404, "Not Found"}, "404 page not found\n");
  const Methods* const methods = owner_.methods();
  if (methods == nullptr) {
    const Outcome starting{GrpcCode::kUnavailable, "the member is starting; try again"};
    return SendWhole(response, *gateway_.table_, HttpStatusOf(starting.code), "application/json",
                     JsonError(starting));
  }
  const Method* const found = methods->FindJson(*method_path);
  if (found == nullptr) return Plain(response, {404, "Not Found"}, "Not Found\n");
  if (method != kj::HttpMethod::POST) {
    return Plain(response, {405, "Method Not Allowed"}, "Method Not Allowed\n");
  }
  return Call(*found, headers, body, response);
}

kj::Promise<void> Gateway::Connection::Page(kj::HttpMethod method, Response& response,
                                            HttpStatus status, kj::StringPtr content_type,
                                            std::string text) {
  if (method == kj::HttpMethod::GET || method == kj::HttpMethod::HEAD) {
    return SendWhole(response, *gateway_.table_, status, content_type, std::move(text));
  }
  return Plain(response, {405, "Method Not Allowed"}, "Method Not Allowed\n");
}

kj::Promise<void> Gateway::Connection::Plain(Response& response, HttpStatus status,
                                             std::string text) {
  return SendWhole(response, *gateway_.table_, status, kPlainText, std::move(text));
}

kj::Promise<void> Gateway::Connection::Call(const Method& method, const kj::HttpHeaders& headers,
                                            kj::AsyncInputStream& body, Response& response) {
  CallContext context{.encoding = Encoding::kJson, .deadline = kNever, .needs_leader = false};
  KJ_IF_MAYBE (leader, headers.get(gateway_.has_leader_)) {
    context.needs_leader = *leader == "true";
  }
  KJ_IF_MAYBE (text, headers.get(gateway_.timeout_)) {
    const auto timeout = ParseGrpcTimeout({text->begin(), text->size()});
    if (!timeout) {
      const Outcome malformed{GrpcCode::kInvalidArgument,
                              std::string("malformed Grpc-Timeout \"") + text->cStr() + '"'};
      return SendWhole(response, *gateway_.table_, HttpStatusOf(malformed.code), "application/json",
                       JsonError(malformed));
    }
    context.deadline = owner_.Now() + *timeout;
  }
  kj::Promise<void> ready = kj::READY_NOW;
  KJ_IF_MAYBE (expected, headers.get(gateway_.expect_)) {
    static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    if (*expected == "100-continue") ready = stream_->write(kContinue.data(), kContinue.size());
  }
  streams_ = method.client_streams;
  buffer_.resize(kBodyReadBytes);
  values_ = std::make_unique<JsonValues>(MaxJsonBytes(owner_.limits()));
  call_ = std::make_unique<GatewayCall>(owner_, method, context);
  auto reads = ready.then([this, &body] { return ReadBody(body); }).then([]() -> kj::Promise<void> {
    return kj::NEVER_DONE;
  });
  auto late = EndAt(context.deadline);
  return call_->Answer(response, *gateway_.table_)
      .exclusiveJoin(kj::mv(reads))
      .exclusiveJoin(kj::mv(late));
}

kj::Promise<void> Gateway::Connection::EndAt(MonoTime deadline) {
  if (deadline == kNever) return kj::NEVER_DONE;
  const Duration wait = std::max(deadline - owner_.Now(), Duration::zero());
  return owner_.timer()
      .afterDelay(wait.count() * kj::NANOSECONDS)
      .then([this]() -> kj::Promise<void> {
        call_->Abort({GrpcCode::kDeadlineExceeded, "context deadline exceeded"});
        return kj::NEVER_DONE;
      });
}

kj::Promise<void> Gateway::Connection::ReadBody(kj::AsyncInputStream& body) {
  reading_ = true;
  return body.tryRead(buffer_.data(), 1, buffer_.size())
      .then([this, &body](std::size_t size) -> kj::Promise<void> {
        reading_ = false;
        if (size > 0) {
          TakeBody(size);
          if (call_->ended()) return kj::READY_NOW;
          return ReadBody(body);
        }
        body_read_ = true;
        call_->OnEnd(values_->unfinished());
        values_->Drop();
        CountUnfinished(0);
        // Nothing else would notice a client that goes away now.
        stream_->LookAhead();
        return kj::READY_NOW;
      });
}

void Gateway::Connection::TakeBody(std::size_t size) {
  Outcome read = values_->Read({buffer_.data(), size}, [this](std::string_view value) {
    ++progress_;
    call_->OnValue(value);
    return !call_->ended();
  });
  const std::size_t now = values_->unfinished().size();
  const bool grew = now > unfinished_bytes_;
  CountUnfinished(now);
  if (!read.ok()) return call_->Abort(std::move(read));
  const SharedBytes& all = owner_.unfinished();
  if (!grew || (now <= kSmallMessageBytes ? all.HasRoom() : all.HasRoomForLarge())) return;
  call_->Abort({GrpcCode::kResourceExhausted, "etcdserver: too many requests"});
}

void Gateway::Connection::CountUnfinished(std::size_t now) {
  owner_.unfinished().Remove(std::exchange(unfinished_bytes_, now));
  owner_.unfinished().Add(now);
}

// --- Looks at even intervals, and the end.

void Gateway::Connection::Tick() {
  if (over_) return;
  const ConnectionTicks& ticks = owner_.ticks();
  const bool writing = stream_->writing();
  const std::uint64_t acknowledged = writing ? rpc::ProgressOf(stream_->inner()).acknowledged : 0;
  const std::uint64_t writes = stream_->writes_done();
  const bool moved = writes != writes_at_tick_ || acknowledged != acknowledged_at_tick_;
  writes_at_tick_ = writes;
  acknowledged_at_tick_ = acknowledged;
  if (stuck_.Look(writing && !moved) >= ticks.stuck) {
    return End({"it does not read the answers that it asked for", true});
  }
  const bool incomplete =
      values_ != nullptr && !body_read_ && (!streams_ || !values_->unfinished().empty());
  const std::uint32_t slow = slow_.Look(incomplete && progress_ == progress_at_tick_);
  progress_at_tick_ = progress_;
  const auto more = static_cast<std::uint32_t>(unfinished_bytes_ / kSlowestBytesPerSecond *
                                               std::chrono::nanoseconds(std::chrono::seconds(1)) /
                                               ticks.interval);
  if (slow >= ticks.unfinished + more) End({"it did not finish a request in time", true});
}

void Gateway::Connection::SayGoodbye() {
  last_ = true;
  if (idle()) End({});
}

void Gateway::Connection::Stop(const Outcome& /*outcome*/) { End({}); }

void Gateway::Connection::End(SessionEnd end) {
  if (std::exchange(over_, true)) return;
  end_->fulfill(std::move(end));
}

std::unique_ptr<DoorConnection> Gateway::Accept(kj::Own<kj::AsyncIoStream> stream,
                                                std::string_view first) {
  return std::make_unique<Connection>(*this, kj::mv(stream), first);
}

}  // namespace raftkv::etcd
