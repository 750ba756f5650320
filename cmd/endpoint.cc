// The verbs that ask each endpoint for itself: endpoint status, endpoint health.
#include <chrono>
#include <cstdint>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "cmd/flags.h"
#include "cmd/output.h"

namespace raftkv::cmd {
namespace {

// Asks all endpoints at the same time: one that is down costs its timeout once, not for each.
template <class Ask>
auto AskAll(const std::vector<std::string>& endpoints, const Ask& ask) {
  using Answer = decltype(ask(std::string()));
  std::vector<std::future<Answer>> pending;
  for (const std::string& endpoint : endpoints) {
    pending.push_back(std::async(std::launch::async, ask, endpoint));
  }
  std::vector<Answer> answers;
  for (auto& answer : pending) answers.push_back(answer.get());
  return answers;
}

// More are no cluster: each costs a thread while it is asked.
constexpr std::size_t kMaxEndpoints = 64;

Json StatusJson(const EndpointStatus& status, bool with_hash) {
  Json members = Json::array();
  for (const auto& member : status.members) {
    members.push_back({{"id", member.id},
                       {"name", member.name},
                       {"address", member.address},
                       {"voter", member.voter}});
  }
  Json json = {{"endpoint", status.endpoint},
               {"name", status.node.name},
               {"cluster_id", status.node.cluster_id},
               {"member_id", status.node.member_id},
               {"version", status.version},
               {"leader", status.node.leader},
               {"role", RoleName(status.node.role)},
               {"term", status.node.term},
               {"commit_index", status.node.commit_index},
               {"applied_index", status.node.applied_index},
               {"revision", status.node.revision},
               {"compacted_revision", status.node.compacted_revision},
               {"log_first_index", status.node.log_first_index},
               {"log_last_index", status.node.log_last_index},
               {"snapshot_index", status.snapshot_index},
               {"db_bytes", status.db_bytes},
               {"suspect", status.node.suspect},
               {"members", std::move(members)},
               {"errors", status.node.errors}};
  if (with_hash) {
    json["content_hash"] = status.content_hash;
    json["hash_index"] = status.hash_index;
  }
  return json;
}

std::vector<std::string> StatusCells(const EndpointStatus& status, bool with_hash) {
  const NodeStatus& node = status.node;
  std::vector<std::string> cells = {status.endpoint,
                                    node.name,
                                    fmt::format("{:016x}", node.member_id),
                                    status.version,
                                    std::string(RoleName(node.role)),
                                    node.leader.empty() ? "-" : node.leader,
                                    std::to_string(node.term),
                                    std::to_string(node.commit_index),
                                    std::to_string(node.applied_index),
                                    std::to_string(node.revision),
                                    fmt::format("{} B", status.db_bytes),
                                    fmt::format("{}", fmt::join(status.node.errors, "; "))};
  if (with_hash) cells.push_back(fmt::format("{:016x}@{}", status.content_hash, status.hash_index));
  return cells;
}

Exit RunStatus(const ClientFlags& flags, bool with_hash) {
  const auto endpoints = flags.endpoint_list();
  auto client = Connect(flags);
  if (!client.ok()) return Fail(Exit::kBadArguments, client.status().message());
  if (endpoints.size() > kMaxEndpoints) return Fail(Exit::kBadArguments, "too many endpoints");
  const auto answers = AskAll(endpoints, [&](const std::string& endpoint) {
    return (*client)->Status(endpoint, flags.timeout.value, with_hash);
  });
  std::vector<std::string> titles = {"ENDPOINT", "NAME",     "ID",      "VERSION",
                                     "ROLE",     "LEADER",   "TERM",    "COMMIT",
                                     "APPLIED",  "REVISION", "DB SIZE", "ERRORS"};
  if (with_hash) titles.emplace_back("HASH@INDEX");
  std::vector<std::vector<std::string>> rows;
  for (const auto& answer : answers) {
    if (!answer.ok()) continue;
    const auto cells = StatusCells(*answer, with_hash);
    if (flags.format() == Format::kJson) PrintLine(Dump(StatusJson(*answer, with_hash)));
    if (flags.format() == Format::kSimple) PrintLine(fmt::format("{}", fmt::join(cells, ", ")));
    rows.push_back(cells);
  }
  if (flags.format() == Format::kTable) PrintTable(titles, rows);
  Exit exit = FinishOutput();
  for (const auto& answer : answers) {
    if (answer.ok()) continue;
    exit = Fail(answer.status());  // which names the endpoint
  }
  return exit;
}

struct Health {
  Status status;
  std::chrono::duration<double, std::milli> took{};
};

// Healthy is who answers a linearizable read: it follows a leader that has a quorum. Whether the
// key is there does not matter.
Health AskHealth(const ClientFlags& flags, const std::string& endpoint) {
  ClientFlags alone = flags;
  alone.endpoints = endpoint;
  const auto start = std::chrono::steady_clock::now();
  ClientOptions options;
  options.follow_leader = false;
  auto client = Connect(alone, std::move(options));
  if (!client.ok()) return {client.status()};
  const auto read = (*client)->kv().Get("health", {.timeout = flags.timeout.value});
  const bool healthy = read.ok() || read.code() == Code::kNotFound;
  return {healthy ? Status::Ok() : read.status(), std::chrono::steady_clock::now() - start};
}

Exit RunHealth(const ClientFlags& flags) {
  const auto endpoints = flags.endpoint_list();
  auto client = Connect(flags);
  if (!client.ok()) return Fail(Exit::kBadArguments, client.status().message());
  if (endpoints.size() > kMaxEndpoints) return Fail(Exit::kBadArguments, "too many endpoints");
  const auto answers =
      AskAll(endpoints, [&](const std::string& endpoint) { return AskHealth(flags, endpoint); });
  std::size_t unhealthy = 0;
  std::vector<std::vector<std::string>> rows;
  for (std::size_t i = 0; i < endpoints.size(); ++i) {
    const auto& [status, took] = answers[i];
    if (!status.ok()) ++unhealthy;
    const std::string took_ms = fmt::format("{:.2f} ms", took.count());
    if (flags.format() == Format::kJson) {
      PrintLine(Dump({{"endpoint", endpoints[i]},
                      {"health", status.ok()},
                      {"took_ms", took.count()},
                      {"error", status.message()}}));
    } else if (flags.format() == Format::kSimple) {
      PrintLine(status.ok() ? fmt::format("{} is healthy: took {}", endpoints[i], took_ms)
                            : fmt::format("{} is unhealthy: {}", endpoints[i], status.message()));
    }
    rows.push_back({endpoints[i], status.ok() ? "true" : "false", took_ms, status.message()});
  }
  if (flags.format() == Format::kTable) PrintTable({"ENDPOINT", "HEALTH", "TOOK", "ERROR"}, rows);
  const Exit printed = FinishOutput();
  if (unhealthy == 0) return printed;
  return Fail(Exit::kUnhealthy,
              fmt::format("{} of {} endpoints are not healthy", unhealthy, endpoints.size()));
}

}  // namespace

void AddEndpointVerbs(Program& program) {
  CLI::App* endpoint = program.AddClientVerb(program.app, "endpoint", "query each of --endpoints");
  endpoint->require_subcommand(0, 1);

  auto with_hash = std::make_shared<bool>(false);
  CLI::App* verb = program.AddClientVerb(*endpoint, "status", "show the status of each member");
  verb->add_flag(
      "--hash", *with_hash,
      "also print a hash of the content, which is equal on members with the same applied index");
  verb->callback([&program, with_hash] {
    program.run = [&client = program.client, with_hash] { return RunStatus(client, *with_hash); };
  });

  verb = program.AddClientVerb(
      *endpoint, "health",
      "check that every member serves a linearizable read; exit with status 5 otherwise");
  verb->callback(
      [&program] { program.run = [&client = program.client] { return RunHealth(client); }; });
}

}  // namespace raftkv::cmd
