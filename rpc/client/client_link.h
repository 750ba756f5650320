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

/// Lives on the loop; shared by the channel and the calls that are under way on it.
class ClientLink {
 public:
  /// Connects and shakes hands, all within `timeout`. A failure's description says why. A member of
  /// another cluster than the pin's is none; the first one that is accepted sets the pin.
  static kj::Promise<std::shared_ptr<ClientLink>> Open(EventLoop& loop, std::string address,
                                                       std::shared_ptr<ClusterPin> pin,
                                                       Duration timeout);

  ClientLink(EventLoop& loop, std::string address, std::shared_ptr<ClusterPin> pin,
             std::unique_ptr<Outbound> connection);
  ClientLink(const ClientLink&) = delete;
  ClientLink& operator=(const ClientLink&) = delete;

  [[nodiscard]] const std::string& address() const { return address_; }
  [[nodiscard]] wire::KvService::Client& service() { return service_.value(); }
  [[nodiscard]] const AnswerHeader& header() const { return header_; }
  [[nodiscard]] std::uint32_t max_request_bytes() const { return max_request_bytes_; }
  /// Empty while the connection stands.
  [[nodiscard]] const std::string& ended() const { return ended_; }

  /// A call begins and ends: the watchdog runs while there are any.
  void CallBegan();
  void CallEnded() { --calls_; }
  [[nodiscard]] std::size_t calls() const { return calls_; }
  /// Gives the connection up where the member turns out to be of another cluster.
  void Heard(const AnswerHeader& header);
  /// Gives the connection up: its open calls fail.
  void Abandon(const std::string& why);

  /// Whether the bytes of a large message are on their way, in either direction, while calls are
  /// open: what waits behind them waits for good reason.
  [[nodiscard]] bool Moves();

  /// A connection on which nothing moves, and whose member answers nothing, not even a ping, is
  /// given up.
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
  MonoTime last_moved_{};  ///< when bytes of more than a small message were seen to move
  TcpProgress progress_;
  std::unique_ptr<Outbound> connection_;
  std::optional<wire::KvService::Client> service_;  // once hands are shaken
  kj::Promise<void> end_watch_ = nullptr;
  kj::Promise<void> call_watch_ = nullptr;
  kj::Promise<void> ping_ = nullptr;
};

}  // namespace raftkv::rpc
