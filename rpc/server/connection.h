// What is one connection made to this member?
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <capnp/rpc-twoparty.h>
#include <kj/async-io.h>

#include "rpc/loop/checked_stream.h"
#include "rpc/loop/event_loop.h"
#include "rpc/server/held_replies.h"
#include "rpc/server/server.h"
#include "rpc/tls/certificate.h"
#include "rpc/wire/raftkv.capnp.h"

namespace raftkv::rpc {

class Connection;

/// What TLS has shown of the other side.
struct ConnectionSecurity {
  enum class Kind : std::uint8_t {
    kPlain,   ///< nothing: any side may say what it is
    kClient,  ///< no peer
    kPeer,    ///< nothing but a peer
  };
  Kind kind = Kind::kPlain;
  Identity identity = {};
};

/// Bytes of answers that wait on one connection. Above this nothing more is read from it, and
/// further answers are not kept: so it is exceeded by one answer at most, and by small ones.
inline constexpr std::size_t kMaxQueuedBytes = 16 << 20;
/// Calls of the other side whose answers it has not released.
inline constexpr std::uint32_t kMaxOpenCalls = 16 * 1024;
/// A message that has begun to arrive has the time of this many bytes per second, and a little
/// more.
inline constexpr std::size_t kSlowestBytesPerSecond = 64 * 1024;
/// An answer of this size is always sent; the number of calls of a connection is bounded.
inline constexpr std::size_t kSmallAnswerBytes = 4 * 1024;

/// The server, as its connections see it.
class ConnectionOwner {
 public:
  virtual ~ConnectionOwner() = default;
  [[nodiscard]] virtual EventLoop& loop() = 0;
  [[nodiscard]] virtual Service& service() = 0;
  [[nodiscard]] virtual const ServerOptions& options() const = 0;
  /// Calls of peers that wait for this member's answers.
  [[nodiscard]] virtual HeldReplies& replies() = 0;
  /// `connection` is now the connection from `peer`; an earlier one is closed.
  virtual void BecamePeer(Connection& connection, NodeId peer) = 0;
  /// Why no further client can be admitted; empty if one can.
  [[nodiscard]] virtual std::string NoRoomForClient() const = 0;
  /// Bytes of answers, over all connections.
  [[nodiscard]] virtual std::size_t queued_bytes() const = 0;
  /// Bytes of incomplete messages: of peers, or of all others.
  [[nodiscard]] virtual ByteBudget& budget(bool of_peers) = 0;
  /// Logs one line about input from outside; rate limited.
  virtual void LogOffence(const std::string& line) = 0;
};

/// Lives on the loop. Calls of its capabilities may continue after it was destroyed: they share
/// `Shared`.
class Connection {
 public:
  enum class Kind : std::uint8_t { kUnknown, kClient, kPeer };
  struct Shared {
    ConnectionOwner& owner;
    Connection* connection;  // null once it was destroyed; then `owner` must not be used either
    bool alive;
  };

  Connection(ConnectionOwner& owner, std::uint64_t number, kj::Own<kj::AsyncIoStream> stream,
             ConnectionSecurity security = {});
  ~Connection() noexcept;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Resolves when the other side is gone or has broken the protocol; call it once.
  kj::Promise<CheckedStream::End> Ended();
  /// The handshake is complete: larger messages are accepted from now on.
  void Become(Kind kind);

  /// Whether an answer of `bytes` may be queued: answers that a client does not read must not pile
  /// up.
  [[nodiscard]] bool HasRoom(std::size_t bytes) const;
  /// Bytes of answers that the kernel has not accepted yet.
  [[nodiscard]] std::size_t queued_bytes() const;
  /// Call it at even intervals. For how many of them in a row the other side has read nothing of
  /// what waits for it. Intervals, not time, since a stopped process would see a large jump of
  /// time.
  std::uint32_t CountStuck();
  /// The same for an incoming message: whether it takes too long to complete. `looks`: the
  /// intervals, of length `interval`, that it has in any case.
  [[nodiscard]] bool CountUnfinished(std::uint32_t looks, Duration interval);

  [[nodiscard]] Kind kind() const { return kind_; }
  [[nodiscard]] std::uint64_t number() const { return number_; }
  [[nodiscard]] NodeId peer() const { return peer_; }
  void set_peer(NodeId peer) { peer_ = peer; }
  [[nodiscard]] const std::string& remote() const { return remote_; }
  [[nodiscard]] const ConnectionSecurity& security() const { return security_; }

 private:
  const std::uint64_t number_;
  const ConnectionSecurity security_;
  const std::string remote_;
  const std::size_t max_message_bytes_;
  Kind kind_ = Kind::kUnknown;
  NodeId peer_;
  std::uint32_t stuck_ = 0;
  std::uint32_t unfinished_ = 0;
  std::uint64_t read_seen_ = 0;
  std::uint64_t messages_seen_ = 0;
  std::uint64_t acknowledged_seen_ = 0;
  std::shared_ptr<Shared> shared_;
  kj::Own<kj::AsyncIoStream> stream_;
  CheckedStream checked_;
  // The method that returns the size of its queue is not const.
  mutable capnp::TwoPartyVatNetwork network_;
  capnp::RpcSystem<capnp::rpc::twoparty::VatId> rpc_;
};

}  // namespace raftkv::rpc
