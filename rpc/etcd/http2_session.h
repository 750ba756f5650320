// How does one HTTP/2 connection of the door become gRPC calls, and what may it do?
//
// nghttp2 keeps the state of HTTP/2 and is driven from here: bytes that arrive are given to it, and
// what it wants to send is collected once everything that is ready has been done, and leaves in one
// write. While a write waits for the other side, nothing more is collected, so what is queued stays
// with the calls, where it is counted.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <kj/async-io.h>
#include <nghttp2/nghttp2.h>

#include "lib/base/time.h"
#include "rpc/etcd/door_connection.h"
#include "rpc/etcd/grpc_call.h"
#include "rpc/etcd/http2_limits.h"
#include "rpc/etcd/ticks.h"

namespace raftkv::etcd {

/// Lives on the loop.
class Http2Session final : public DoorConnection,
                           private CallOwner,
                           private kj::TaskSet::ErrorHandler {
 public:
  /// `first`: what was read from `stream` before, which begins with the preface. `owner` outlives
  /// the session.
  Http2Session(SessionOwner& owner, kj::Own<kj::AsyncIoStream> stream, std::string_view first);
  ~Http2Session() noexcept override;
  Http2Session(const Http2Session&) = delete;
  Http2Session& operator=(const Http2Session&) = delete;

  kj::Promise<SessionEnd> Ended() override { return kj::mv(ended_); }
  void Tick() override;
  [[nodiscard]] bool idle() const override { return calls_.empty(); }
  void SayGoodbye() override;
  void Stop(const Outcome& outcome) override;

  // --- For the callbacks of nghttp2 (http2_glue.cc).

  GrpcCall& NewCall(std::int32_t stream);
  /// Its headers are complete.
  void OpenCall(GrpcCall& call, std::int32_t stream);
  void CloseCall(std::int32_t stream);
  /// False: the request has too many bytes of headers.
  [[nodiscard]] bool CountHeader(std::size_t bytes);
  void CountTaken(GrpcCall& call, std::int32_t stream, std::size_t bytes);
  /// False: there are too many of them, and the connection ends.
  [[nodiscard]] bool CountFrame(FloodGuard::Kind kind);
  /// The other side's SETTINGS have come.
  void SetSettled() { settled_ = true; }
  /// Why the connection ends, unless that is known already.
  void Failed(std::string why, bool offence);

 private:
  // --- CallOwner.
  void Wake(std::int32_t stream) override;
  [[nodiscard]] bool HasRoomForAnswer(std::size_t bytes) const override;
  [[nodiscard]] bool HasRoomForUnfinished(bool small) const override;
  void CountQueued(std::size_t before, std::size_t after) override;
  void CountUnfinished(std::size_t before, std::size_t after) override;

  // --- Bytes.
  kj::Promise<void> Read();
  /// False: the connection is over.
  bool Receive(const kj::byte* bytes, std::size_t size);
  kj::Promise<void> MayRead();
  void ScheduleFlush();
  void Flush();
  void Submit(GrpcCall& call, std::int32_t stream);
  /// Takes what nghttp2 wants to send, up to a bound. False: the connection is over.
  bool Collect();
  void Write();
  void TellDrained();

  // --- The end.
  void End(SessionEnd end);
  void taskFailed(kj::Exception&& exception) override;
  /// Ends the session for nghttp2, and sends what the socket takes at once.
  void SendLast(std::uint32_t error);

  void ArmDeadline();
  void FireDeadlines();
  void TickMessages();

  // Constant after construction.
  SessionOwner& owner_;
  kj::Own<kj::AsyncIoStream> stream_;

  nghttp2_session* session_ = nullptr;
  std::unordered_map<std::int32_t, std::unique_ptr<GrpcCall>> calls_;
  FloodGuard flood_;

  // What is to be sent.
  std::vector<std::int32_t> ready_;
  std::vector<std::int32_t> drained_;
  std::string out_;
  bool flush_scheduled_ = false;
  bool writing_ = false;
  std::size_t queued_bytes_ = 0;
  std::size_t unfinished_bytes_ = 0;

  // What arrives.
  kj::Array<kj::byte> buffer_;
  std::uint32_t full_reads_ = 0;  ///< in a row
  std::size_t header_bytes_ = 0;  ///< of the request whose headers arrive
  bool settled_ = false;
  kj::Maybe<kj::Own<kj::PromiseFulfiller<void>>> paused_;

  // Looks at even intervals.
  std::uint64_t received_ = 0;
  std::uint64_t sent_ = 0;
  std::uint64_t taken_ = 0;  ///< bytes of answers, as flow control allowed
  TickCount handshake_;
  TickCount silent_;
  TickCount stuck_;
  std::uint64_t received_at_tick_ = 0;
  std::uint64_t sent_at_tick_ = 0;
  std::uint64_t taken_at_tick_ = 0;
  std::uint64_t acknowledged_at_tick_ = 0;
  bool pinged_ = false;

  // The end.
  bool over_ = false;
  SessionEnd why_;  ///< of a connection that ends once its last bytes have left
  kj::Promise<SessionEnd> ended_ = nullptr;
  kj::Own<kj::PromiseFulfiller<SessionEnd>> end_;

  std::set<std::pair<MonoTime, std::int32_t>> deadlines_;
  MonoTime armed_for_ = kNever;
  kj::Promise<void> deadline_wait_ = nullptr;
  kj::TaskSet tasks_;  // last: goes first
};

}  // namespace raftkv::etcd
