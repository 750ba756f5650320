// What do the tests of rpc/ share? A loop, a member that is not there, and a raw socket.
#pragma once

#include <unistd.h>

#include <chrono>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "rpc/client/remote_channel.h"
#include "rpc/loop/event_loop.h"
#include "rpc/peers/peers.h"
#include "rpc/server/server.h"
#include "rpc/server/service.h"
#include "rpc/tls/tls_dialer.h"
#include "rpc/tls/tls_port.h"

namespace raftkv::rpc {

/// Waits until `condition` holds; the deadline is far beyond what is expected.
inline bool WaitFor(const std::function<bool()>& condition,
                    std::chrono::milliseconds limit = std::chrono::seconds(20)) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    // check:allow sleep: between looks at a condition with a deadline
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

/// Lines of a log, from any thread.
class LogLines {
 public:
  node::LogSink Sink() {
    return [this](node::LogSeverity, const std::string& line) {
      std::lock_guard<std::mutex> lock(mutex_);
      lines_.push_back(line);
    };
  }
  std::size_t Count(const std::string& part) {
    std::lock_guard<std::mutex> lock(mutex_);
    std::size_t count = 0;
    for (const std::string& line : lines_) count += line.find(part) != std::string::npos;
    return count;
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> lines_;
};

inline std::unique_ptr<EventLoop> StartLoop() {
  auto loop = EventLoop::Start({});
  EXPECT_TRUE(loop.ok()) << loop.status().ToString();
  return std::move(loop).value();
}

/// Stands for a member: echoes what it is asked, and remembers what it is told. On the loop; `On`
/// reads its fields there.
class FakeMember : public Service, public PeerOwner {
 public:
  explicit FakeMember(EventLoop& loop, std::string name, NodeId id, ClusterId cluster)
      : loop_(loop), name(std::move(name)), id(id), cluster(cluster) {}

  void OnHello(node::Hello hello, node::HelloDone done) override {
    ++hellos;
    node::HelloAnswer answer;
    answer.self = MakeHello(hello.member, hello.name);
    answer.refusal = refuse_peers;
    loop_.RunLater([answer, done = std::move(done)]() mutable { done(answer); });
  }
  void Receive(NodeId peer, node::Boot boot, std::vector<node::PeerMessage> messages) override {
    EXPECT_EQ(boot, peer_boot);
    ++deliveries;
    if (on_receive) on_receive();
    for (node::PeerMessage& message : messages) received[peer].push_back(std::move(message));
  }
  void PeerDisconnected(NodeId peer) override { ++disconnected[peer]; }

  void Submit(Bytes request, MonoTime, node::SubmitDone done) override {
    ++submits;
    if (hold) {
      held.push_back(std::move(done));
      return;
    }
    loop_.RunLater([this, request, done = std::move(done)]() mutable {
      done({submit_status, respond ? respond(request) : request});
    });
  }
  void Read(Bytes request, node::ReadPolicy policy, MonoTime, node::Done<Bytes> done) override {
    ++reads;
    last_policy = policy;
    loop_.RunLater([this, request, done = std::move(done)]() mutable {
      done(respond ? respond(request) : request);
    });
  }
  void Watch(Bytes request, MonoTime, node::Done<Bytes> done) override {
    ++watches;
    if (hold) {
      held_watches.push_back(std::move(done));
      return;
    }
    loop_.RunLater([this, request, done = std::move(done)]() mutable {
      done(respond ? respond(request) : request);
    });
  }
  void OpenSession(MonoTime, node::Done<std::uint64_t> done) override {
    loop_.RunLater([this, done = std::move(done)]() mutable {
      if (replicated_time_ms != 0) return done(replicated_time_ms);
      done(raftkv::Status(Code::kUnavailable, "no leader confirmed it"));
    });
  }
  AnswerHeader Header() override {
    return {cluster, id, Term(3), leader_address.empty(), leader_address};
  }
  std::string Name() override { return name; }
  void Status(bool with_hash, node::Done<EndpointStatus> done) override {
    EndpointStatus status;
    status.node.name = name;
    status.node.role = Role::kLeader;
    status.content_hash = with_hash ? 77 : 0;
    loop_.RunLater([status, done = std::move(done)]() mutable { done(status); });
  }

  Result<std::vector<ClusterMember>> Members() override { return members; }
  void ChangeMembers(const MemberChange& change, MonoTime, node::DoneStatus done) override {
    changes.push_back(change);
    const std::size_t i = std::min(changes.size(), change_outcomes.size()) - 1;
    loop_.RunLater(
        [outcome = change_outcomes[i], done = std::move(done)]() mutable { done(outcome); });
  }

  void Backup(node::Done<std::shared_ptr<node::BackupSource>> done) override {
    loop_.RunLater([this, done = std::move(done)]() mutable {
      if (backup == nullptr) return done(raftkv::Status(Code::kUnavailable, "none here"));
      done(backup);
    });
  }

  node::Hello MakeHello(NodeId expected_member, const std::string& expected_name) override {
    node::Hello hello;
    hello.cluster = cluster;
    hello.member = id;
    hello.name = name;
    hello.boot = boot;
    hello.expected_member = expected_member;
    hello.expected_name = expected_name;
    return hello;
  }
  raftkv::Status OnHelloAnswer(const node::HelloAnswer& answer,
                               const node::Dialled& dialled) override {
    dialled_at.push_back(dialled.address);
    if (!answer.refusal.empty()) {
      return {Code::kPermissionDenied, answer.self.name + " refused: " + answer.refusal};
    }
    if (answer.self.cluster == ClusterId() || cluster == ClusterId()) {
      return {Code::kUnavailable, "forming"};
    }
    return raftkv::Status::Ok();
  }
  void PeerUnreachable(NodeId peer) override { ++unreachable[peer]; }
  void ReceiveAnswers(NodeId peer, node::Boot boot,
                      std::vector<node::PeerMessage> messages) override {
    EXPECT_EQ(boot, peer_boot);
    for (node::PeerMessage& message : messages) answered[peer].push_back(std::move(message));
  }

 private:
  EventLoop& loop_;

 public:
  std::string name;
  NodeId id;
  ClusterId cluster;
  node::Boot boot{1, 2};
  node::Boot peer_boot{1, 2};  ///< under which the others have to speak
  std::string leader_address;
  std::string refuse_peers;
  raftkv::Status submit_status;
  std::uint64_t replicated_time_ms = 1234;
  bool hold = false;
  /// The answer to Submit and Read; unset: an echo.
  std::function<Bytes(const Bytes&)> respond;

  /// What came in the returns of our calls.
  std::map<NodeId, std::vector<node::PeerMessage>> answered;
  /// Called by Receive.
  std::function<void()> on_receive;
  /// Where our hellos were answered.
  std::vector<std::string> dialled_at;
  int hellos = 0;
  int deliveries = 0;
  int submits = 0;
  int reads = 0;
  int watches = 0;
  node::ReadPolicy last_policy;
  std::shared_ptr<node::BackupSource> backup;
  std::vector<ClusterMember> members;
  std::vector<MemberChange> changes;
  /// The answers to ChangeMembers, the last one again and again.
  std::vector<raftkv::Status> change_outcomes{raftkv::Status::Ok()};
  std::vector<node::SubmitDone> held;
  std::vector<node::Done<Bytes>> held_watches;
  std::map<NodeId, std::vector<node::PeerMessage>> received;
  std::map<NodeId, int> disconnected;
  std::map<NodeId, int> unreachable;
};

/// A fake member with a loop and a server of its own.
class TestServer {
 public:
  explicit TestServer(std::string name = "n1", std::uint64_t id = 11,
                      std::string listen = "127.0.0.1:0",
                      std::function<void(ServerOptions&)> change = nullptr,
                      const NodeTlsOptions& tls = {})
      : loop_(StartLoop()),
        member_(std::make_unique<FakeMember>(*loop_, std::move(name), NodeId(id), ClusterId(5))) {
    ServerOptions options;
    options.listen = std::move(listen);
    options.version = "1.2.3";
    options.log_sink = log.Sink();
    if (change) change(options);
    loop_->Call([&] {
      if (IsOn(tls)) OpenTls(tls, options);
      auto server = Server::Listen(*loop_, *member_, options);
      ASSERT_TRUE(server.ok()) << server.status().ToString();
      server_ = std::move(server).value();
      address_ = server_->address();
    });
  }
  ~TestServer() {
    loop_->Call([this] {
      peers_.reset();
      server_.reset();
      tls_port_.reset();
      member_.reset();
    });
    loop_->Stop();
  }

  /// Runs `work` on the loop.
  void On(const std::function<void(FakeMember&)>& work) {
    loop_->Call([&] { work(*member_); });
  }
  template <class T>
  T Get(const std::function<T(FakeMember&)>& read) {
    T result{};
    loop_->Call([&] { result = read(*member_); });
    return result;
  }
  std::size_t connections() {
    std::size_t result = 0;
    loop_->Call([&] { result = server_->connections(); });
    return result;
  }
  /// Of answers that are not yet taken.
  std::size_t queued_bytes() {
    std::size_t result = 0;
    loop_->Call([&] { result = server_->queued_bytes(); });
    return result;
  }
  Peers& MakePeers(PeersOptions options = {}) {
    options.link.log_sink = log.Sink();
    if (tls_) {
      options.tls = std::make_shared<TlsDialer>([source = tls_.get()] { return source->current(); },
                                                kTlsPeer);
    }
    loop_->Call([&] {
      peers_ = std::make_unique<Peers>(*loop_, options);
      peers_->SetOwner(*member_);
      peers_->SetServer(*server_);
    });
    return *peers_;
  }
  EventLoop& loop() { return *loop_; }
  /// On the loop.
  Server& server() { return *server_; }
  const std::string& address() const { return address_; }
  /// On the loop; null without TLS.
  TlsSource& tls() { return *tls_; }

  LogLines log;

 private:
  void OpenTls(const NodeTlsOptions& tls, ServerOptions& options) {
    const auto setup = LoadTls(tls, /*has_peers=*/true);
    ASSERT_TRUE(setup.ok()) << setup.status().ToString();
    tls_ = std::make_unique<TlsSource>(*setup);
    TlsPortOptions port;
    port.accepts = {.protocols = {kTlsNative}, .peers = true};
    port.log = [sink = log.Sink()](const std::string& line) {
      sink(node::LogSeverity::kWarn, line);
    };
    tls_port_ = std::make_unique<TlsPort>(loop_->timer(), *tls_, std::move(port));
    options.tls = tls_port_.get();
  }

  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<TlsSource> tls_;
  std::unique_ptr<TlsPort> tls_port_;
  std::unique_ptr<FakeMember> member_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<Peers> peers_;
  std::string address_;
};

/// A client's channel on a loop of its own.
class TestChannel {
 public:
  explicit TestChannel(std::vector<std::string> endpoints, bool follow_leader = true,
                       const ClientTlsOptions& tls = {})
      : loop_(StartLoop()) {
    RemoteChannelOptions options;
    options.endpoints = std::move(endpoints);
    options.follow_leader = follow_leader;
    if (IsOn(tls)) {
      auto dialer = NewClientDialer(tls);
      EXPECT_TRUE(dialer.ok()) << dialer.status().ToString();
      options.tls = *dialer;
    }
    loop_->Call([&] { channel_ = std::make_unique<RemoteChannel>(*loop_, options); });
  }
  ~TestChannel() {
    loop_->Call([this] { channel_.reset(); });
    loop_->Stop();
  }

  EventLoop& loop() { return *loop_; }

  node::SubmitOutcome Submit(std::string request,
                             std::chrono::milliseconds timeout = std::chrono::seconds(10)) {
    auto outcome = std::make_shared<std::promise<node::SubmitOutcome>>();
    auto future = outcome->get_future();
    loop_->Post([this, outcome, timeout, request = std::move(request)] {
      channel_->Submit(Bytes(request), loop_->Now() + timeout,
                       [outcome](node::SubmitOutcome result) { outcome->set_value(result); });
    });
    return future.get();
  }

 private:
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<RemoteChannel> channel_;
};

/// A plain TCP connection that says what the test wants.
class RawSocket {
 public:
  explicit RawSocket(const std::string& address);
  ~RawSocket() { close(fd_); }
  RawSocket(const RawSocket&) = delete;
  RawSocket& operator=(const RawSocket&) = delete;

  /// False: the other side has closed the connection meanwhile.
  bool Write(const std::string& bytes);
  /// Everything until the other side closes; nothing if it does not within `limit`.
  std::optional<std::string> ReadToEnd(std::chrono::milliseconds limit = std::chrono::seconds(20));

 private:
  int fd_;
};

}  // namespace raftkv::rpc
