// raftkv::Client: an event loop of its own, and on it a channel and a session for each connection.
#include <future>
#include <limits>
#include <random>

#include <raftkv/client.h>

#include "lib/base/host_code.h"
#include "lib/base/mutex.h"
#include "rpc/client/remote_backup.h"
#include "rpc/client/remote_channel.h"
#include "rpc/client/remote_cluster.h"
#include "rpc/client/spread_kv.h"
#include "rpc/loop/event_loop.h"
#include "rpc/loop/sockets.h"
#include "rpc/tls/tls_dialer.h"
#include "rpc/tls/tls_setup.h"

namespace raftkv::rpc {
namespace {

constexpr std::uint32_t kMaxConnections = 1024;

std::uint64_t RandomSeed() {
  std::random_device device;
  return std::uint64_t{device()} << 32 | device();
}

class RemoteClient final : public Client {
 public:
  /// Without `tls` it is plain text.
  RemoteClient(const ClientOptions& options, std::shared_ptr<const TlsDialer> tls,
               std::unique_ptr<EventLoop> loop)
      : endpoints_(options.endpoints),
        cluster_id_(options.cluster),
        tls_(std::move(tls)),
        pin_(std::make_shared<ClusterPin>(cluster_id_)),
        loop_(std::move(loop)) {
    loop_->Call([&] { Build(options); });
    std::vector<KV*> kvs;
    for (const auto& session : sessions_) kvs.push_back(session.get());
    spread_ = std::make_unique<SpreadKv>(std::move(kvs));
  }

  ~RemoteClient() override {
    loop_->Call([this] {
      cluster_.reset();
      sessions_.clear();
      channels_.clear();
    });
    loop_->Stop();
  }

  KV& kv() override { return sessions_.size() == 1 ? *sessions_.front() : *spread_; }

  Cluster& cluster() override { return *cluster_; }

  Result<EndpointStatus> Status(const std::string& endpoint, std::chrono::milliseconds timeout,
                                bool with_hash) override {
    const Result<HostPort> parsed = ParseRemoteAddress("endpoint", endpoint);
    if (!parsed.ok()) return parsed.status();
    timeout = BoundedTimeout(timeout);
    auto result = std::make_shared<std::promise<Result<EndpointStatus>>>();
    auto future = result->get_future();
    loop_->Post([this, endpoint, timeout, with_hash, result = std::move(result)] {
      loop_->Spawn(AskStatus(endpoint, timeout, with_hash, result));
    });
    try {
      return future.get();
    } catch (const std::future_error&) {
      return raftkv::Status(Code::kCancelled, "the client was closed");
    }
  }

  Header LastHeader() override {
    const MutexLock lock(mutex_);
    return header_;
  }

 private:
  void Build(const ClientOptions& options) {
    for (std::uint32_t i = 0; i < options.connections; ++i) {
      RemoteChannelOptions channel;
      channel.endpoints = options.endpoints;
      channel.pin = pin_;
      channel.tls = tls_;
      channel.follow_leader = options.follow_leader;
      channel.on_header = [this](const AnswerHeader& header) { Remember(header); };
      channels_.push_back(std::make_unique<RemoteChannel>(*loop_, std::move(channel)));
      node::SessionKvOptions session;
      session.limits = options.limits;
      session.coalesce = options.coalesce;
      session.seed = RandomSeed();
      sessions_.push_back(node::NewSessionKv(*loop_, *channels_.back(), session));
    }
    cluster_ = std::make_unique<RemoteCluster>(*loop_, *channels_.front(), RandomSeed());
  }

  void Remember(const AnswerHeader& header) {
    const MutexLock lock(mutex_);
    header_ = {header.cluster.value, header.member.value, header.term.value};
  }

  using StatusPromise = std::shared_ptr<std::promise<Result<EndpointStatus>>>;

  kj::Promise<void> AskStatus(const std::string& endpoint, std::chrono::milliseconds timeout,
                              bool with_hash, StatusPromise result) {
    auto asked =
        ClientLink::Open(*loop_, endpoint, std::make_shared<ClusterPin>(cluster_id_), timeout, tls_)
            .then([this, timeout, with_hash, result](std::shared_ptr<ClientLink>&& link) {
              auto request = link->service().statusRequest();
              request.setWithHash(with_hash);
              request.setTimeoutMs(static_cast<std::uint32_t>(std::min<std::int64_t>(
                  timeout.count(), std::numeric_limits<std::uint32_t>::max())));
              return request.send().then(
                  [this, link, result](capnp::Response<wire::KvService::StatusResults>&& answer) {
                    result->set_value(StatusOf(link->address(), answer));
                  });
            });
    return loop_->timer()
        .timeoutAfter(ToKj(timeout), kj::mv(asked))
        .catch_([endpoint, result](kj::Exception&& exception) {
          result->set_value(
              raftkv::Status(Code::kUnavailable, endpoint + ": " + ShortReason(exception)));
        });
  }

  Result<EndpointStatus> StatusOf(const std::string& endpoint,
                                  wire::KvService::StatusResults::Reader answer) {
    const AnswerHeader header = Decode(answer.getHeader());
    Remember(header);
    raftkv::Status outcome = Decode(answer.getOutcome());
    if (!outcome.ok()) {
      return raftkv::Status(outcome.code(), endpoint + ": " + outcome.message());
    }
    EndpointStatus status = Decode(answer.getStatus());
    status.endpoint = endpoint;
    status.node.cluster_id = header.cluster.value;
    status.node.member_id = header.member.value;
    status.node.term = header.term.value;
    return status;
  }

 public:
  Result<std::shared_ptr<node::BackupFeed>> BeginBackup(
      std::chrono::milliseconds timeout) override {
    return BeginRemoteBackup(*loop_, endpoints_, pin_, timeout, tls_);
  }

 private:
  const std::vector<std::string> endpoints_;
  const ClusterId cluster_id_;  // as the options name it
  const std::shared_ptr<const TlsDialer> tls_;
  const std::shared_ptr<ClusterPin> pin_;  // its inside is of the loop
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<SpreadKv> spread_;

  // Live on the loop.
  std::vector<std::unique_ptr<RemoteChannel>> channels_;
  std::vector<std::unique_ptr<KV>> sessions_;
  std::unique_ptr<RemoteCluster> cluster_;

  Mutex mutex_;
  Header header_ RAFTKV_GUARDED_BY(mutex_);
};

/// What the host holds.
class OwnedClient final : public Client {
 public:
  explicit OwnedClient(std::unique_ptr<RemoteClient> client) : client_(std::move(client)) {}

  KV& kv() override { return client_->kv(); }
  Cluster& cluster() override { return client_->cluster(); }
  Result<EndpointStatus> Status(const std::string& endpoint, std::chrono::milliseconds timeout,
                                bool with_hash) override {
    if (auto may = client_.MayBlock("Status"); !may.ok()) return may;
    return client_->Status(endpoint, timeout, with_hash);
  }
  Header LastHeader() override { return client_->LastHeader(); }

 private:
  Result<std::shared_ptr<node::BackupFeed>> BeginBackup(
      std::chrono::milliseconds timeout) override {
    if (auto may = client_.MayBlock("Backup"); !may.ok()) return may;
    return client_->BeginBackup(timeout);
  }

  ThreadedOwner<RemoteClient> client_;
};

}  // namespace
}  // namespace raftkv::rpc

namespace raftkv {

Result<std::unique_ptr<Client>> Client::Connect(ClientOptions options) {
  if (options.endpoints.empty()) {
    return raftkv::Status(Code::kInvalidArgument,
                          "no endpoint was given; pass at least one, as host:port");
  }
  for (const std::string& endpoint : options.endpoints) {
    const Result<HostPort> parsed = ParseRemoteAddress("endpoint", endpoint);
    if (!parsed.ok()) return parsed.status();
  }
  if (options.connections == 0 || options.connections > rpc::kMaxConnections) {
    return raftkv::Status(Code::kInvalidArgument,
                          "connections must be 1 to " + std::to_string(rpc::kMaxConnections));
  }
  if (raftkv::Status tls = rpc::CheckTls(options.tls); !tls.ok()) return tls;
  rpc::EventLoopOptions loop_options;
  loop_options.thread_name = "raftkv-client";
  loop_options.reserved_signal = options.reserved_signal;
  return OpenOrUnavailable([&]() -> Result<std::unique_ptr<Client>> {
    std::shared_ptr<const rpc::TlsDialer> tls;
    if (rpc::IsOn(options.tls)) {
      auto dialer = rpc::NewClientDialer(options.tls);
      if (!dialer.ok()) return dialer.status();
      tls = *std::move(dialer);
    }
    auto loop = rpc::EventLoop::Start(std::move(loop_options));
    if (!loop.ok()) return loop.status();
    return std::unique_ptr<Client>(std::make_unique<rpc::OwnedClient>(
        std::make_unique<rpc::RemoteClient>(options, std::move(tls), std::move(loop).value())));
  });
}

}  // namespace raftkv
