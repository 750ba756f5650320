#include "lib/open/open_node.h"

#include <algorithm>
#include <cstdio>
#include <future>
#include <random>
#include <utility>

#include "lib/base/address.h"
#include "lib/base/build_version.h"
#include "lib/base/check.h"
#include "lib/base/host_code.h"
#include "lib/kv/store.h"
#include "rpc/peers/frame_peers.h"
#include "rpc/peers/peers.h"
#include "storage/disk/machine.h"

namespace raftkv {

namespace {

/// Status requests that wait for the inspector; more are refused.
constexpr std::size_t kMaxInspections = 16;

std::uint64_t Entropy() {
  std::random_device device;
  return std::uint64_t{device()} << 32 | device();
}

Status Closed() { return {Code::kCancelled, "the member was closed"}; }

void LogToStderr(LogLevel level, std::string_view line) {
  static constexpr const char* kNames[] = {"trace", "debug", "info", "warn", "error", "off"};
  std::fprintf(stderr, "raftkv %s: %.*s\n", kNames[static_cast<int>(level)],
               static_cast<int>(line.size()), line.data());
}

}  // namespace

OpenNode::OpenNode(NodeOptions options, const OpenInternals& internals)
    : options_(std::move(options)), internals_(internals) {}

node::LogSink OpenNode::Sink() {
  // Copies: any thread may use it until the last of them has ended.
  const LogLevel least = options_.log_level;
  return [add = log_->adder(), least](node::LogSeverity severity, const std::string& line) {
    static constexpr LogLevel kLevels[] = {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarn,
                                           LogLevel::kError};
    const LogLevel level = kLevels[static_cast<int>(severity)];
    if (level >= least) add(level, line);
  };
}

// --- Opening.

raftkv::Status OpenNode::Start() {
  auto log = LogQueue::Start(options_.log_sink ? options_.log_sink : LogToStderr);
  if (!log.ok()) return log.status();
  log_ = *std::move(log);
  auto loop = rpc::EventLoop::Start({"raftkv-loop", options_.reserved_signal, Sink()});
  if (!loop.ok()) return loop.status();
  loop_ = *std::move(loop);
  {
    const MutexLock lock(mutex_);
    ForgetStatus();
  }
  // Created before damage is found: then there might be no thread left.
  opener_ = std::make_unique<storage::Worker>("raftkv-opener", 1);
  // Ports first: if one is taken, nothing has been changed on disk.
  raftkv::Status status = OpenTls();
  if (status.ok()) status = Listen();
  if (status.ok()) status = OpenStore();
  if (status.ok()) {
    RAFTKV_CHECK(loop_->Call([this] { Assemble(); }));
  } else {
    static_cast<void>(Close());
  }
  return status;
}

raftkv::Status OpenNode::Listen() {
  raftkv::Status status;
  RAFTKV_CHECK(loop_->Call([&] {
    metrics_ = std::make_unique<rpc::Metrics>(options_.name, RAFTKV_VERSION);
    status = ListenForPeersAndClients();
    if (status.ok()) status = ListenForHttp();
    if (status.ok()) status = ListenForEtcd();
  }));
  return status;
}

raftkv::Status OpenNode::ListenForPeersAndClients() {
  if (options_.listen.empty()) return raftkv::Status::Ok();
  rpc::ServerOptions server;
  server.listen = options_.listen;
  server.limits = options_.limits;
  server.max_connections = options_.max_connections;
  server.version = RAFTKV_VERSION;
  tls_native_ = NewTlsPort({.protocols = {rpc::kTlsNative}, .peers = true});
  server.tls = tls_native_.get();
  server.insecure = options_.insecure;
  server.log_sink = Sink();
  auto listening = rpc::Server::Listen(*loop_, *this, server);
  if (!listening.ok()) return listening.status();
  server_ = *std::move(listening);
  listen_address_ = server_->address();
  const std::string& exposed = server_->exposed();
  if (!exposed.empty()) Sink()(node::LogSeverity::kWarn, "this member " + exposed);
  return raftkv::Status::Ok();
}

raftkv::Status OpenNode::ListenForHttp() {
  if (options_.http.empty()) return raftkv::Status::Ok();
  rpc::HttpOptions http;
  http.listen = options_.http;
  tls_http_ = NewTlsPort({.protocols = {rpc::kTlsHttp1}});
  http.tls = tls_http_.get();
  http.log_sink = Sink();
  const rpc::HttpHandlers handlers{[this] { return metrics_->Serialize(SnapshotForMetrics()); },
                                   [this] { return ReadyToServe(); }};
  auto listening = rpc::HttpServer::Listen(*loop_, handlers, http);
  if (!listening.ok()) return listening.status();
  http_ = *std::move(listening);
  http_address_ = http_->address();
  return raftkv::Status::Ok();
}

raftkv::Status OpenNode::ListenForEtcd() {
  if (options_.etcd.empty()) return raftkv::Status::Ok();
  // Who can speak both is no client of gRPC, which offer HTTP/2 alone: it comes for the gateway.
  tls_etcd_ = NewTlsPort({.protocols = {rpc::kTlsHttp1, rpc::kTlsHttp2}});
  auto listening = EtcdDoor::Listen(*loop_, {.listen = options_.etcd,
                                             .tls = tls_etcd_.get(),
                                             .dialer = tls_dialer_,
                                             .limits = options_.limits,
                                             .election_timeout = options_.election_timeout,
                                             .ready = [this] { return ReadyToServe(); },
                                             .log_sink = Sink()});
  if (!listening.ok()) return listening.status();
  etcd_ = *std::move(listening);
  etcd_address_ = etcd_->address();
  return raftkv::Status::Ok();
}

raftkv::Status OpenNode::OpenStore() {
  storage::StoreOptions store;
  store.dir = options_.data_dir;
  store.name = options_.name;
  store.executor = [loop = loop_.get()](OnceFunction<void()> work) { loop->Post(std::move(work)); };
  store.log_sink = Sink();
  store.observer = metrics_.get();
  store.log_keep_entries = options_.log_keep_entries;
  store.log_keep_bytes = options_.log_keep_bytes;
  store.scrub_bytes_per_second = options_.scrub_bytes_per_second;
  store.scrub_pause = internals_.scrub_pause;
  store.on_damage = [this](const raftkv::Status& what) { OnDamage(what); };
  store.encryption_key_file = options_.encryption_key_file;
  store.env = internals_.env;
  store.machine_boot = internals_.machine_boot;
  store.sync = internals_.sync;
  if (internals_.env == nullptr) store.reserve_bytes = options_.disk_reserve_bytes;
  store.on_disk = [this](const node::DiskHealth& health) {
    disk_ = health;
    if (member_) member_->OnDisk(health);
  };
  auto opened = storage::Open(std::move(store));
  if (!opened.ok()) return opened.status();
  store_ = *std::move(opened);
  inspector_ = std::make_unique<storage::Worker>("raftkv-inspect", kMaxInspections);
  inspections_ = CancelToken();
  return raftkv::Status::Ok();
}

std::unique_ptr<rpc::PeerNetwork> OpenNode::MakePeers() {
  if (options_.transport) {
    rpc::FramePeersOptions frames;
    frames.seed = Entropy();
    frames.link.log_sink = Sink();
    rpc::Service& service = *this;
    rpc::PeerOwner& owner = *this;
    return std::make_unique<rpc::FramePeers>(*loop_, *options_.transport, service, owner, frames);
  }
  rpc::PeersOptions options;
  options.seed = Entropy();
  options.link.log_sink = Sink();
  options.tls = tls_dialer_;
  auto peers = std::make_unique<rpc::Peers>(*loop_, options);
  peers->SetOwner(*this);
  if (server_) peers->SetServer(*server_);
  return peers;
}

/// The address at which others reach this member: from the host, or from the cluster list, which
/// may name a gateway. A list from an earlier start that has another port of the very host that it
/// listens on is out of date.
std::string OpenNode::Advertised() {
  if (!options_.advertise.empty()) return options_.advertise;
  for (const MemberAddress& other : options_.cluster) {
    if (other.name != options_.name) continue;
    const auto listed = ParseHostPort(other.address);
    const auto listens = ParseHostPort(listen_address_);
    const bool moved = listed.ok() && listens.ok() && listed->host == listens->host &&
                       listed->port != listens->port;
    if (!moved || store_->birth().cluster == ClusterId{}) return other.address;
    Sink()(node::LogSeverity::kWarn,
           "the cluster list has this member's address as " + other.address +
               ", but it listens on " + listen_address_ +
               ", and will announce that to the others; if that is wrong, set --advertise to the "
               "address at which they reach it");
  }
  return listen_address_;
}

/// Where clients of the etcd API reach this member: at the host at which others do, where that API
/// listens on every address.
std::string OpenNode::EtcdUrl() const {
  const auto listens = ParseHostPort(etcd_address_);
  if (!listens.ok()) return "";
  const std::string scheme = tls_etcd_ == nullptr ? "http://" : "https://";
  if (!IsWildcard(*listens)) return scheme + etcd_address_;
  const auto advertised = ParseHostPort(options_.advertise);
  const auto own = ParseHostPort(listen_address_);
  HostPort reached = *listens;
  if (advertised.ok()) {
    reached.host = advertised->host;
  } else if (own.ok()) {
    reached.host = own->host;
  }
  return scheme + ToText(reached);
}

void OpenNode::Assemble() {
  peers_ = MakePeers();

  node::MemberOptions member;
  member.name = options_.name;
  member.advertise = Advertised();
  member.opaque_addresses = options_.transport != nullptr;
  member.zone = options_.zone;
  member.etcd_url = EtcdUrl();
  member.cluster = options_.cluster;
  member.join = options_.join;
  member.quorum = RuleOf(options_.quorum);
  member.core.lease_reads = options_.lease_reads;
  member.core.clock_error_percent = options_.clock_error_percent;
  member.limits = options_.limits;
  member.election_timeout = options_.election_timeout;
  member.heartbeat = options_.heartbeat;
  member.seed = Entropy();
  member.log_keep_entries = options_.log_keep_entries;
  member.log_keep_bytes = store_->log_keep_bytes();
  member.snapshot_bytes_per_second = options_.snapshot_bytes_per_second;
  member.messages_may_be_lost = options_.transport != nullptr;  // a connection reports a loss
  member_ = std::make_unique<node::Member>(
      member, store_->birth(), store_->replicated_time_at_open_ms(),
      node::Ports{*this, store_->log(), store_->machine(), *peers_, store_->meta(), *metrics_,
                  Sink(), &store_->snapshots()});
  member_->SetWakeup([this] { SchedulePump(); });
  member_->OnDisk(disk_);
  member_->Start();

  if (kv_) return;  // it asks whatever member there is
  node::SessionKvOptions kv;
  kv.limits = options_.limits;
  kv.seed = Entropy();
  kv.log_sink = Sink();
  kv_ = node::NewSessionKv(*loop_, *this, kv);
  if (!etcd_) return;
  rpc::Service& service = *this;
  etcd_->Serve(*kv_, service, [this] { return member_ ? member_->status() : NodeStatus(); });
}

// --- The pump.

void OpenNode::SchedulePump() {
  if (pump_scheduled_) return;
  pump_scheduled_ = true;
  // After everything that is ready: what arrived together is written and sent together.
  loop_->RunLast([this] {
    pump_scheduled_ = false;
    PumpNow();
  });
}

void OpenNode::PumpNow() {
  if (!member_) return;
  member_->Pump();
  Publish();
  ArmTimer();
}

void OpenNode::ArmTimer() {
  const MonoTime deadline = member_->NextDeadline();
  if (deadline == kNever || deadline >= armed_for_) return;  // an earlier timer checks again
  armed_for_ = deadline;
  loop_->At(deadline, [this, deadline] {
    if (armed_for_ == deadline) armed_for_ = kNever;
    PumpNow();
  });
}

/// Informs the threads that wait for a leader or a failure, and those that must not wait.
void OpenNode::Publish() {
  const bool settled = member_->HasSettledLeader();
  const bool failed = !member_->failure().ok() && member_->failure().code() != Code::kCancelled;
  NodeStatus status = member_->status();
  const MutexLock lock(mutex_);
  status_ = std::move(status);
  if (settled == settled_ && failed == !failure_.ok()) return;
  settled_ = settled;
  if (failed) failure_ = member_->failure();
  changed_.NotifyAll();
}

// --- A damaged disk.

/// The other members have what this one lost: it continues as a suspect one, as if it had been
/// restarted. In the meantime it answers like one that is starting.
void OpenNode::OnDamage(const raftkv::Status& what) {
  if (closing_ || !member_) return;
  static_cast<void>(what);  // the store has reported it
  ++opens_;
  member_->Stop();
  store_->StopCompletions();
  // Connections belong to the old boot, here and at the others.
  if (server_) server_->CloseAll();
  peers_.reset();
  member_.reset();
  armed_for_ = kNever;
  {
    const MutexLock lock(mutex_);
    settled_ = false;
    ForgetStatus();
  }
  // There is room for one. A member that is closing has stopped it, and is not reopened.
  static_cast<void>(opener_->Post([this] { OpenAnew(); }));
}

void OpenNode::ForgetStatus() {
  status_ = NodeStatus();
  status_.name = options_.name;
}

/// Off the loop, which still takes (and drops) what the disk threads post.
void OpenNode::OpenAnew() {
  {
    // Backups read files of the store; those of clients end with their connections.
    MutexLock lock(mutex_);
    while (*backups_ > 0 && !closing_) {
      changed_.WaitUntil(lock, std::chrono::steady_clock::now() + std::chrono::milliseconds(10));
    }
  }
  if (closing_) return;
  inspections_.Cancel();
  inspector_->Stop();
  store_->Abandon();
  loop_->Call([this] {
    store_.reset();
    inspector_.reset();
  });
  const raftkv::Status status = OpenOrUnavailable([this] { return OpenStore(); });
  loop_->Call([&] {
    if (closing_) return;
    if (status.ok()) return Assemble();
    const MutexLock lock(mutex_);
    failure_ = status;
    changed_.NotifyAll();
  });
}

// --- Closing.

/// So that the others need not wait for an election timeout.
void OpenNode::HandOver() {
  if (loop_->OnLoop()) return;  // nothing could wait for it
  std::promise<void> over;
  const auto waits = over.get_future();
  bool asked = false;
  loop_->Call([&] {
    const raft::Raft* core = member_ ? member_->core() : nullptr;
    if (core == nullptr || !member_->failure().ok()) return;
    if (core->role() != raft::Role::kLeader || core->progress().empty()) return;
    asked = true;
    // Whatever the result: this member stops.
    member_->MoveLeader(
        "", Now() + options_.election_timeout,
        [over = std::move(over)](const raftkv::Status&) mutable { over.set_value(); });
  });
  if (asked) waits.wait_for(options_.election_timeout);
}

raftkv::Status OpenNode::Close() {
  const MutexLock one_at_a_time(close_mutex_);
  if (std::exchange(closed_, true) || !loop_) return raftkv::Status::Ok();
  {
    const MutexLock lock(mutex_);
    closing_ = true;
    changed_.NotifyAll();
  }
  if (opener_) opener_->Stop();
  loop_->Call([this] {
    if (etcd_) etcd_->SayGoodbye();
  });
  HandOver();
  loop_->Call([this] {
    if (member_) Publish();  // a failure that the pump has not published yet
    if (member_) member_->Stop();
    if (store_) store_->StopCompletions();
    etcd_.reset();
    if (kv_) kv_->Stop();
    http_.reset();
    peers_.reset();
    server_.reset();
    tls_etcd_.reset();
    tls_http_.reset();
    tls_native_.reset();
    member_.reset();
  });
  // Off the loop, which still takes (and drops) what the disk threads post.
  if (tls_worker_) tls_worker_->Stop();
  inspections_.Cancel();
  if (inspector_) inspector_->Stop();
  // After a failure everything is left as it is: only a restart can tell what is really on disk.
  raftkv::Status status;
  {
    const MutexLock lock(mutex_);
    status = failure_;
  }
  if (store_ && status.ok()) status = store_->Close();
  loop_->Call([this] {
    store_.reset();
    metrics_.reset();
  });
  loop_->Stop();
  log_->Close();
  const MutexLock lock(mutex_);
  settled_ = false;
  ForgetStatus();
  changed_.NotifyAll();
  return status;
}

// --- Queries of the host.

raftkv::Status OpenNode::WaitForLeader(std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + BoundedTimeout(timeout);
  MutexLock lock(mutex_);
  while (!settled_ && failure_.ok() && !closing_ && changed_.WaitUntil(lock, deadline)) {
  }
  if (!failure_.ok()) return failure_;
  if (closing_) return Closed();
  if (settled_) return raftkv::Status::Ok();
  return {Code::kDeadlineExceeded, "no leader was found in time: a majority of members must be up"};
}

raftkv::Status OpenNode::WaitForFailure(std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + BoundedTimeout(timeout);
  MutexLock lock(mutex_);
  while (failure_.ok() && !closing_ && changed_.WaitUntil(lock, deadline)) {
  }
  if (!failure_.ok()) return failure_;
  if (closing_) return Closed();
  return {Code::kDeadlineExceeded, "the member is still running"};
}

NodeStatus OpenNode::status() {
  if (InCallback() && !loop_->OnLoop()) {
    // Its loop may be waiting for this one.
    const MutexLock lock(mutex_);
    return status_;
  }
  NodeStatus status;
  status.name = options_.name;
  loop_->Call([&] {
    if (member_) status = member_->status();
  });
  return status;
}

std::uint64_t OpenNode::WallTimeMs() { return storage::WallTimeMs(); }

}  // namespace raftkv
