// How does a port of a member take TLS connections, so that those who never finish a handshake, or
// come in a storm, harm nobody else?
//
// A bounded number of handshakes is in progress at a time; others wait for their turn. A handshake
// has ten seconds, and one second while others wait. Each refusal is a line of the log, a number in
// a metric, and an answer to the other side.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <string>

#include <kj/async.h>
#include <kj/timer.h>

#include "rpc/tls/tls_source.h"
#include "rpc/tls/tls_stream.h"

namespace raftkv::rpc {

struct TlsPortOptions {
  TlsAccepts accepts;
  /// For a handshake, with its wait for its turn.
  kj::Duration timeout = 10 * kj::SECONDS;
  /// For a handshake while others wait for their turn.
  kj::Duration patience = 1 * kj::SECONDS;
  std::size_t max_handshakes = 64;
  std::size_t max_waiting = 1024;
  /// Receives a line for each refusal.
  std::function<void(const std::string& line)> log = {};
};

/// Lives on the loop.
class TlsPort final : private kj::TaskSet::ErrorHandler {
 public:
  /// `timer` and `source` outlive it.
  TlsPort(kj::Timer& timer, TlsSource& source, TlsPortOptions options);
  ~TlsPort() noexcept(false);
  KJ_DISALLOW_COPY(TlsPort);

  /// Shakes hands on a connection that was accepted from `remote`. Its protocol() is one of
  /// TlsPortOptions::accepts, or kTlsPeer if is_peer(), or empty. The promise fails where the
  /// connection was refused, which was logged and counted; it may be dropped at any time, and ends
  /// before the port does.
  kj::Promise<kj::Own<TlsStream>> Accept(kj::Own<kj::AsyncIoStream> stream, std::string remote);

  [[nodiscard]] std::size_t in_progress() const { return in_progress_; }

 private:
  /// The right to shake hands.
  class Turn {
   public:
    explicit Turn(TlsPort& port) : port_(port) { ++port_.in_progress_; }
    ~Turn() noexcept(false) {
      --port_.in_progress_;
      port_.Serve();
    }
    KJ_DISALLOW_COPY(Turn);

   private:
    TlsPort& port_;
  };
  /// One that was accepted.
  struct Newcomer {
    kj::Own<TlsStream> stream;
    std::string remote;
    kj::Own<Turn> turn;
  };
  using Fulfiller = kj::Own<kj::PromiseFulfiller<kj::Own<Turn>>>;

  kj::Promise<kj::Own<Turn>> TakeTurn();
  void Serve();
  [[nodiscard]] bool SomebodyWaits();
  kj::Promise<TlsFailure> Shake(Newcomer& newcomer, kj::TimePoint deadline);
  kj::Promise<TlsFailure> Expire(kj::TimePoint deadline);
  void Count(const TlsFailure& failure, const std::string& remote);
  void Linger(kj::Own<TlsStream> refused);
  void taskFailed(kj::Exception&& exception) override;

  kj::Timer& timer_;
  TlsSource& source_;
  const TlsPortOptions options_;
  std::size_t in_progress_ = 0;
  std::deque<Fulfiller> waiting_;
  std::size_t lingering_ = 0;
  kj::TaskSet tasks_;  // last: goes first
};

}  // namespace raftkv::rpc
