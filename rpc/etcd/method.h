// What passes between a transport (gRPC over HTTP/2, JSON over HTTP/1.1) and a method of the API?
//
// A transport knows bytes and paths; a method knows messages. In between, this file: a table of
// methods, each of which takes encoded requests and gives encoded answers, in one of two encodings.
//
//   bytes -> transport -> Handler (decodes) -> method
//   bytes <- transport <- Sink    (encodes) <- Replier / StreamReplier
//
// Everything lives on the loop. A transport destroys the Handler when its call is over, for
// whatever reason; a method may still answer after that, and nothing happens.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/time.h"
#include "rpc/etcd/json.h"
#include "rpc/etcd/outcome.h"
#include "rpc/etcd/proto.h"

namespace raftkv::etcd {

enum class Encoding : std::uint8_t { kProto, kJson };

/// What a call says besides its messages.
struct CallContext {
  Encoding encoding = Encoding::kProto;
  /// Of grpc-timeout; kNever: none was set.
  MonoTime deadline = kNever;
  /// `hasleader: true`: the call ends with "etcdserver: no leader" where there is none.
  bool needs_leader = false;
};

/// Where a call's answers go: implemented by a transport. After Finish(), or once the transport has
/// destroyed the call's Handler, nothing happens any more.
class Sink {
 public:
  virtual ~Sink() = default;
  /// One message of the answer.
  virtual void Send(std::string encoded) = 0;
  /// The end of the call.
  virtual void Finish(Outcome outcome) = 0;
  /// What was sent and is not yet with the other side's flow control. A method that streams stops
  /// sending at kMaxQueuedBytes, and goes on when its Handler's OnDrained() is called.
  [[nodiscard]] virtual std::size_t queued_bytes() const = 0;

  static constexpr std::size_t kMaxQueuedBytes = 1 << 20;
};

/// A call in progress, as the transport sees it.
class Handler {
 public:
  virtual ~Handler() = default;
  /// One message of the request.
  virtual void OnMessage(std::string_view encoded) = 0;
  /// No more of them.
  virtual void OnHalfClose() = 0;
  /// queued_bytes() has fallen below kMaxQueuedBytes.
  virtual void OnDrained() {}
};

/// Answers a unary call, once. Copies are of the same call.
template <class Response>
class Replier {
 public:
  Replier(std::shared_ptr<Sink> sink, Encoding encoding)
      : sink_(std::move(sink)), encoding_(encoding) {}
  void operator()(const Response& response) const {
    sink_->Send(encoding_ == Encoding::kProto ? EncodeProto(response) : EncodeJson(response));
    sink_->Finish({});
  }
  void operator()(Outcome failed) const { sink_->Finish(std::move(failed)); }

 private:
  std::shared_ptr<Sink> sink_;
  Encoding encoding_;
};

/// Answers a call with as many messages as there are.
template <class Response>
class StreamReplier {
 public:
  StreamReplier(std::shared_ptr<Sink> sink, Encoding encoding)
      : sink_(std::move(sink)), encoding_(encoding) {}
  void Send(const Response& response) const {
    sink_->Send(encoding_ == Encoding::kProto ? EncodeProto(response) : EncodeJson(response));
  }
  void Finish(Outcome outcome) const { sink_->Finish(std::move(outcome)); }
  [[nodiscard]] bool full() const { return sink_->queued_bytes() >= Sink::kMaxQueuedBytes; }

 private:
  std::shared_ptr<Sink> sink_;
  Encoding encoding_;
};

/// A method's side of a call with several requests or answers.
template <class Request>
class Conversation {
 public:
  virtual ~Conversation() = default;
  virtual void OnRequest(Request request) = 0;
  /// The client sends no more. A server that streams goes on; the others finish.
  virtual void OnHalfClose() = 0;
  virtual void OnDrained() {}
};

struct Method {
  std::string service;  ///< "etcdserverpb.KV"
  std::string name;     ///< "Range"
  /// "kv/range", behind /v3/ of the gateway; empty: not served there.
  std::string json_path;
  bool client_streams = false;
  bool server_streams = false;
  std::string request_type;  ///< "etcdserverpb.RangeRequest"
  std::string response_type;
  std::function<std::unique_ptr<Handler>(const CallContext&, std::shared_ptr<Sink>)> open;
};

/// The answer to a request that cannot be decoded.
Outcome Malformed(Encoding encoding, std::string_view what);

/// All methods of the door, by path.
class Methods {
 public:
  Methods() = default;
  Methods(Methods&&) = default;
  Methods& operator=(Methods&&) = default;

  /// `serve(context, request, reply)`.
  template <class Request, class Response>
  void AddUnary(std::string service, std::string name, std::string json_path,
                std::function<void(const CallContext&, Request, Replier<Response>)> serve);
  /// The same for a call that waits: `serve` returns what is released when the call is over, for
  /// whatever reason. That is how it learns that nobody waits for the answer any more.
  template <class Request, class Response>
  void AddHeldUnary(
      std::string service, std::string name, std::string json_path,
      std::function<std::shared_ptr<void>(const CallContext&, Request, Replier<Response>)> serve);
  /// `open(context, reply)` returns the Conversation.
  template <class Request, class Response>
  void AddStream(std::string service, std::string name, std::string json_path, bool client_streams,
                 std::function<std::unique_ptr<Conversation<Request>>(const CallContext&,
                                                                      StreamReplier<Response>)>
                     open);

  /// "/etcdserverpb.KV/Range"; null: there is none.
  [[nodiscard]] const Method* FindGrpc(std::string_view path) const;
  /// "kv/range"; null: there is none.
  [[nodiscard]] const Method* FindJson(std::string_view path) const;
  [[nodiscard]] const std::map<std::string, Method, std::less<>>& all() const { return grpc_; }

 private:
  void Add(Method method);

  std::map<std::string, Method, std::less<>> grpc_;
  std::map<std::string, const Method*, std::less<>> json_;
};

// --- How a request's bytes become a message, for both kinds.

template <class Request>
Result<Request> Decode(Encoding encoding, std::string_view encoded) {
  return encoding == Encoding::kProto ? DecodeProto<Request>(encoded)
                                      : DecodeJson<Request>(encoded);
}

template <class Request, class Response>
class UnaryHandler final : public Handler {
 public:
  using Serve = std::function<void(const CallContext&, Request, Replier<Response>)>;
  UnaryHandler(const CallContext& context, std::shared_ptr<Sink> sink, const Serve& serve)
      : context_(context), sink_(std::move(sink)), serve_(serve) {}

  void OnMessage(std::string_view encoded) override {
    if (request_) {
      refused_ = true;
      return;
    }
    auto decoded = Decode<Request>(context_.encoding, encoded);
    if (decoded.ok()) {
      request_ = *std::move(decoded);
    } else if (!refused_) {
      refused_ = true;
      sink_->Finish(Malformed(context_.encoding, decoded.status().message()));
    }
  }

  void OnHalfClose() override {
    if (refused_ && !request_) return;
    if (refused_ || !request_) {
      sink_->Finish({GrpcCode::kInternal, "a unary call has exactly one message"});
      return;
    }
    serve_(context_, *std::move(request_), Replier<Response>(sink_, context_.encoding));
  }

 private:
  const CallContext context_;
  const std::shared_ptr<Sink> sink_;
  const Serve& serve_;  ///< of the table, which outlives all calls
  std::optional<Request> request_;
  bool refused_ = false;
};

/// As UnaryHandler, and holds what `serve` returned until the call is over.
template <class Request, class Response>
class HeldUnaryHandler final : public Handler {
 public:
  using Unary = UnaryHandler<Request, Response>;
  using Serve =
      std::function<std::shared_ptr<void>(const CallContext&, Request, Replier<Response>)>;
  HeldUnaryHandler(const CallContext& context, std::shared_ptr<Sink> sink,
                   std::shared_ptr<const Serve> serve)
      : serve_([held = held_, serve = std::move(serve)](const CallContext& of, Request request,
                                                        Replier<Response> reply) {
          // An answer at once may end the call, and this handler with it: only what is on the stack
          // is used from here on.
          const auto keep = held;
          const auto run = serve;
          std::shared_ptr<void> token = (*run)(of, std::move(request), std::move(reply));
          *keep = std::move(token);
        }),
        unary_(context, std::move(sink), serve_) {}
  HeldUnaryHandler(const HeldUnaryHandler&) = delete;
  HeldUnaryHandler& operator=(const HeldUnaryHandler&) = delete;
  ~HeldUnaryHandler() override { held_->reset(); }

  void OnMessage(std::string_view encoded) override { unary_.OnMessage(encoded); }
  void OnHalfClose() override { unary_.OnHalfClose(); }

 private:
  const std::shared_ptr<std::shared_ptr<void>> held_ = std::make_shared<std::shared_ptr<void>>();
  const typename Unary::Serve serve_;
  Unary unary_;
};

template <class Request, class Response>
class StreamHandler final : public Handler {
 public:
  StreamHandler(const CallContext& context, std::shared_ptr<Sink> sink,
                std::unique_ptr<Conversation<Request>> conversation)
      : context_(context), sink_(std::move(sink)), conversation_(std::move(conversation)) {}

  void OnMessage(std::string_view encoded) override {
    auto decoded = Decode<Request>(context_.encoding, encoded);
    if (decoded.ok()) return conversation_->OnRequest(*std::move(decoded));
    sink_->Finish(Malformed(context_.encoding, decoded.status().message()));
  }
  void OnHalfClose() override { conversation_->OnHalfClose(); }
  void OnDrained() override { conversation_->OnDrained(); }

 private:
  const CallContext context_;
  const std::shared_ptr<Sink> sink_;
  const std::unique_ptr<Conversation<Request>> conversation_;
};

template <class Request, class Response>
void Methods::AddUnary(std::string service, std::string name, std::string json_path,
                       std::function<void(const CallContext&, Request, Replier<Response>)> serve) {
  auto kept =
      std::make_shared<const typename UnaryHandler<Request, Response>::Serve>(std::move(serve));
  Add({.service = std::move(service),
       .name = std::move(name),
       .json_path = std::move(json_path),
       .request_type = Request::kType,
       .response_type = Response::kType,
       .open = [kept](const CallContext& context, std::shared_ptr<Sink> sink) {
         return std::make_unique<UnaryHandler<Request, Response>>(context, std::move(sink), *kept);
       }});
}

template <class Request, class Response>
void Methods::AddHeldUnary(
    std::string service, std::string name, std::string json_path,
    std::function<std::shared_ptr<void>(const CallContext&, Request, Replier<Response>)> serve) {
  using Held = HeldUnaryHandler<Request, Response>;
  auto kept = std::make_shared<const typename Held::Serve>(std::move(serve));
  Add({.service = std::move(service),
       .name = std::move(name),
       .json_path = std::move(json_path),
       .request_type = Request::kType,
       .response_type = Response::kType,
       .open = [kept](const CallContext& context, std::shared_ptr<Sink> sink) {
         return std::make_unique<Held>(context, std::move(sink), kept);
       }});
}

template <class Request, class Response>
void Methods::AddStream(std::string service, std::string name, std::string json_path,
                        bool client_streams,
                        std::function<std::unique_ptr<Conversation<Request>>(
                            const CallContext&, StreamReplier<Response>)>
                            open) {
  Add({.service = std::move(service),
       .name = std::move(name),
       .json_path = std::move(json_path),
       .client_streams = client_streams,
       .server_streams = true,
       .request_type = Request::kType,
       .response_type = Response::kType,
       .open = [open = std::move(open)](const CallContext& context, std::shared_ptr<Sink> sink) {
         auto conversation = open(context, StreamReplier<Response>(sink, context.encoding));
         return std::make_unique<StreamHandler<Request, Response>>(context, std::move(sink),
                                                                   std::move(conversation));
       }});
}

}  // namespace raftkv::etcd
