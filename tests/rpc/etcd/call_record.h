// What did a method of the door answer? A transport for tests, without a network.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "rpc/etcd/method.h"

namespace raftkv::etcd {

/// Keeps what is sent. Ignores what comes after the end, as a transport does.
class CallRecord final : public Sink {
 public:
  void Send(std::string encoded) override {
    if (!outcome.has_value()) sent.push_back(std::move(encoded));
  }
  void Finish(Outcome ended) override {
    if (!outcome.has_value()) outcome = std::move(ended);
  }
  [[nodiscard]] std::size_t queued_bytes() const override { return queued; }

  std::vector<std::string> sent;
  std::optional<Outcome> outcome;
  std::size_t queued = 0;
};

/// A call in progress: `record` is its other side.
struct OpenedCall {
  std::shared_ptr<CallRecord> record;
  std::unique_ptr<Handler> handler;

  template <class Request>
  void Ask(const Request& request) const {
    handler->OnMessage(EncodeProto(request));
  }
  /// The message number `at` of the answer.
  template <class Response>
  [[nodiscard]] Response Answer(std::size_t at = 0) const {
    EXPECT_LT(at, record->sent.size());
    if (at >= record->sent.size()) return {};
    auto decoded = DecodeProto<Response>(record->sent[at]);
    EXPECT_TRUE(decoded.ok()) << decoded.status().ToString();
    return decoded.ok() ? *decoded : Response{};
  }
};

inline OpenedCall OpenCall(const Methods& methods, const std::string& path,
                           Encoding encoding = Encoding::kProto) {
  const Method* const method = methods.FindGrpc(path);
  EXPECT_NE(method, nullptr) << path;
  OpenedCall call{.record = std::make_shared<CallRecord>(), .handler = nullptr};
  if (method != nullptr) call.handler = method->open({.encoding = encoding}, call.record);
  return call;
}

}  // namespace raftkv::etcd
