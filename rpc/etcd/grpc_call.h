// What is one gRPC call, between the frames of its stream and the Handler of its method?
//
// The call checks the request's headers, takes messages out of the bytes that arrive, and queues
// the answers; the session (http2_session.h) moves bytes when HTTP/2 allows it. Nothing here knows
// nghttp2.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/time.h"
#include "rpc/etcd/grpc_framing.h"
#include "rpc/etcd/method.h"

namespace raftkv::etcd {

/// A message that has begun to arrive has the time of this many bytes per second, and a little
/// more.
inline constexpr std::size_t kSlowestBytesPerSecond = 64 * 1024;
/// Messages and answers up to this size are admitted where larger ones are not.
inline constexpr std::size_t kSmallMessageBytes = 4 * 1024;

/// The headers of a request that matter to its call.
struct RequestHead {
  std::string method;
  std::string path;
  std::string content_type;
  std::string timeout;
  bool needs_leader = false;
};

/// The session, as its calls see it.
class CallOwner {
 public:
  virtual ~CallOwner() = default;
  /// The call on `stream` has something to send, or has ended.
  virtual void Wake(std::int32_t stream) = 0;
  [[nodiscard]] virtual bool HasRoomForAnswer(std::size_t bytes) const = 0;
  /// For what has arrived of incomplete messages; asked once it is counted.
  [[nodiscard]] virtual bool HasRoomForUnfinished(bool small) const = 0;
  /// The bytes of answers that wait, and of incomplete messages, of the call have changed.
  virtual void CountQueued(std::size_t before, std::size_t after) = 0;
  virtual void CountUnfinished(std::size_t before, std::size_t after) = 0;
};

/// Lives on the loop. Its Sink may outlive it and then does nothing.
class GrpcCall final {
 public:
  /// `owner` outlives the call.
  GrpcCall(CallOwner& owner, std::int32_t stream, std::size_t max_message_bytes);
  ~GrpcCall();
  GrpcCall(const GrpcCall&) = delete;
  GrpcCall& operator=(const GrpcCall&) = delete;

  // --- What arrives. Once the call has ended it is ignored.

  /// The request's headers. `methods` is null while the member is starting, and outlives the call
  /// otherwise. Filled in before.
  RequestHead head;
  void Open(const Methods* methods, MonoTime now);
  void OnData(std::string_view bytes);
  void OnHalfClose();

  /// Ends the call in place of its method: what has not been sent yet is dropped.
  void Abort(Outcome outcome);
  [[nodiscard]] MonoTime deadline() const { return deadline_; }
  /// Call it at even intervals: whether an incoming message takes too long to complete. `looks`:
  /// the intervals, of length `interval`, that it has in any case.
  [[nodiscard]] bool CountUnfinishedTicks(std::uint32_t looks, Duration interval);

  // --- What is to be sent.

  [[nodiscard]] bool ended() const { return outcome_.has_value(); }
  [[nodiscard]] const Outcome& outcome() const { return *outcome_; }
  [[nodiscard]] std::size_t queued_bytes() const { return queued_bytes_; }
  /// 200, or why this is no gRPC call.
  [[nodiscard]] int http_status() const { return http_status_; }
  /// The answer cannot be completed in order: its stream has to be reset.
  [[nodiscard]] bool broken() const { return broken_; }
  [[nodiscard]] bool head_sent() const { return head_sent_; }
  void set_head_sent() { head_sent_ = true; }
  /// Moves at most `size` bytes of the answers to `to`.
  std::size_t Take(char* to, std::size_t size);
  /// Whether the method, which had stopped sending, may go on; once.
  [[nodiscard]] bool TakeDrained() { return std::exchange(drained_, false); }
  void TellDrained();
  /// Destroys the Handler of a call that has ended; not from inside one of its calls.
  void ReleaseHandler();

 private:
  class Answers;

  [[nodiscard]] Outcome Refusal(const Methods* methods, const Method*& method);
  void Send(std::string encoded);
  void Finish(Outcome outcome);
  void SetQueued(std::size_t bytes);
  void PopFront();
  void CountUnfinished();

  CallOwner& owner_;
  const std::int32_t stream_;
  const std::shared_ptr<Answers> answers_;
  MessageReader reader_;
  std::unique_ptr<Handler> handler_;
  MonoTime deadline_ = kNever;
  std::uint64_t messages_ = 0;
  std::size_t unfinished_bytes_ = 0;  ///< as told to the owner
  std::uint32_t unfinished_ticks_ = 0;
  std::uint64_t messages_at_tick_ = 0;

  std::optional<Outcome> outcome_;
  int http_status_ = 200;
  bool head_sent_ = false;
  bool broken_ = false;
  bool full_ = false;  ///< the method has been told to stop sending
  bool drained_ = false;
  /// From next_ on; what is before has been taken.
  std::vector<std::string> queue_;
  std::size_t next_ = 0;
  std::size_t taken_ = 0;  ///< bytes of queue_[next_]
  std::size_t queued_bytes_ = 0;
};

}  // namespace raftkv::etcd
