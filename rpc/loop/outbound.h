// How does this side connect to a member? (for peers and for clients)
#pragma once

#include <memory>
#include <string>

#include <capnp/rpc-twoparty.h>
#include <kj/async-io.h>

#include "rpc/loop/checked_stream.h"
#include "rpc/loop/event_loop.h"
#include "rpc/loop/tcp_progress.h"
#include "rpc/tls/tls_dialer.h"
#include "rpc/wire/raftkv.capnp.h"

namespace raftkv::rpc {

/// As in RFC 8305: long for a connection, short for a human.
inline constexpr Duration kHeadStart = std::chrono::milliseconds(250);
/// Addresses per name; more are not tried.
inline constexpr std::size_t kMaxAddresses = 16;

/// A connection that was made. Lives on the loop.
class Outbound {
 public:
  Outbound(kj::Own<kj::AsyncIoStream> stream, std::size_t max_message_bytes);
  Outbound(const Outbound&) = delete;
  Outbound& operator=(const Outbound&) = delete;

  [[nodiscard]] wire::Bootstrap::Client bootstrap();
  [[nodiscard]] TcpProgress progress() { return ProgressOf(*stream_); }
  /// Resolves when the other side is gone, with the reason; call it once.
  kj::Promise<std::string> Ended();

 private:
  kj::Own<kj::AsyncIoStream> stream_;
  CheckedStream checked_;
  capnp::TwoPartyVatNetwork network_;
  capnp::RpcSystem<capnp::rpc::twoparty::VatId> rpc_;
};

/// Resolves the name again and connects to whichever of its addresses answers first: each gets
/// kHeadStart before the next one is tried as well. Then `tls` shakes hands; null: plain text.
/// Fails after `timeout`.
kj::Promise<std::unique_ptr<Outbound>> Dial(EventLoop& loop, const std::string& address,
                                            Duration timeout, std::size_t max_message_bytes,
                                            std::shared_ptr<const TlsDialer> tls = nullptr);

inline kj::Duration ToKj(Duration duration) { return duration.count() * kj::NANOSECONDS; }

}  // namespace raftkv::rpc
