// The verb that runs a member: serve.
#include <signal.h>
#include <sys/resource.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <ctime>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include <raftkv/node.h>

#include "cmd/config_file.h"
#include "cmd/flags.h"
#include "cmd/log.h"
#include "cmd/output.h"

namespace raftkv::cmd {
namespace {

struct ServeFlags {
  std::string name = "default";
  std::string data_dir;
  std::string listen = "127.0.0.1:7001";
  std::string cluster;
  std::string advertise;
  std::string http;
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
};

Result<unsigned> ParsePercent(std::string_view text) {
  const auto number =
      text.ends_with('%') ? ParseNumber(text.substr(0, text.size() - 1)) : std::nullopt;
  if (number && *number < 50) return static_cast<unsigned>(*number);
  return Status(Code::kInvalidArgument,
                fmt::format("--clock-error: '{}' is no percentage below 50% such as 10%", text));
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

// SIGTERM and SIGINT, blocked in every thread and waited for in one.
class StopSignals {
 public:
  // Before the first thread starts: threads inherit the mask.
  StopSignals() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGTERM);
    sigaddset(&set_, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);
  }

  // Whether one came within a fraction of a second.
  bool Wait() {
    const timespec slice{.tv_sec = 0, .tv_nsec = 200'000'000};
    return sigtimedwait(&set_, nullptr, &slice) > 0;
  }

  // From here on the next one ends the process at once.
  void Release() { pthread_sigmask(SIG_UNBLOCK, &set_, nullptr); }

 private:
  sigset_t set_{};
};

Exit RunServe(const ServeFlags& flags) {
  auto options = OptionsOf(flags);
  if (!options.ok()) return Fail(Exit::kBadArguments, options.status().message());
  StopSignals stop;
  signal(SIGPIPE, SIG_IGN);  // whoever reads our stderr may go away
  signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is a full disk: the write says so
  RaiseFileLimit();

  auto opened = Node::Open(std::move(options).value());
  if (!opened.ok()) {
    const bool bad = opened.code() == Code::kInvalidArgument;
    return Fail(bad ? Exit::kBadArguments : Exit::kError, opened.status().message());
  }
  const std::unique_ptr<Node> node = std::move(opened).value();
  PrintLine(fmt::format("ready name={} listen={} http={}", flags.name, node->listen_address(),
                        node->http_address()));
  std::cout.flush();

  while (!stop.Wait()) {
    const Status failure = node->WaitForFailure(std::chrono::milliseconds(0));
    if (failure.code() == Code::kDeadlineExceeded) continue;
    stop.Release();
    return Fail(Exit::kError, failure.message());
  }
  stop.Release();
  const Status closed = node->Close();
  return closed.ok() ? Exit::kOk : Fail(Exit::kError, closed.message());
}

void AddServeFlags(CLI::App& verb, ServeFlags& flags) {
  const auto add = [&verb](const std::string& name, auto& value, const std::string& help) {
    return WithEnvironment(verb.add_option(name, value, help));
  };
  add("--name", flags.name, "this member's name in the cluster")->capture_default_str();
  add("--data-dir", flags.data_dir, "folder of the data; made if it does not exist");
  add("--listen", flags.listen, "HOST:PORT for peers and clients")->capture_default_str();
  add("--cluster", flags.cluster, "n1=HOST:PORT,... all members of a new cluster; none: of one");
  add("--advertise", flags.advertise, "HOST:PORT that others connect to; as --listen");
  add("--http", flags.http, "HOST:PORT of /metrics, /livez and /readyz; none");
  add("--config", flags.config, "file.toml with these flags")->configurable(false);
  add("--log-level", flags.log_level, "trace, debug, info, warn, error or off")
      ->check(CLI::IsMember({"trace", "debug", "info", "warn", "error", "off"}))
      ->capture_default_str();
  add("--log-format", flags.log_format, "of stderr")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  WithEnvironment(verb.add_flag("--join", flags.join,
                                "the cluster exists, and takes this member in once it was added"));
  add("--zone", flags.zone, "label of where this member runs");
  add("--quorum", flags.quorum,
      "of a new cluster: majority, zones, or flexible:COMMIT,ELECTION (numbers of voters)")
      ->capture_default_str();
  add("--election-timeout", flags.election_timeout, "T: a timeout is drawn from [T, 2T)")
      ->check(IsDuration())
      ->type_name("DURATION")
      ->default_str("300ms");
  add("--heartbeat", flags.heartbeat, "how often the leader is heard")
      ->check(IsDuration())
      ->type_name("DURATION")
      ->default_str("100ms");
  WithEnvironment(
      verb.add_flag("--lease-reads", flags.lease_reads,
                    "answer lease reads by the leader's clock; of use while a quorum has it"));
  add("--clock-error", flags.clock_error, "how wrong any member's clock may run, for leases")
      ->type_name("PERCENT")
      ->capture_default_str();
  add("--log-keep-bytes", flags.log_keep_bytes,
      "of the log are kept, for members that are a little behind")
      ->check(IsBytes())
      ->type_name("BYTES")
      ->default_str("256MiB");
  add("--log-keep-entries", flags.log_keep_entries, "the same in entries; the smaller one counts")
      ->type_name("NUMBER")
      ->capture_default_str();
  add("--snapshot-rate", flags.snapshot_rate, "how fast snapshots go to other members; 0: no limit")
      ->check(IsBytes())
      ->type_name("BYTES/s")
      ->default_str("64MiB/s");
  add("--scrub-rate", flags.scrub_rate,
      "how fast the data on disk is read over and over to find damage; 0: not at all")
      ->check(IsBytes())
      ->type_name("BYTES/s")
      ->default_str("4MiB/s");
  add("--encryption-key-file", flags.encryption_key_file,
      "key that encrypts the data on disk: 32 bytes, or 64 hexadecimal digits; none")
      ->type_name("FILE");
  add("--disk-reserve", flags.disk_reserve, "held back for when the disk is full; 0: none")
      ->check(IsBytes())
      ->type_name("BYTES")
      ->default_str("16MiB");
}

}  // namespace

void AddServeVerb(Program& program) {
  auto flags = std::make_shared<ServeFlags>();
  CLI::App* verb = program.app.add_subcommand("serve", "run a member of a cluster");
  AddServeFlags(*verb, *flags);
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
