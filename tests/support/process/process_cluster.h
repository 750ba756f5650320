// How does a test run a cluster of real `raftkv serve` processes, and kill, pause and ask them?
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <raftkv/client.h>

#include "tests/support/process/process.h"

namespace raftkv::test {

struct ProcessClusterOptions {
  std::size_t members = 3;
  /// The first so many form the cluster, the others join it later; 0: all of them form it.
  std::size_t founders = 0;
  /// More flags for every member.
  std::vector<std::string> flags = {};
  /// And more for each, by its number.
  std::vector<std::vector<std::string>> member_flags = {};
  /// Added to the environment of each, by its number.
  std::vector<std::map<std::string, std::string>> member_environment = {};
  /// Serve /metrics, each on a free port.
  bool http = false;
  /// A leader stays one on a machine whose disk takes a second for a sync: for tests that ask it
  /// for something once, and are not about elections.
  bool steady = false;
  /// Of all clients, the program's verbs among them.
  ClientTlsOptions client_tls = {};
};

/// Members are called n1, n2, ... and numbered from 0. Start them from one thread that lives on
/// (see Process).
class ProcessCluster {
 public:
  /// Starts nothing.
  explicit ProcessCluster(ProcessClusterOptions options = {});
  /// All of them listen on `host`.
  ProcessCluster(ProcessClusterOptions options, const std::string& host);
  /// Kills what runs; prints the end of each member's log if the test has failed.
  ~ProcessCluster();

  [[nodiscard]] std::size_t size() const { return addresses_.size(); }
  [[nodiscard]] std::string name(std::size_t member) const;
  [[nodiscard]] const std::string& address(std::size_t member) const {
    return addresses_.at(member);
  }
  /// Of /metrics; empty without ProcessClusterOptions::http.
  [[nodiscard]] const std::string& http_address(std::size_t member) const {
    return http_addresses_.at(member);
  }
  /// All addresses, joined by commas, for --endpoints.
  [[nodiscard]] std::string endpoints() const;
  /// For --cluster; empty for a cluster of one.
  [[nodiscard]] std::string cluster_flag(std::size_t members) const;
  [[nodiscard]] std::string cluster_flag() const { return cluster_flag(size()); }
  /// It is started with --join from now on.
  void SetJoins(std::size_t member) { joins_.insert(member); }
  [[nodiscard]] std::filesystem::path data_dir(std::size_t member) const;
  [[nodiscard]] std::filesystem::path folder() const { return folder_.path(); }
  [[nodiscard]] Process& process(std::size_t member) { return *processes_.at(member); }
  /// The command line that Start uses.
  [[nodiscard]] std::vector<std::string> Command(std::size_t member) const;

  /// Starts the process; false if it does not say that it is ready.
  [[nodiscard]] bool Start(std::size_t member);
  /// Starts all that form the cluster, and waits for a leader.
  [[nodiscard]] bool StartAll();
  /// SIGKILL.
  void Kill(std::size_t member);
  void Pause(std::size_t member) { process(member).Signal(SIGSTOP); }
  void Continue(std::size_t member) { process(member).Signal(SIGCONT); }
  /// SIGTERM; the exit code, nothing if it does not end in time.
  std::optional<int> Terminate(std::size_t member, std::chrono::milliseconds timeout);

  /// A client of all members, the given one first.
  std::unique_ptr<Client> Connect(std::size_t first = 0, ClientOptions options = {});
  /// A client that asks just this member, which is not to send it elsewhere.
  std::unique_ptr<Client> ConnectOnlyTo(std::size_t member);

  /// The member that leads and that all running members (or those of `among`) follow.
  std::optional<std::size_t> WaitForLeader(std::chrono::milliseconds timeout,
                                           const std::set<std::size_t>& among = {});
  /// Waits until all members (or those of `among`) have applied the same; their statuses with
  /// hashes, empty at the timeout.
  std::vector<EndpointStatus> WaitUntilEqual(std::chrono::milliseconds timeout,
                                             const std::set<std::size_t>& among = {});
  /// Waits until the member list shows `member` in this role.
  bool WaitForRole(std::size_t member, MemberRole role, std::chrono::milliseconds timeout);
  Result<EndpointStatus> Status(std::size_t member, bool with_hash = false);

  /// Runs `raftkv VERB...` against all members (or against --endpoints in `arguments`).
  RunResult Cli(std::vector<std::string> arguments, RunOptions options = {}) const;

 private:
  const ProcessClusterOptions options_;
  TempFolder folder_;
  std::vector<std::string> addresses_;
  std::vector<std::string> http_addresses_;
  std::vector<std::unique_ptr<Process>> processes_;
  std::set<std::size_t> joins_;
  std::unique_ptr<Client> status_client_;
};

}  // namespace raftkv::test
