// What is one connection of a client to one member?
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <raftkv/client.h>

#include "rpc/client/cluster_pin.h"
#include "rpc/loop/outbound.h"
#include "rpc/wire/codec.h"

namespace raftkv::rpc {

/// Lives on the loop; shared by the channel and the calls in progress on it.
class ClientLink {
 public:
  /// Connects and completes the handshake, all within `timeout`. A failure's description says why.
  /// A member of another cluster than the pin's counts as a failure; the first accepted member sets
  /// the pin. Without `tls` it is plain text.
  static kj::Promise<std::shared_ptr<ClientLink>> Open(
      EventLoop& loop, std::string address, std::shared_ptr<ClusterPin> pin, Duration timeout,
      std::shared_ptr<const TlsDialer> tls = nullptr);

  ClientLink(EventLoop& loop, std::string address, std::shared_ptr<ClusterPin> pin,
             std::unique_ptr<Outbound> connection);
  ClientLink(const ClientLink&) = delete;
  ClientLink& operator=(const ClientLink&) = delete;

  [[nodiscard]] const std::string& address() const { return address_; }
  [[nodiscard]] wire::KvService::Client& service() { return service_.value(); }
  [[nodiscard]] const AnswerHeader& header() const { return header_; }
  [[nodiscard]] std::uint32_t max_request_bytes() const { return max_request_bytes_; }
  /// Empty while the connection is open.
  [[nodiscard]] const std::string& ended() const { return ended_; }

  /// A call begins and ends: the watchdog runs while there are any.
  void CallBegan();
  void CallEnded() { --calls_; }
  [[nodiscard]] std::size_t calls() const { return calls_; }
  /// Closes the connection if the member turns out to be of another cluster.
  void Heard(const AnswerHeader& header);
  /// Closes the connection: its open calls fail.
  void Abandon(const std::string& why);

  /// Whether the bytes of a large message are moving, in either direction, while calls are open:
  /// calls that wait behind them have good reason to.
  [[nodiscard]] bool Moves();

  /// A connection on which nothing moves, and whose member does not even answer a ping, is given
  /// up.
  static constexpr Duration kPingAfter = std::chrono::milliseconds(300);
  static constexpr Duration kPingLimit = std::chrono::milliseconds(700);

 private:
  kj::Promise<void> ShakeHands();
  kj::Promise<void> Watch();
  kj::Promise<void> Ping();
  void LookForProgress();

  EventLoop& loop_;
  const std::string address_;
  const std::shared_ptr<ClusterPin> pin_;
  std::string ended_;
  AnswerHeader header_;
  std::uint32_t max_request_bytes_ = 0;
  std::size_t calls_ = 0;
  bool watching_ = false;
  bool pinging_ = false;
  MonoTime last_heard_{};  ///< when there was a sign of life
  MonoTime last_moved_{};  ///< when more bytes than those of a small message were seen moving
  TcpProgress progress_;
  std::unique_ptr<Outbound> connection_;
  std::optional<wire::KvService::Client> service_;  // after the handshake
  kj::Promise<void> end_watch_ = nullptr;
  kj::Promise<void> call_watch_ = nullptr;
  kj::Promise<void> ping_ = nullptr;
};

}  // namespace raftkv::rpc
