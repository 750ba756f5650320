// What follows the preface of an HTTP/2 connection to the door: whatever the frames, the session
// ends with its connection, every call with it, and nothing is counted any more.
#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <kj/async-io.h>
#include <kj/timer.h>

#include "rpc/etcd/http2_session.h"
#include "rpc/etcd/method.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/wait_scope.h"

namespace raftkv::fuzz {
namespace {

using etcd::CallContext;
using etcd::RangeRequest;
using etcd::RangeResponse;
using etcd::StreamReplier;
using etcd::WatchRequest;
using etcd::WatchResponse;

constexpr std::string_view kHttp2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr std::size_t kHttp2SharedBytes = 64 * 1024;

/// A connection on which `bytes` arrive in pieces, and then the end.
class FramesStream final : public kj::AsyncIoStream {
 public:
  FramesStream(std::string_view bytes, std::size_t piece, bool takes_writes)
      : left_(bytes), piece_(piece), takes_writes_(takes_writes) {}

  kj::Promise<std::size_t> tryRead(void* to, std::size_t min_bytes,
                                   std::size_t max_bytes) override {
    RAFTKV_CHECK(min_bytes <= max_bytes, min_bytes, max_bytes);
    const std::size_t count = std::min({piece_, max_bytes, left_.size()});
    if (count > 0) std::memcpy(to, left_.data(), count);
    left_.remove_prefix(count);
    // What is ready is sent between two pieces.
    return kj::evalLast([count] { return count; });
  }
  kj::Promise<void> write(const void* bytes, std::size_t size) override {
    CheckFrames({static_cast<const char*>(bytes), size});
    if (takes_writes_) return kj::READY_NOW;
    return kj::NEVER_DONE;
  }
  kj::Promise<void> write(kj::ArrayPtr<const kj::ArrayPtr<const kj::byte>> /*pieces*/) override {
    return kj::READY_NOW;
  }
  kj::Promise<void> whenWriteDisconnected() override { return kj::NEVER_DONE; }
  void shutdownWrite() override {}

 private:
  /// A write has whole frames.
  static void CheckFrames(std::string_view bytes) {
    constexpr std::size_t kFrameHeadBytes = 9;
    while (!bytes.empty()) {
      RAFTKV_CHECK(bytes.size() >= kFrameHeadBytes, bytes.size());
      std::size_t size = kFrameHeadBytes;
      for (std::size_t i = 0; i < 3; ++i) {
        size += static_cast<std::size_t>(static_cast<unsigned char>(bytes[i])) << (16 - 8 * i);
      }
      RAFTKV_CHECK(size <= bytes.size(), size, bytes.size());
      bytes.remove_prefix(size);
    }
  }

  std::string_view left_;
  const std::size_t piece_;
  const bool takes_writes_;
};

/// Nothing comes later than at once.
class NoTimer final : public kj::Timer {
 public:
  kj::TimePoint now() const override { return kj::origin<kj::TimePoint>(); }
  kj::Promise<void> atTime(kj::TimePoint time) override { return afterDelay(time - now()); }
  kj::Promise<void> afterDelay(kj::Duration delay) override {
    if (delay > 0 * kj::NANOSECONDS) return kj::NEVER_DONE;
    return kj::READY_NOW;
  }
};

/// Counts what lives.
struct LiveCalls {
  int streams = 0;
};

class EchoStream final : public etcd::Conversation<WatchRequest> {
 public:
  EchoStream(LiveCalls& live, StreamReplier<WatchResponse> reply)
      : live_(live), reply_(std::move(reply)) {
    ++live_.streams;
  }
  ~EchoStream() override { --live_.streams; }
  void OnRequest(WatchRequest request) override {
    if (request.cancel_request) return reply_.Finish({});
    if (!reply_.full()) reply_.Send(WatchResponse());
  }
  void OnHalfClose() override { reply_.Finish({}); }

 private:
  LiveCalls& live_;
  StreamReplier<WatchResponse> reply_;
};

class FuzzedDoor final : public etcd::SessionOwner {
 public:
  FuzzedDoor() {
    methods_.AddUnary<RangeRequest, RangeResponse>(
        "etcdserverpb.KV", "Range", "",
        [](const CallContext& /*context*/, RangeRequest request,
           etcd::Replier<RangeResponse> reply) {
          if (request.limit != 0) return reply(etcd::Outcome{etcd::GrpcCode::kNotFound, "no"});
          RangeResponse response;
          response.kvs.emplace_back();
          response.kvs[0].key = std::move(request.key);
          reply(response);
        });
    methods_.AddStream<WatchRequest, WatchResponse>(
        "etcdserverpb.Watch", "Watch", "", /*client_streams=*/true,
        [this](const CallContext& /*context*/, StreamReplier<WatchResponse> reply) {
          return std::make_unique<EchoStream>(live, std::move(reply));
        });
    limits_.max_message_bytes = 4096;
    limits_.max_unfinished_bytes = 8192;
    limits_.max_queued_bytes = 16 * 1024;
    limits_.max_pings = limits_.max_resets = limits_.max_empty_frames = 16;
  }

  ~FuzzedDoor() noexcept override = default;

  MonoTime Now() override { return MonoTime(std::chrono::hours(1)); }
  kj::Timer& timer() override { return timer_; }
  const etcd::Methods* methods() const override { return &methods_; }
  const etcd::Http2Limits& limits() const override { return limits_; }
  const etcd::ConnectionTicks& ticks() const override { return ticks_; }
  etcd::SharedBytes& queued() override { return queued_; }
  etcd::SharedBytes& unfinished() override { return unfinished_; }

  LiveCalls live;

 private:
  NoTimer timer_;
  etcd::Methods methods_;
  etcd::Http2Limits limits_;
  etcd::ConnectionTicks ticks_;
  etcd::SharedBytes queued_{kHttp2SharedBytes};
  etcd::SharedBytes unfinished_{kHttp2SharedBytes};
};

void RunSession(kj::WaitScope& scope, FuzzedDoor& door, std::string_view bytes, std::size_t piece,
                bool takes_writes) {
  {
    etcd::Http2Session session(door, kj::heap<FramesStream>(bytes, piece, takes_writes),
                               kHttp2Preface);
    const etcd::SessionEnd end = session.Ended().wait(scope);
    RAFTKV_CHECK(end.reason.find('\n') == std::string::npos, end.reason);
    session.Tick();
    session.Stop({etcd::GrpcCode::kUnavailable, "stopped"});
  }
  RAFTKV_CHECK(door.live.streams == 0, door.live.streams);
  RAFTKV_CHECK(door.queued().used() == 0, door.queued().used());
  RAFTKV_CHECK(door.unfinished().used() == 0, door.unfinished().used());
}

}  // namespace
}  // namespace raftkv::fuzz

RAFTKV_FUZZ_TARGET(etcd_http2) {
  kj::WaitScope& scope = TheWaitScope();
  static FuzzedDoor door;
  if (input.empty()) return;
  switch (TakeCase(input, 3)) {
    case 0: return RunSession(scope, door, input, 1 << 16, /*takes_writes=*/true);
    case 1: return RunSession(scope, door, input, 7, /*takes_writes=*/true);
    default: return RunSession(scope, door, input, 64, /*takes_writes=*/false);
  }
}
