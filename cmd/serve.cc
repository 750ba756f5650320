// The verb that runs a member: serve.
#include <signal.h>
#include <sys/resource.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include <raftkv/node.h>

#include "cmd/config_file.h"
#include "cmd/flags.h"
#include "cmd/idle_memory.h"
#include "cmd/log.h"
#include "cmd/output.h"
#include "lib/base/mutex.h"
#include "storage/disk/machine.h"

namespace raftkv::cmd {
namespace {

struct ServeFlags {
  std::string name = "default";
  std::string data_dir;
  std::string listen = "127.0.0.1:7001";
  std::string cluster;
  std::string advertise;
  std::string http;
  std::string etcd;
  std::string config;
  std::string log_level = "info";
  std::string log_format = "text";
  std::string zone;
  std::string quorum = "majority";
  bool join = false;
  bool lease_reads = false;
  std::string clock_error = "10%";
  DurationFlag election_timeout{std::chrono::milliseconds(300)};
  DurationFlag heartbeat{std::chrono::milliseconds(100)};
  BytesFlag log_keep_bytes{NodeOptions().log_keep_bytes};
  std::uint64_t log_keep_entries = NodeOptions().log_keep_entries;
  BytesFlag snapshot_rate{NodeOptions().snapshot_bytes_per_second};
  BytesFlag scrub_rate{NodeOptions().scrub_bytes_per_second};
  std::string encryption_key_file;
  BytesFlag disk_reserve{NodeOptions().disk_reserve_bytes};
  NodeTlsOptions tls;
  bool insecure = false;
};

Result<unsigned> ParsePercent(std::string_view text) {
  const auto number =
      text.ends_with('%') ? ParseNumber(text.substr(0, text.size() - 1)) : std::nullopt;
  if (number && *number < 50) return static_cast<unsigned>(*number);
  return Status(
      Code::kInvalidArgument,
      fmt::format("--clock-error: '{}' is not a percentage below 50%, such as 10%", text));
}

Result<NodeOptions> OptionsOf(const ServeFlags& flags) {
  auto cluster = ParseCluster(flags.cluster);
  if (!cluster.ok()) return cluster.status();
  const auto quorum = ParseQuorum(flags.quorum);
  if (!quorum.ok()) return quorum.status();
  const auto clock_error = ParsePercent(flags.clock_error);
  if (!clock_error.ok()) return clock_error.status();
  if (flags.data_dir.empty()) {
    return Status(Code::kInvalidArgument, "--data-dir is missing: the folder that keeps the data");
  }
  if (flags.listen.empty()) {
    return Status(Code::kInvalidArgument, "--listen is empty: HOST:PORT for peers and clients");
  }
  NodeOptions options;
  options.name = flags.name;
  options.data_dir = flags.data_dir;
  options.listen = flags.listen;
  options.advertise = flags.advertise;
  options.cluster = std::move(cluster).value();
  options.http = flags.http;
  options.etcd = flags.etcd;
  options.zone = flags.zone;
  options.join = flags.join;
  options.quorum = *quorum;
  options.lease_reads = flags.lease_reads;
  options.clock_error_percent = *clock_error;
  options.election_timeout = flags.election_timeout.value;
  options.heartbeat = flags.heartbeat.value;
  options.log_keep_bytes = flags.log_keep_bytes.value;
  options.log_keep_entries = flags.log_keep_entries;
  options.snapshot_bytes_per_second = flags.snapshot_rate.value;
  options.scrub_bytes_per_second = flags.scrub_rate.value;
  options.encryption_key_file = flags.encryption_key_file;
  options.disk_reserve_bytes = flags.disk_reserve.value;
  options.tls = flags.tls;
  options.insecure = flags.insecure;
  options.log_level = LogLevelOf(flags.log_level).value();
  options.log_sink = NewLogSink(flags.log_format == "json", flags.name);
  return options;
}

// Connections and RocksDB's files together are more than the usual soft limit of 1,024.
void RaiseFileLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);  // if it is refused the soft limit stays, which serves too
}

// SIGTERM and SIGINT, blocked in every thread and waited for in one of their own, which sees to it
// that the process ends whatever the others hang in: a resolver, a disk, a pipe that nobody reads.
// To end at once loses nothing; an orderly end only makes the next start faster. With files that
// can be read again, SIGHUP asks for that.
class StopSignals {
 public:
  // Before the first thread starts: threads inherit the mask.
  explicit StopSignals(bool reloads) : reloads_(reloads) {
    // A shell that ignores it in the background would have it ignored here as well.
    if (reloads) signal(SIGHUP, SIG_DFL);
    sigset_t set = Set();
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    // check:allow detach: it waits for as long as the process lives
    std::thread([this] { Watch(); }).detach();
  }

  // Whether one came within a fraction of a second.
  bool Wait() {
    MutexLock lock(mutex_);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(200);
    while (!came_ && changed_.WaitUntil(lock, deadline)) {
    }
    return came_;
  }

  // Whether SIGHUP came since the last call.
  bool TakeReload() {
    const MutexLock lock(mutex_);
    return std::exchange(reload_, false);
  }

  // From here on a signal gives the process time to close the member.
  void SetOpen() {
    const MutexLock lock(mutex_);
    grace_ = kToClose;
    changed_.NotifyAll();
  }

 private:
  static constexpr std::chrono::seconds kToOpen{2};
  static constexpr std::chrono::seconds kToClose{30};

  [[nodiscard]] sigset_t Set() const {
    sigset_t set{};
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    if (reloads_) sigaddset(&set, SIGHUP);
    return set;
  }

  // The one that ends the process.
  int WaitForEnd(const sigset_t& set) {
    int came = 0;
    while (true) {
      if (sigwait(&set, &came) != 0) continue;
      if (came != SIGHUP) return came;
      const MutexLock lock(mutex_);
      reload_ = true;
    }
  }

  [[noreturn]] void Watch() {
    pthread_setname_np(pthread_self(), "raftkv-signals");
    sigset_t set = Set();
    const int signal = WaitForEnd(set);
    // The next one ends the process at once.
    sigdelset(&set, SIGHUP);
    pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
    MutexLock lock(mutex_);
    came_ = true;
    changed_.NotifyAll();
    const auto begin = std::chrono::steady_clock::now();
    while (std::chrono::steady_clock::now() < begin + grace_) {
      changed_.WaitUntil(lock, begin + grace_);
    }
    while (true) raise(signal);
  }

  const bool reloads_;
  Mutex mutex_;
  Condition changed_;
  bool came_ RAFTKV_GUARDED_BY(mutex_) = false;
  bool reload_ RAFTKV_GUARDED_BY(mutex_) = false;
  std::chrono::seconds grace_ RAFTKV_GUARDED_BY(mutex_) = kToOpen;
};

Exit RunServe(const ServeFlags& flags) {
  auto options = OptionsOf(flags);
  if (!options.ok()) return Fail(Exit::kBadArguments, options.status().message());
  if (const Status clock = storage::CheckWallClock(); !clock.ok())
    return Fail(Exit::kError, clock.message());
  // Never destroyed: its thread lives on.
  StopSignals& stop = *new StopSignals(/*reloads=*/!flags.tls.cert.empty());
  signal(SIGPIPE, SIG_IGN);  // whoever reads our stderr may go away
  RaiseFileLimit();

  auto opened = Node::Open(std::move(options).value());
  if (!opened.ok()) {
    const bool bad = opened.code() == Code::kInvalidArgument;
    return Fail(bad ? Exit::kBadArguments : Exit::kError, opened.status().message());
  }
  const std::unique_ptr<Node> node = std::move(opened).value();
  PrintLine(fmt::format("ready name={} listen={} http={} etcd={}", flags.name,
                        node->listen_address(), node->http_address(), node->etcd_address()));
  // Whoever waits for the line learns of it here; the member is of use without it.
  static_cast<void>(FinishOutput());
  stop.SetOpen();

  IdleMemory memory;
  while (!stop.Wait()) {
    memory.Look();
    if (stop.TakeReload()) static_cast<void>(node->ReloadTls());  // which logs what came of it
    const Status failure = node->WaitForFailure(std::chrono::milliseconds(0));
    if (failure.code() == Code::kDeadlineExceeded) continue;
    return Fail(Exit::kError, failure.message());
  }
  const Status closed = node->Close();
  if (!closed.ok()) return Fail(Exit::kError, closed.message());
  std::cout.flush();
  // What runs at exit() would wait for stderr, which a hung thread may hold.
  std::_Exit(static_cast<int>(Exit::kOk));
}

auto FlagAdder(CLI::App& verb) {
  return [&verb](const std::string& name, auto& value, const std::string& help) {
    return WithEnvironment(verb.add_option(name, value, help));
  };
}

void AddIdentityFlags(CLI::App& verb, ServeFlags& flags) {
  const auto add = FlagAdder(verb);
  add("--name", flags.name, "this member's name in the cluster")->capture_default_str();
  add("--data-dir", flags.data_dir, "data folder; created if it does not exist");
  add("--listen", flags.listen, "address to listen on for peers and clients")
      ->type_name("HOST:PORT")
      ->capture_default_str();
  add("--cluster", flags.cluster, "all members of a new cluster (default: a cluster of one)")
      ->type_name("n1=HOST:PORT,...");
  add("--advertise", flags.advertise,
      "address that peers and clients connect to (default: --listen; required if that is a "
      "wildcard)")
      ->type_name("HOST:PORT");
  add("--http", flags.http, "address of /metrics, /livez and /readyz (default: not served)")
      ->type_name("HOST:PORT");
  add("--etcd", flags.etcd,
      "address of the etcd v3 API, gRPC and JSON on one port (default: not served)")
      ->type_name("HOST:PORT");
  add("--config", flags.config, "TOML file that sets these flags")
      ->type_name("FILE")
      ->configurable(false);
  add("--log-level", flags.log_level, "lowest level that is logged")
      ->check(CLI::IsMember({"trace", "debug", "info", "warn", "error", "off"}))
      ->capture_default_str();
  add("--log-format", flags.log_format, "format of the log lines on stderr")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  WithEnvironment(
      verb.add_flag("--join", flags.join,
                    "join an existing cluster, to which \"member add\" has invited this member"));
  add("--zone", flags.zone, "failure domain that this member runs in, for --quorum zones");
  add("--quorum", flags.quorum,
      "quorum of a new cluster: majority, zones, or flexible:COMMIT,ELECTION (numbers of voters)")
      ->capture_default_str();
}

void AddTimingAndDiskFlags(CLI::App& verb, ServeFlags& flags) {
  const auto add = FlagAdder(verb);
  add("--election-timeout", flags.election_timeout,
      "T: a follower campaigns after [T, 2T) without a leader")
      ->check(IsDuration())
      ->type_name("DURATION")
      ->default_str("300ms");
  add("--heartbeat", flags.heartbeat, "interval of the leader's heartbeats")
      ->check(IsDuration())
      ->type_name("DURATION")
      ->default_str("100ms");
  WithEnvironment(verb.add_flag("--lease-reads", flags.lease_reads,
                                "allow lease reads, which need no round trip to a quorum; takes "
                                "effect once a quorum has this flag"));
  add("--clock-error", flags.clock_error, "largest drift of any member's clock, for leases")
      ->type_name("PERCENT")
      ->capture_default_str();
  add("--log-keep-bytes", flags.log_keep_bytes,
      "bytes of log to keep for lagging members; at most an eighth of the disk")
      ->check(IsBytes())
      ->type_name("BYTES")
      ->default_str("256MiB");
  add("--log-keep-entries", flags.log_keep_entries,
      "entries of log to keep for lagging members; the smaller limit applies")
      ->check(IsNumber(1, std::uint64_t{1} << 50))
      ->type_name("NUMBER")
      ->capture_default_str();
  add("--snapshot-rate", flags.snapshot_rate,
      "rate limit for snapshots sent to other members; 0: no limit")
      ->check(IsRate())
      ->type_name("BYTES/s")
      ->default_str("64MiB/s");
  add("--scrub-rate", flags.scrub_rate,
      "rate at which the data on disk is read again to find damage; 0: never")
      ->check(IsRate())
      ->type_name("BYTES/s")
      ->default_str("4MiB/s");
  add("--encryption-key-file", flags.encryption_key_file,
      "key for encryption at rest: 32 bytes or 64 hexadecimal digits (default: none)")
      ->type_name("FILE");
  add("--disk-reserve", flags.disk_reserve,
      "disk space to hold in reserve for when the disk is full; 0: none")
      ->check(IsBytes())
      ->type_name("BYTES")
      ->default_str("16MiB");
}

void AddTlsFlags(CLI::App& verb, ServeFlags& flags) {
  const auto add = [&verb](const std::string& name, std::string& value, const std::string& help) {
    WithEnvironment(verb.add_option(name, value, help))->type_name("FILE");
  };
  add("--tls-cert", flags.tls.cert,
      "certificate of this member, for TLS on all ports (default: no TLS)");
  add("--tls-key", flags.tls.key, "private key of --tls-cert");
  add("--tls-ca", flags.tls.ca, "CA of the certificates of clients");
  WithEnvironment(verb.add_flag("--client-cert-auth", flags.tls.client_cert_auth,
                                "refuse clients without a certificate of --tls-ca"));
  add("--peer-tls-cert", flags.tls.peer_cert,
      "certificate of this member for the other members (default: --tls-cert)");
  add("--peer-tls-key", flags.tls.peer_key, "private key of --peer-tls-cert");
  add("--peer-tls-ca", flags.tls.peer_ca,
      "CA of the certificates of members: whoever has one is a member (default: --tls-ca)");
  WithEnvironment(verb.add_option("--tls-min-version", flags.tls.min_version,
                                  "lowest version of TLS that is spoken"))
      ->check(CLI::IsMember({"1.2", "1.3"}))
      ->capture_default_str();
  WithEnvironment(
      verb.add_flag("--insecure", flags.insecure,
                    "do not warn that --listen can be reached by other machines without "
                    "TLS"));
}

}  // namespace

void AddServeVerb(Program& program) {
  auto flags = std::make_shared<ServeFlags>();
  CLI::App* verb = program.app.add_subcommand("serve", "run a member of a cluster");
  AddIdentityFlags(*verb, *flags);
  AddTimingAndDiskFlags(*verb, *flags);
  AddTlsFlags(*verb, *flags);
  verb->callback([&program, verb, flags] {
    program.run = [verb, flags] {
      if (!flags->config.empty()) {
        const Status read = ReadConfigFile(flags->config, *verb);
        if (!read.ok()) return Fail(Exit::kBadArguments, read.message());
      }
      return RunServe(*flags);
    };
  });
}

}  // namespace raftkv::cmd
