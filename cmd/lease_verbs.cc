// The verbs for leases: lease grant, revoke, timetolive, keep-alive, list.
#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <iostream>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "cmd/flags.h"
#include "cmd/lease_id.h"
#include "cmd/output.h"
#include "lib/base/hex.h"

namespace raftkv::cmd {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

bool IsWholeSeconds(milliseconds time) { return time.count() % 1000 == 0; }

/// "60s"; "1500ms" where seconds do not say it.
std::string ShowTtl(milliseconds ttl) {
  return IsWholeSeconds(ttl) ? fmt::format("{}s", ttl.count() / 1000)
                             : fmt::format("{}ms", ttl.count());
}

/// As precise as the time to live is: rounded up, so that only a lease that is over has 0s.
std::string ShowRemaining(const LeaseInfo& lease) {
  if (!IsWholeSeconds(lease.ttl)) return fmt::format("{}ms", lease.remaining.count());
  return fmt::format("{}s", (lease.remaining.count() + 999) / 1000);
}

/// "60" (seconds), "500ms", "60s", "10m" or "2h". Which of them a lease can have, the store says.
std::optional<milliseconds> ParseTtl(std::string_view text) {
  static constexpr std::array<std::pair<std::string_view, std::uint64_t>, 5> kUnits = {
      {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}}};
  constexpr std::uint64_t kMost = std::numeric_limits<std::int64_t>::max();
  std::uint64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(rest - text.data()));
  for (const auto& [unit, factor] : kUnits) {
    if (text != unit) continue;
    return milliseconds(static_cast<std::int64_t>(std::min(number, kMost / factor) * factor));
  }
  return std::nullopt;
}

Json LeaseJson(const LeaseInfo& lease) {
  return {
      {"id", lease.id}, {"ttl_ms", lease.ttl.count()}, {"remaining_ms", lease.remaining.count()}};
}

/// Takes the ID and a client of the cluster, or says what is wrong.
template <class Run>
Exit WithLease(const ClientFlags& flags, const std::string& text, const Run& run) {
  const auto id = ParseLeaseId(text);
  if (!id) return Fail(Exit::kBadInput, NoLeaseId(text));
  auto client = Connect(flags);
  if (!client.ok()) return Fail(Exit::kBadArguments, client.status().message());
  return run(*id, **client);
}

struct GrantFlags {
  std::string ttl;
  LeaseIdFlag id;
};

Exit RunGrant(const ClientFlags& flags, const GrantFlags& grant) {
  const auto ttl = ParseTtl(grant.ttl);
  if (!ttl) {
    return Fail(Exit::kBadInput, fmt::format("TTL: '{}' is not a number of seconds such as 60, or "
                                             "a duration such as 500ms, 60s or 10m",
                                             grant.ttl));
  }
  auto client = Connect(flags);
  if (!client.ok()) return Fail(Exit::kBadArguments, client.status().message());
  const auto lease = (*client)->kv().GrantLease(*ttl, grant.id.value, {flags.timeout.value});
  if (!lease.ok()) return Fail(lease.status());
  PrintAnswer(
      {"RESULT", fmt::format("lease {} granted with TTL({})", Hex(lease->id), ShowTtl(lease->ttl)),
       LeaseJson(*lease)},
      (*client)->LastHeader(), std::nullopt, flags);
  return FinishOutput();
}

Exit RunRevoke(const ClientFlags& flags, std::uint64_t id, Client& client) {
  const auto result = client.kv().RevokeLease(id, {flags.timeout.value});
  if (!result.ok()) return Fail(result.status());
  PrintAnswer({"RESULT",
               fmt::format("lease {} revoked", Hex(id)),
               {{"id", id}, {"deleted", result->deleted}}},
              client.LastHeader(), result->revision, flags);
  return FinishOutput();
}

Exit RunTimeToLive(const ClientFlags& flags, std::uint64_t id, bool with_keys, Client& client) {
  LeaseReadOptions options;
  options.timeout = flags.timeout.value;
  options.with_keys = with_keys;
  const auto read = client.kv().GetLease(id, options);
  const bool missing = read.code() == Code::kNotFound;
  if (!read.ok() && !missing) return Fail(read.status());
  LeaseInfo lease;
  lease.id = id;
  if (!missing) lease = *read;
  Answer answer{"RESULT", fmt::format("lease {} already expired", Hex(id)), LeaseJson(lease)};
  if (!missing) {
    answer.simple = fmt::format("lease {} granted with TTL({}), remaining({})", Hex(id),
                                ShowTtl(lease.ttl), ShowRemaining(lease));
  }
  if (with_keys && !missing) {
    const bool is_table = flags.format() == Format::kTable;
    std::vector<std::string> shown;
    Json& keys = answer.fields["keys"] = Json::array();
    for (const std::string& key : lease.keys) {
      shown.push_back(is_table ? ShowCell(key, flags) : ShowBytes(key, flags));
      keys.push_back(JsonBytes(key, flags));
    }
    answer.simple += fmt::format(", attached keys([{}])", fmt::join(shown, " "));
  }
  PrintAnswer(answer, client.LastHeader(), std::nullopt, flags);
  const Exit printed = FinishOutput();
  return missing ? Exit::kKeyMissing : printed;
}

/// The lease as it is after a renewal; until `deadline` one that got no answer is repeated: that
/// does no harm, and nothing but an answer says that the lease is gone.
Result<LeaseInfo> Renew(const ClientFlags& flags, std::uint64_t id,
                        steady_clock::time_point deadline, Client& client) {
  while (true) {
    const auto renewed = client.kv().KeepAlive({id}, {flags.timeout.value});
    if (renewed.ok()) return renewed->front();
    const Exit exit = ExitOf(renewed.code());
    const bool again = exit == Exit::kNoAnswer || exit == Exit::kUnknownOutcome;
    if (!again || steady_clock::now() >= deadline) return renewed.status();
    std::this_thread::sleep_for(milliseconds(10));
  }
}

Exit RunKeepAlive(const ClientFlags& flags, std::uint64_t id, bool once, Client& client) {
  auto deadline = steady_clock::now();
  while (true) {
    const auto begun = steady_clock::now();
    const auto lease = Renew(flags, id, deadline, client);
    if (!lease.ok()) return Fail(lease.status());
    const bool gone = lease->ttl.count() == 0;
    const std::string text =
        gone ? fmt::format("lease {} expired or revoked.", Hex(id))
             : fmt::format("lease {} keepalived with TTL({})", Hex(id), ShowTtl(lease->ttl));
    PrintAnswer({"RESULT", text, LeaseJson(*lease)}, client.LastHeader(), std::nullopt, flags);
    const Exit printed = FinishOutput();
    if (gone) return Exit::kKeyMissing;
    if (once || printed != Exit::kOk) return printed;
    deadline = begun + lease->ttl;
    std::this_thread::sleep_until(begun + lease->ttl / 3);
  }
}

Exit RunLeaseList(const ClientFlags& flags) {
  auto client = Connect(flags);
  if (!client.ok()) return Fail(Exit::kBadArguments, client.status().message());
  ReadOptions options;
  options.timeout = flags.timeout.value;
  const auto leases = (*client)->kv().ListLeases(options);
  if (!leases.ok()) return Fail(leases.status());
  switch (flags.format()) {
    case Format::kSimple:
      PrintLine(fmt::format("found {} leases", leases->size()));
      for (const LeaseInfo& lease : *leases) PrintLine(Hex(lease.id));
      break;
    case Format::kJson: {
      Json shown = Json::array();
      for (const LeaseInfo& lease : *leases) shown.push_back(LeaseJson(lease));
      PrintLine(Dump({{"header", HeaderJson((*client)->LastHeader(), std::nullopt)},
                      {"leases", std::move(shown)}}));
      break;
    }
    case Format::kTable: {
      std::vector<std::vector<std::string>> rows;
      for (const LeaseInfo& lease : *leases) {
        rows.push_back({Hex(lease.id), ShowTtl(lease.ttl), ShowRemaining(lease)});
      }
      PrintTable({"ID", "TTL", "REMAINING"}, rows);
      break;
    }
  }
  return FinishOutput();
}

struct LeaseFlags {
  std::string id;
  bool keys = false;
  bool once = false;
};

/// A verb that takes the ID of a lease.
CLI::App* AddVerbOfLease(Program& program, CLI::App& parent, const std::string& name,
                         const std::string& help, std::string& id) {
  CLI::App* verb = program.AddClientVerb(parent, name, help);
  verb->add_option("ID", id, "ID of the lease, as lease grant and lease list print it")->required();
  return verb;
}

void AddGrant(Program& program, CLI::App& parent) {
  auto grant = std::make_shared<GrantFlags>();
  CLI::App* verb = program.AddClientVerb(parent, "grant", "create a lease");
  verb->add_option("TTL", grant->ttl,
                   "time to live, in seconds (60) or with a unit (500ms, 60s, 10m); at least 100ms")
      ->required();
  verb->add_option("--id", grant->id, "ID of the lease, hexadecimal (default: chosen by the store)")
      ->check(IsLeaseId())
      ->type_name("ID");
  verb->callback([&program, grant] {
    program.run = [&client = program.client, grant] { return RunGrant(client, *grant); };
  });
}

}  // namespace

void AddLeaseVerbs(Program& program) {
  const ClientFlags& client = program.client;
  CLI::App* leases = program.AddClientVerb(
      program.app, "lease", "leases: keys attached to one are deleted when it is not kept alive");
  leases->require_subcommand(1);
  AddGrant(program, *leases);

  auto flags = std::make_shared<LeaseFlags>();
  CLI::App* verb =
      AddVerbOfLease(program, *leases, "revoke", "end a lease and delete its keys", flags->id);
  verb->callback([&program, &client, flags] {
    program.run = [&client, flags] {
      return WithLease(client, flags->id, [&](std::uint64_t id, Client& cluster) {
        return RunRevoke(client, id, cluster);
      });
    };
  });

  verb = AddVerbOfLease(program, *leases, "timetolive", "print how much time a lease has left",
                        flags->id);
  verb->add_flag("--keys", flags->keys, "print the keys attached to it as well");
  verb->callback([&program, &client, flags] {
    program.run = [&client, flags] {
      return WithLease(client, flags->id, [&](std::uint64_t id, Client& cluster) {
        return RunTimeToLive(client, id, flags->keys, cluster);
      });
    };
  });

  verb = AddVerbOfLease(program, *leases, "keep-alive",
                        "renew a lease until it is gone, each time a third of its TTL has passed",
                        flags->id);
  verb->add_flag("--once", flags->once, "renew it once");
  verb->callback([&program, &client, flags] {
    program.run = [&client, flags] {
      return WithLease(client, flags->id, [&](std::uint64_t id, Client& cluster) {
        return RunKeepAlive(client, id, flags->once, cluster);
      });
    };
  });

  verb = program.AddClientVerb(*leases, "list", "print the IDs of all leases");
  verb->callback([&program, &client] { program.run = [&client] { return RunLeaseList(client); }; });
}

}  // namespace raftkv::cmd
