// How are core, storage and RPC put together into a running member?
//
// The one place that knows them all. A member owns an event loop thread; everything but the opening
// and closing of the data folder happens on it.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include <raftkv/node.h>

#include "lib/base/cancel_token.h"
#include "lib/base/mutex.h"
#include "lib/node/member.h"
#include "lib/open/etcd_door.h"
#include "lib/open/log_queue.h"
#include "lib/session/session_kv.h"
#include "rpc/http/http_server.h"
#include "rpc/http/metrics.h"
#include "rpc/loop/event_loop.h"
#include "rpc/loop/rate_limit.h"
#include "rpc/peers/peer_network.h"
#include "rpc/server/server.h"
#include "rpc/server/service.h"
#include "rpc/tls/tls_dialer.h"
#include "rpc/tls/tls_port.h"
#include "rpc/tls/tls_source.h"
#include "storage/disk/worker.h"
#include "storage/member/open.h"

namespace raftkv {

/// Set by tests only.
struct OpenInternals {
  /// See storage::StoreOptions.
  rocksdb::Env* env = nullptr;
  std::string machine_boot;
  bool sync = true;
  Duration scrub_pause = std::chrono::minutes(1);
  /// How often the TLS files are looked at.
  Duration tls_look = std::chrono::seconds(3);
};

raft::QuorumRule RuleOf(const QuorumOptions& quorum);

class OpenNode;
Result<std::unique_ptr<Node>> OpenWith(NodeOptions options, const OpenInternals& internals);

class OpenNode final : public Node,
                       private rpc::Service,
                       private rpc::PeerOwner,
                       private node::Clock,
                       private node::Channel {
 public:
  OpenNode(NodeOptions options, const OpenInternals& internals);
  ~OpenNode() override { static_cast<void>(Close()); }

  /// Once, before anything else.
  raftkv::Status Start();

  raftkv::Status WaitForLeader(std::chrono::milliseconds timeout) override;
  KV& kv() override { return *kv_; }
  NodeStatus status() override;
  [[nodiscard]] std::string listen_address() const override { return listen_address_; }
  [[nodiscard]] std::string http_address() const override { return http_address_; }
  [[nodiscard]] std::string etcd_address() const override { return etcd_address_; }
  raftkv::Status WaitForFailure(std::chrono::milliseconds timeout) override;
  raftkv::Status ReloadTls() override;
  Result<BackupInfo> Backup(const std::string& file, const BackupOptions& options) override;
  raftkv::Status Close() override;
  /// Synced writes of the log since the open.
  [[nodiscard]] std::uint64_t sync_count() const { return store_ ? store_->sync_count() : 0; }

 private:
  raftkv::Status OpenTls();
  /// Null without TLS.
  [[nodiscard]] std::unique_ptr<rpc::TlsPort> NewTlsPort(rpc::TlsAccepts accepts);
  void WatchTlsFiles();
  void TakeTls(const Result<rpc::TlsSetupPtr>& loaded);
  [[nodiscard]] std::vector<std::string> TlsWarnings() const;
  [[nodiscard]] rpc::TlsSnapshot SnapshotOfTls() const;
  raftkv::Status Listen();
  raftkv::Status ListenForPeersAndClients();
  raftkv::Status ListenForHttp();
  raftkv::Status ListenForEtcd();
  raftkv::Status OpenStore();
  [[nodiscard]] std::unique_ptr<rpc::PeerNetwork> MakePeers();
  [[nodiscard]] std::string Advertised();
  [[nodiscard]] std::string EtcdUrl() const;
  void Assemble();
  void SchedulePump();
  void PumpNow();
  void ArmTimer();
  void Publish();
  void HandOver();
  void OnDamage(const raftkv::Status& what);
  void OpenAnew();
  /// No task runs at present.
  void ForgetStatus() RAFTKV_REQUIRES(mutex_);
  node::LogSink Sink();
  void FillStatus(EndpointStatus& status);
  /// Adds the parts that take a while; on the inspector's thread.
  Result<EndpointStatus> Inspect(EndpointStatus status, bool with_hash, const CancelToken& token);
  [[nodiscard]] rpc::MetricsSnapshot SnapshotForMetrics();
  [[nodiscard]] raftkv::Status ReadyToServe();

  // --- rpc::Service: incoming.
  void OnHello(node::Hello hello, node::HelloDone done) override;
  void Receive(NodeId peer, node::Boot boot, std::vector<node::PeerMessage> messages) override;
  void PeerDisconnected(NodeId peer) override;
  void Submit(Bytes request, MonoTime deadline, node::SubmitDone done) override;
  void Read(Bytes request, node::ReadPolicy policy, MonoTime deadline,
            node::Done<Bytes> done) override;
  void Watch(Bytes request, MonoTime deadline, node::Done<Bytes> done) override;
  void OpenSession(MonoTime deadline, node::Done<std::uint64_t> done) override;
  rpc::AnswerHeader Header() override;
  std::string Name() override { return options_.name; }
  void Status(bool with_hash, node::Done<EndpointStatus> done) override;
  Result<std::vector<ClusterMember>> Members() override;
  void ChangeMembers(const rpc::MemberChange& change, MonoTime deadline,
                     node::DoneStatus done) override;
  void ChangeOnLeader(const rpc::MemberChange& change, MonoTime deadline, node::DoneStatus done);
  void Backup(node::Done<std::shared_ptr<node::BackupSource>> done) override;

  // --- rpc::PeerOwner: outgoing.
  node::Hello MakeHello(NodeId expected_member, const std::string& expected_name) override;
  raftkv::Status OnHelloAnswer(const node::HelloAnswer& answer,
                               const node::Dialled& dialled) override;
  void PeerUnreachable(NodeId peer) override;
  void ReceiveAnswers(NodeId peer, node::Boot boot,
                      std::vector<node::PeerMessage> messages) override;

  // --- node::Clock.
  MonoTime Now() override { return loop_->Now(); }
  std::uint64_t WallTimeMs() override;

  // --- node::Channel: the host's own calls; Submit, Read, Watch and OpenSession serve them as
  // well.

  // --- Constant after Start().
  NodeOptions options_;
  const OpenInternals internals_;
  std::string listen_address_;
  std::string http_address_;
  std::string etcd_address_;
  std::unique_ptr<LogQueue> log_;
  std::unique_ptr<rpc::EventLoop> loop_;
  /// Null without TLS. Reads changed files, on its worker.
  std::unique_ptr<rpc::TlsReload> tls_reload_;
  std::unique_ptr<storage::Worker> tls_worker_;
  std::shared_ptr<const rpc::TlsDialer> tls_dialer_;

  // --- Owned by the loop, except for opening and flushing the store.
  std::unique_ptr<rpc::Metrics> metrics_;
  std::unique_ptr<rpc::TlsSource> tls_;  ///< null without TLS; the ports use it
  std::unique_ptr<rpc::TlsPort> tls_native_;
  std::unique_ptr<rpc::TlsPort> tls_http_;
  std::unique_ptr<rpc::TlsPort> tls_etcd_;
  std::unique_ptr<storage::Store> store_;
  std::unique_ptr<rpc::PeerNetwork> peers_;
  std::unique_ptr<node::Member> member_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<rpc::HttpServer> http_;
  /// Answers Cancelled once the node was closed.
  std::unique_ptr<node::StoppableKv> kv_;
  std::unique_ptr<EtcdDoor> etcd_;  // uses kv_
  /// Hashes the content and measures the folder, which may take seconds.
  std::unique_ptr<storage::Worker> inspector_;
  /// For the inspector's work; a new one with each open of the store.
  CancelToken inspections_;
  node::DiskHealth disk_;
  bool pump_scheduled_ = false;
  MonoTime armed_for_ = kNever;
  Mutex close_mutex_;
  bool closed_ RAFTKV_GUARDED_BY(close_mutex_) = false;
  /// How often the store was reopened; read by any thread.
  std::atomic<std::uint64_t> opens_{0};
  /// Reopens a damaged store; one task at a time.
  std::unique_ptr<storage::Worker> opener_;

  // --- Shared with holders of a backup.
  const std::shared_ptr<std::atomic<int>> backups_ = std::make_shared<std::atomic<int>>(0);
  std::atomic<bool> closing_{false};

  // --- Shared with the threads that wait.
  Mutex mutex_;
  Condition changed_;
  bool settled_ RAFTKV_GUARDED_BY(mutex_) = false;
  raftkv::Status failure_ RAFTKV_GUARDED_BY(mutex_);
  /// As of the last pump of the loop.
  NodeStatus status_ RAFTKV_GUARDED_BY(mutex_);
};

}  // namespace raftkv
