#include "rpc/server/server.h"

#include <algorithm>
#include <map>
#include <vector>

#include "lib/base/check.h"
#include "rpc/loop/acceptor.h"
#include "rpc/loop/descriptors.h"
#include "rpc/loop/rate_limit.h"
#include "rpc/loop/sockets.h"
#include "rpc/server/connection.h"

namespace raftkv::rpc {
namespace {

/// Checks this many times per ServerOptions::write_timeout.
constexpr std::uint32_t kStuckLooks = 10;

class ServerImpl final : public Server, private ConnectionOwner, private kj::TaskSet::ErrorHandler {
 public:
  ServerImpl(EventLoop& loop, Service& service, ServerOptions options, Listener listener)
      : loop_(loop),
        service_(service),
        options_(WithinDescriptors(std::move(options))),
        exposed_(ExposureOf(options_, listener)),
        tasks_(*this),
        acceptor_(
            loop, std::move(listener), options_.log_sink,
            [this](kj::Own<kj::AsyncIoStream> stream) { Accept(kj::mv(stream)); },
            [this] { return CloseOldestStranger("no file descriptor is left"); }) {
    tasks_.add(CloseStuck());
  }
  // No task may run while connections are destroyed.
  ~ServerImpl() noexcept override { connections_.clear(); }

  const std::string& address() const override { return acceptor_.address(); }
  std::size_t connections() const override { return connections_.size(); }
  const std::string& exposed() const override { return exposed_; }
  std::size_t unfinished_bytes() const override {
    return client_budget_.used() + peer_budget_.used();
  }
  HeldReplies& replies() override { return replies_; }

  void CloseAll() override {
    for (const auto& [number, connection] : connections_) CloseLater(number);
  }

  void KeepPeers(const std::set<NodeId>& peers) override {
    for (const auto& [peer, number] : peers_) {
      if (!peers.contains(peer)) CloseLater(number);
    }
  }

 private:
  static ServerOptions WithinDescriptors(ServerOptions options) {
    const std::uint32_t fit = ConnectionsThatFit(options.max_connections);
    if (fit < options.max_connections && options.log_sink) {
      options.log_sink(node::LogSeverity::kWarn,
                       "at most " + std::to_string(fit) + " connections instead of " +
                           std::to_string(options.max_connections) +
                           ": that is half of the descriptors that this process may use; raise its "
                           "limit (ulimit -n) for more");
    }
    options.max_connections = fit;
    return options;
  }

  static std::string ExposureOf(const ServerOptions& options, const Listener& listener) {
    if (options.tls != nullptr || options.insecure || IsLoopback(listener)) return "";
    return "listens on " + listener.address +
           " without TLS, so whoever can connect can read and write everything, and take part as a "
           "member: set --tls-cert, --tls-key and --tls-ca, or --insecure if this is intended";
  }

  /// This may be running inside a call of that very connection.
  void CloseLater(std::uint64_t number) {
    tasks_.add(kj::evalLater([this, number] { Close(number); }));
  }

  void Accept(kj::Own<kj::AsyncIoStream> stream) {
    const std::string full =
        "all " + std::to_string(options_.max_connections) + " connections are in use";
    const std::size_t open = connections_.size() + shaking_.size();
    if (open >= options_.max_connections && !CloseOldestStranger(full)) {
      acceptor_.LogRefused("closed a new connection from " + PeerAddressOf(*stream) + ": " + full);
      return;
    }
    ConfigureSocket(*stream);
    if (options_.tls == nullptr) return Admit(kj::mv(stream), {});
    ShakeHands(kj::mv(stream));
  }

  void ShakeHands(kj::Own<kj::AsyncIoStream> stream) {
    const std::uint64_t number = ++last_number_;
    std::string remote = PeerAddressOf(*stream);
    auto closed = kj::newPromiseAndFulfiller<void>();
    shaking_.emplace(number, kj::mv(closed.fulfiller));
    auto shaken = options_.tls->Accept(kj::mv(stream), std::move(remote))
                      .then(
                          [this](kj::Own<TlsStream>&& secure) {
                            using Kind = ConnectionSecurity::Kind;
                            const Kind kind = secure->is_peer() ? Kind::kPeer : Kind::kClient;
                            ConnectionSecurity security{kind, secure->identity()};
                            Admit(kj::mv(secure), std::move(security));
                          },
                          [](kj::Exception&&) {});  // refused, as the port has logged
    tasks_.add(shaken.exclusiveJoin(kj::mv(closed.promise)).attach(kj::defer([this, number] {
      shaking_.erase(number);
    })));
  }

  void Admit(kj::Own<kj::AsyncIoStream> stream, ConnectionSecurity security) {
    const std::uint64_t number = ++last_number_;
    auto connection = std::make_unique<Connection>(static_cast<ConnectionOwner&>(*this), number,
                                                   kj::mv(stream), std::move(security));
    tasks_.add(connection->Ended().then(
        [this, number](CheckedStream::End&& end) { Remove(number, end); }));
    tasks_.add(loop_.timer()
                   .afterDelay(options_.handshake_timeout.count() * kj::NANOSECONDS)
                   .then([this, number] { CheckHandshake(number); }));
    connections_.emplace(number, std::move(connection));
  }

  /// Of those without a completed handshake.
  bool CloseOldestStranger(const std::string& why) {
    const auto oldest = std::find_if(connections_.begin(), connections_.end(), [](const auto& at) {
      return at.second->kind() == Connection::Kind::kUnknown;
    });
    const bool shakes = !shaking_.empty() &&
                        (oldest == connections_.end() || shaking_.begin()->first < oldest->first);
    if (shakes) {
      acceptor_.LogRefused("closed a connection during its TLS handshake: " + why);
      shaking_.begin()->second->fulfill();
      shaking_.erase(shaking_.begin());
      return true;
    }
    if (oldest == connections_.end()) return false;
    acceptor_.LogRefused("closed the connection from " + oldest->second->remote() +
                         ", which had not completed its handshake: " + why);
    Close(oldest->first);
    return true;
  }

  std::string NoRoomForClient() const override {
    const std::size_t max = options_.max_connections - ReservedForPeers(options_.max_connections);
    const auto clients = std::count_if(
        connections_.begin(), connections_.end(),
        [](const auto& at) { return at.second->kind() == Connection::Kind::kClient; });
    if (static_cast<std::size_t>(clients) < max) return "";
    return "all " + std::to_string(max) +
           " connections for clients are in use; close some, or raise max_connections";
  }

  std::size_t queued_bytes() const override {
    std::size_t sum = 0;
    for (const auto& [number, connection] : connections_) sum += connection->queued_bytes();
    return sum;
  }

  kj::Promise<void> CloseStuck() {
    const Duration interval = options_.write_timeout / kStuckLooks;
    return loop_.timer().afterDelay(interval.count() * kj::NANOSECONDS).then([this, interval] {
      std::map<std::uint64_t, const char*> stuck;
      for (const auto& [number, connection] : connections_) {
        if (connection->CountStuck() >= kStuckLooks) {
          stuck[number] = "it does not read the answers that it asked for";
        }
        if (connection->CountUnfinished(kStuckLooks, interval)) {
          stuck[number] = "it did not finish a message in time";
        }
      }
      for (const auto& [number, why] : stuck) {
        LogOffence("closed the connection from " + connections_.at(number)->remote() + ": " + why);
        Close(number);
      }
      return CloseStuck();
    });
  }

  void CheckHandshake(std::uint64_t number) {
    const auto found = connections_.find(number);
    if (found == connections_.end() || found->second->kind() != Connection::Kind::kUnknown) return;
    LogOffence("closed the connection from " + found->second->remote() +
               ": it did not complete its handshake in time");
    Close(number);
  }

  void Remove(std::uint64_t number, const CheckedStream::End& end) {
    const auto found = connections_.find(number);
    if (found == connections_.end()) return;
    if (end.offence) {
      LogOffence("closed the connection from " + found->second->remote() + ": " +
                 (end.speaks_tls ? end.reason
                                 : "it sent something other than a raftkv message, or one that is "
                                   "too large (" +
                                       end.reason + ')'));
    }
    Close(number);
  }

  void Close(std::uint64_t number) {
    auto node = connections_.extract(number);
    if (node.empty()) return;
    const NodeId peer = node.mapped()->peer();
    node.mapped().reset();
    const auto current = peers_.find(peer);
    if (peer == kNobody || current == peers_.end() || current->second != number) return;
    peers_.erase(current);
    service_.PeerDisconnected(peer);
  }

  EventLoop& loop() override { return loop_; }
  Service& service() override { return service_; }
  const ServerOptions& options() const override { return options_; }
  ByteBudget& budget(bool of_peers) override { return of_peers ? peer_budget_ : client_budget_; }

  void BecamePeer(Connection& connection, NodeId peer) override {
    if (connection.peer() == peer) return;
    RAFTKV_CHECK(peer != kNobody);
    const std::uint64_t number = connection.number();
    connection.set_peer(peer);
    std::uint64_t& current = peers_[peer];
    const std::uint64_t previous = std::exchange(current, number);
    // The peer made a new connection, so it has given up the old one, whatever TCP's view of it.
    if (previous != 0) {
      tasks_.add(kj::evalLater([this, previous] { Close(previous); }));
    }
  }

  void LogOffence(const std::string& line) override {
    offences_.Log(options_.log_sink, loop_.Now(), node::LogSeverity::kWarn, line);
  }

  void taskFailed(kj::Exception&& exception) override {
    LogOffence("a connection failed: " + ShortReason(exception));
  }

  // Constant after construction.
  EventLoop& loop_;
  Service& service_;
  const ServerOptions options_;
  const std::string exposed_;

  // They outlive the connections.
  ByteBudget client_budget_{options_.max_unfinished_bytes};
  ByteBudget peer_budget_{options_.max_unfinished_bytes};
  HeldReplies replies_;
  std::map<std::uint64_t, std::unique_ptr<Connection>> connections_;
  std::map<NodeId, std::uint64_t> peers_;  // the latest connection of each
  /// TLS handshakes, by age; fulfilled to close one.
  std::map<std::uint64_t, kj::Own<kj::PromiseFulfiller<void>>> shaking_;
  std::uint64_t last_number_ = 0;
  RateLimitedLog offences_;
  kj::TaskSet tasks_;
  Acceptor acceptor_;  // last: no connection arrives while the others are destroyed
};

}  // namespace

Result<std::unique_ptr<Server>> Server::Listen(EventLoop& loop, Service& service,
                                               ServerOptions options) {
  RAFTKV_CHECK(loop.OnLoop());
  Result<Listener> listener = rpc::Listen(options.listen, "--listen");
  if (!listener.ok()) return listener.status();
  std::unique_ptr<Server> server;
  auto failed = kj::runCatchingExceptions([&] {
    server = std::make_unique<ServerImpl>(loop, service, std::move(options),
                                          std::move(listener).value());
  });
  KJ_IF_MAYBE (exception, failed) {
    return raftkv::Status(Code::kUnavailable, "cannot listen: " + ShortReason(*exception));
  }
  return server;
}

}  // namespace raftkv::rpc
