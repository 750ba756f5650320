// What is one call of the JSON gateway, between its HTTP request and the Handler of its method?
//
// A unary call answers with one object. One that streams answers `{"result":...}` a line, each in a
// chunk of its own, since there are clients that read one object per chunk.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <kj/compat/http.h>

#include "rpc/etcd/door_connection.h"
#include "rpc/etcd/method.h"

namespace raftkv::etcd {

/// A status of HTTP, with its text.
struct HttpStatus {
  unsigned code;
  const char* text;
};
HttpStatus HttpStatusOf(GrpcCode code);

/// `{"error":...,"message":...,"code":...}`, as the gateway of etcd has it.
std::string JsonError(const Outcome& outcome);
/// As the last line of a stream.
std::string JsonStreamError(const Outcome& outcome);

/// Writes a whole answer. The promise holds what it needs.
kj::Promise<void> SendWhole(kj::HttpService::Response& response, const kj::HttpHeaderTable& table,
                            HttpStatus status, kj::StringPtr content_type, std::string body);

/// Lives on the loop. Its Sink may outlive it and then does nothing.
class GatewayCall final {
 public:
  /// `owner` and `method` outlive the call.
  GatewayCall(SessionOwner& owner, const Method& method, const CallContext& context);
  ~GatewayCall();
  GatewayCall(const GatewayCall&) = delete;
  GatewayCall& operator=(const GatewayCall&) = delete;

  // --- What arrives. Once the call has ended it is ignored.
  void OnValue(std::string_view json);
  /// `rest`: an object that was not completed; empty: none.
  void OnEnd(std::string_view rest);
  void Abort(Outcome outcome);
  [[nodiscard]] bool ended() const { return outcome_.has_value(); }

  /// Writes the answer as it comes; resolves when it is complete. Both outlive the promise.
  kj::Promise<void> Answer(kj::HttpService::Response& response, const kj::HttpHeaderTable& table);

 private:
  class Answers;

  void Send(std::string json);
  void Finish(Outcome outcome);
  void Wake();
  kj::Promise<void> Changed();
  kj::Promise<void> AnswerOnce(kj::HttpService::Response& response,
                               const kj::HttpHeaderTable& table);
  kj::Promise<void> AnswerStream(kj::HttpService::Response& response,
                                 const kj::HttpHeaderTable& table);
  kj::Promise<void> WriteLine(kj::HttpService::Response& response, const kj::HttpHeaderTable& table,
                              std::string line);
  void PopFront();

  SessionOwner& owner_;
  const Method& method_;
  const std::shared_ptr<Answers> answers_;
  std::unique_ptr<Handler> handler_;
  std::uint64_t values_ = 0;
  std::optional<Outcome> outcome_;
  std::deque<std::string> queue_;
  std::size_t queued_bytes_ = 0;
  bool full_ = false;  ///< the method has been told to stop sending
  kj::Maybe<kj::Own<kj::PromiseFulfiller<void>>> changed_;
  kj::Maybe<kj::Own<kj::AsyncOutputStream>> body_;  ///< of a stream that has begun
};

}  // namespace raftkv::etcd
