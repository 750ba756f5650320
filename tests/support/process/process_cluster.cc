#include "tests/support/process/process_cluster.h"

#include <signal.h>

#include <algorithm>
#include <cstdio>

#include <gtest/gtest.h>

#include "lib/base/check.h"

namespace raftkv::test {

using namespace std::chrono_literals;

ProcessCluster::ProcessCluster(ProcessClusterOptions options)
    : ProcessCluster(std::move(options), "127.0.0.1") {}

ProcessCluster::ProcessCluster(ProcessClusterOptions options, const std::string& host)
    : options_(std::move(options)) {
  const auto free_address = [&host] {
    const std::string address = FreeAddress();
    return host + address.substr(address.rfind(':'));
  };
  for (std::size_t i = 0; i < options_.members; ++i) {
    addresses_.push_back(free_address());
    http_addresses_.push_back(options_.http ? free_address() : std::string());
  }
  processes_.resize(options_.members);
  const std::size_t founders = options_.founders == 0 ? options_.members : options_.founders;
  for (std::size_t i = founders; i < options_.members; ++i) SetJoins(i);
  ClientOptions client;
  client.endpoints = addresses_;
  client.tls = options_.client_tls;
  auto connected = Client::Connect(client);
  RAFTKV_CHECK(connected.ok(), connected.status().ToString());
  status_client_ = std::move(connected).value();
}

ProcessCluster::~ProcessCluster() {
  processes_.clear();
  for (std::size_t i = 0; i < size(); ++i) {
    // A broken invariant, or what a sanitizer found: the cluster may have survived it.
    const std::string log = ReadFile(folder() / (name(i) + ".stderr"));
    for (const char* alarm : {"broken invariant", "Sanitizer", "runtime error:"}) {
      const auto found = log.find(alarm);
      if (found != std::string::npos) ADD_FAILURE() << name(i) << ": " << log.substr(found, 4000);
    }
  }
  if (!testing::Test::HasFailure()) return;
  for (std::size_t i = 0; i < size(); ++i) {
    const std::string log = ReadFile(folder() / (name(i) + ".stderr"));
    const std::size_t begin = log.size() < 4000 ? 0 : log.find('\n', log.size() - 4000);
    std::fprintf(stderr, "--- log of %s ends with:\n%s", name(i).c_str(),
                 log.substr(std::min(begin, log.size())).c_str());
  }
}

std::string ProcessCluster::name(std::size_t member) const {
  return "n" + std::to_string(member + 1);
}

std::string ProcessCluster::endpoints() const {
  std::string all;
  for (const std::string& address : addresses_) all += (all.empty() ? "" : ",") + address;
  return all;
}

std::string ProcessCluster::cluster_flag(std::size_t members) const {
  std::string all;
  if (members == 1) return all;
  for (std::size_t i = 0; i < members; ++i) {
    all += (all.empty() ? "" : ",") + name(i) + "=" + addresses_[i];
  }
  return all;
}

std::filesystem::path ProcessCluster::data_dir(std::size_t member) const {
  return folder() / (name(member) + ".data");
}

std::vector<std::string> ProcessCluster::Command(std::size_t member) const {
  std::vector<std::string> command = {RAFTKV_BINARY, "serve",          "--name",   name(member),
                                      "--data-dir",  data_dir(member), "--listen", address(member)};
  const bool joins = joins_.contains(member);
  const std::size_t listed = joins || options_.founders == 0 ? size() : options_.founders;
  if (listed > 1) command.insert(command.end(), {"--cluster", cluster_flag(listed)});
  if (joins) command.emplace_back("--join");
  if (member < options_.member_flags.size()) {
    const auto& own = options_.member_flags[member];
    command.insert(command.end(), own.begin(), own.end());
  }
  if (options_.http) command.insert(command.end(), {"--http", http_address(member)});
  if (options_.steady) command.insert(command.end(), {"--election-timeout", "1500ms"});
  command.insert(command.end(), options_.flags.begin(), options_.flags.end());
  return command;
}

bool ProcessCluster::Start(std::size_t member) {
  RAFTKV_CHECK(!processes_.at(member) || !process(member).Running(), member);
  const auto& environments = options_.member_environment;
  processes_[member] = std::make_unique<Process>(ProcessOptions{
      .command = Command(member),
      .environment = member < environments.size() ? environments[member]
                                                  : std::map<std::string, std::string>(),
      .stdin_content = {},
      .stdout_path = folder() / (name(member) + ".stdout"),
      .stderr_path = folder() / (name(member) + ".stderr")});
  return process(member).WaitForLine("ready ", 20s).has_value();
}

bool ProcessCluster::StartAll() {
  for (std::size_t i = 0; i < size(); ++i) {
    if (!joins_.contains(i) && !Start(i)) return false;
  }
  return WaitForLeader(20s).has_value();
}

void ProcessCluster::Kill(std::size_t member) { process(member).Kill(); }

std::optional<int> ProcessCluster::Terminate(std::size_t member,
                                             std::chrono::milliseconds timeout) {
  process(member).Signal(SIGTERM);
  return process(member).WaitForExit(timeout);
}

std::unique_ptr<Client> ProcessCluster::Connect(std::size_t first, ClientOptions options) {
  options.tls = options_.client_tls;
  for (std::size_t i = 0; i < size(); ++i) {
    options.endpoints.push_back(address((first + i) % size()));
  }
  auto client = Client::Connect(std::move(options));
  RAFTKV_CHECK(client.ok(), client.status().ToString());
  return std::move(client).value();
}

std::unique_ptr<Client> ProcessCluster::ConnectOnlyTo(std::size_t member) {
  ClientOptions options;
  options.endpoints = {address(member)};
  options.follow_leader = false;
  options.tls = options_.client_tls;
  auto client = Client::Connect(std::move(options));
  RAFTKV_CHECK(client.ok(), client.status().ToString());
  return std::move(client).value();
}

Result<EndpointStatus> ProcessCluster::Status(std::size_t member, bool with_hash) {
  return status_client_->Status(address(member), 2000ms, with_hash);
}

std::optional<std::size_t> ProcessCluster::WaitForLeader(std::chrono::milliseconds timeout,
                                                         const std::set<std::size_t>& among) {
  std::optional<std::size_t> leader;
  WaitFor(timeout, [&] {
    std::set<std::string> named;
    std::optional<std::size_t> leads;
    for (std::size_t i = 0; i < size(); ++i) {
      if (among.empty() ? !processes_[i] || !process(i).Running() : !among.contains(i)) continue;
      const auto status = Status(i);
      if (!status.ok()) return false;
      named.insert(status->node.leader);
      if (status->node.role == Role::kLeader) leads = i;
    }
    if (!leads || named != std::set<std::string>{name(*leads)}) return false;
    leader = leads;
    return true;
  });
  return leader;
}

bool ProcessCluster::WaitForRole(std::size_t member, MemberRole role,
                                 std::chrono::milliseconds timeout) {
  return WaitFor(timeout, [&] {
    const auto members = status_client_->cluster().Members(2000ms);
    return members.ok() &&
           std::any_of(members->begin(), members->end(), [&](const ClusterMember& listed) {
             return listed.name == name(member) && listed.role == role;
           });
  });
}

std::vector<EndpointStatus> ProcessCluster::WaitUntilEqual(std::chrono::milliseconds timeout,
                                                           const std::set<std::size_t>& among) {
  const std::size_t wanted = among.empty() ? size() : among.size();
  std::vector<EndpointStatus> statuses;
  WaitFor(timeout, [&] {
    statuses.clear();
    for (std::size_t i = 0; i < size(); ++i) {
      if (!among.empty() && !among.contains(i)) continue;
      const auto status = Status(i, /*with_hash=*/true);
      if (!status.ok() || status->hash_index == 0) break;
      if (!statuses.empty() && status->hash_index != statuses[0].hash_index) break;
      statuses.push_back(*status);
    }
    return statuses.size() == wanted;
  });
  if (statuses.size() != wanted) statuses.clear();
  return statuses;
}

RunResult ProcessCluster::Cli(std::vector<std::string> arguments, RunOptions options) const {
  options.environment.emplace("RAFTKV_ENDPOINTS", endpoints());
  const ClientTlsOptions& tls = options_.client_tls;
  if (!tls.cacert.empty()) options.environment.emplace("RAFTKV_CACERT", tls.cacert);
  if (!tls.cert.empty()) options.environment.emplace("RAFTKV_CERT", tls.cert);
  if (!tls.key.empty()) options.environment.emplace("RAFTKV_KEY", tls.key);
  return RunRaftkv(std::move(arguments), options);
}

}  // namespace raftkv::test
