// The verbs that see and change who takes part: member list, add, promote, remove, update;
// move-leader.
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "cmd/flags.h"
#include "cmd/output.h"
#include "lib/base/address.h"

namespace raftkv::cmd {
namespace {

// As etcdctl: an invited member has not started.
std::string StatusOf(const ClusterMember& member) {
  return member.role == MemberRole::kInvited ? "unstarted" : "started";
}

Json MemberJson(const ClusterMember& member) {
  return {{"id", member.id},
          {"name", member.name},
          {"address", member.address},
          {"zone", member.zone},
          {"role", MemberRoleName(member.role)},
          {"leader", member.leads},
          {"status", StatusOf(member)}};
}

std::vector<std::string> MemberCells(const ClusterMember& member) {
  return {fmt::format("{:016x}", member.id),
          StatusOf(member),
          member.name,
          member.address,
          std::string(MemberRoleName(member.role)),
          member.leads ? "true" : "false",
          member.zone};
}

// What the leader refuses is no missing key, and it did answer in time.
Exit FailChange(const Status& status) {
  if (status.code() == Code::kNotFound || status.code() == Code::kUnavailable) {
    return Fail(Exit::kServerRefused, status.message());
  }
  return Fail(status);
}

Exit RunList(const ClientFlags& flags) {
  auto client = Connect(flags);
  if (!client.ok()) return Fail(Exit::kBadArguments, client.status().message());
  const auto members = (*client)->cluster().Members(flags.timeout.value);
  if (!members.ok()) return Fail(members.status());
  Json json = Json::array();
  std::vector<std::vector<std::string>> rows;
  for (const ClusterMember& member : *members) {
    json.push_back(MemberJson(member));
    rows.push_back(MemberCells(member));
  }
  switch (flags.format()) {
    case Format::kSimple:
      for (const auto& cells : rows) PrintLine(fmt::format("{}", fmt::join(cells, ", ")));
      break;
    case Format::kJson:
      PrintLine(
          Dump({{"header", HeaderJson((*client)->LastHeader(), std::nullopt)}, {"members", json}}));
      break;
    case Format::kTable:
      PrintTable({"ID", "STATUS", "NAME", "ADDRESS", "ROLE", "LEADER", "ZONE"}, rows);
      break;
  }
  return FinishOutput();
}

// `change` begins with the cluster and the timeout; `said` is printed where it succeeded.
template <class Change>
Exit RunChange(const ClientFlags& flags, const Answer& answer, const Change& change) {
  auto client = Connect(flags);
  if (!client.ok()) return Fail(Exit::kBadArguments, client.status().message());
  const Status status = change((*client)->cluster(), flags.timeout.value);
  if (!status.ok()) return FailChange(status);
  PrintAnswer(answer, (*client)->LastHeader(), std::nullopt, flags);
  return FinishOutput();
}

struct MemberFlags {
  std::string name;
  std::string address;
  bool voter = false;
  bool reset_boot = false;
  bool yes = false;
};

Exit RunAdd(const ClientFlags& flags, const MemberFlags& member) {
  // Before anybody is asked: neither can ever work.
  const Status named = CheckMemberName("NAME", member.name);
  if (!named.ok()) return Fail(Exit::kBadArguments, named.message());
  const Result<HostPort> address = ParseRemoteAddress("ADDRESS", member.address);
  if (!address.ok()) return Fail(Exit::kBadArguments, address.status().message());
  const std::string simple = fmt::format("Member {} added; start it: raftkv serve --join --name {}",
                                         member.name, member.name);
  return RunChange(flags,
                   {"RESULT",
                    simple,
                    {{"name", member.name}, {"address", member.address}, {"voter", member.voter}}},
                   [&](Cluster& cluster, Cluster::Timeout timeout) {
                     return cluster.AddMember(member.name, member.address, member.voter, timeout);
                   });
}

Exit RunPromote(const ClientFlags& flags, const MemberFlags& member) {
  return RunChange(
      flags, {"RESULT", fmt::format("Member {} promoted", member.name), {{"name", member.name}}},
      [&](Cluster& cluster, Cluster::Timeout timeout) {
        return cluster.PromoteMember(member.name, timeout);
      });
}

Exit RunRemove(const ClientFlags& flags, const MemberFlags& member) {
  return RunChange(
      flags, {"RESULT", fmt::format("Member {} removed", member.name), {{"name", member.name}}},
      [&](Cluster& cluster, Cluster::Timeout timeout) {
        return cluster.RemoveMember(member.name, timeout);
      });
}

Exit RunUpdate(const ClientFlags& flags, const MemberFlags& member) {
  if (member.address.empty() && !member.reset_boot) {
    return Fail(Exit::kBadArguments, "give an ADDRESS, or --reset-boot, or both");
  }
  if (!member.address.empty()) {
    const Result<HostPort> address = ParseRemoteAddress("ADDRESS", member.address);
    if (!address.ok()) return Fail(Exit::kBadArguments, address.status().message());
  }
  if (member.reset_boot && !member.yes) {
    return Fail(
        Exit::kBadArguments,
        fmt::format(
            "--reset-boot makes the cluster trust the data folder that {} is started with next, "
            "even one that was rolled back or copied, which may lose acknowledged writes; if the "
            "folder is known to be the latest, repeat the command with --yes",
            member.name));
  }
  if (member.yes && !member.reset_boot) {
    return Fail(Exit::kBadArguments, "--yes confirms --reset-boot only");
  }
  const MemberUpdate update{.address = member.address, .reset_boot = member.reset_boot};
  return RunChange(
      flags,
      {"RESULT",
       fmt::format("Member {} updated", member.name),
       {{"name", member.name}, {"address", member.address}, {"reset_boot", member.reset_boot}}},
      [&](Cluster& cluster, Cluster::Timeout timeout) {
        return cluster.UpdateMember(member.name, update, timeout);
      });
}

Exit RunMoveLeader(const ClientFlags& flags, const MemberFlags& member) {
  return RunChange(flags, {"RESULT", "OK", {{"name", member.name}}},
                   [&](Cluster& cluster, Cluster::Timeout timeout) {
                     return cluster.MoveLeader(member.name, timeout);
                   });
}

using RunWithName = Exit (*)(const ClientFlags&, const MemberFlags&);

CLI::App* AddVerb(Program& program, CLI::App& parent, const std::string& verb_name,
                  const std::string& help, const std::shared_ptr<MemberFlags>& flags,
                  RunWithName run) {
  CLI::App* verb = program.AddClientVerb(parent, verb_name, help);
  verb->add_option("NAME", flags->name, "name of the member")->required();
  verb->callback([&program, flags, run] {
    program.run = [&client = program.client, flags, run] { return run(client, *flags); };
  });
  return verb;
}

}  // namespace

void AddMemberVerbs(Program& program) {
  CLI::App* member =
      program.AddClientVerb(program.app, "member", "list and change the members of the cluster");
  member->require_subcommand(0, 1);
  CLI::App* list = program.AddClientVerb(
      *member, "list", "list members and invited members that have not joined yet");
  list->callback(
      [&program] { program.run = [&client = program.client] { return RunList(client); }; });

  auto flags = std::make_shared<MemberFlags>();
  CLI::App* add =
      AddVerb(program, *member, "add",
              "invite a member, which becomes a learner when it joins (raftkv serve --join)", flags,
              RunAdd);
  add->add_option("ADDRESS", flags->address, "address that the other members connect to, HOST:PORT")
      ->required();
  add->add_flag("--voter", flags->voter, "promote it to voter as soon as it has caught up");
  AddVerb(program, *member, "promote", "promote a learner that has caught up to voter", flags,
          RunPromote);
  AddVerb(program, *member, "remove",
          "remove a member for good: its data folder is never admitted again", flags, RunRemove);
  CLI::App* update =
      AddVerb(program, *member, "update",
              "change the address of a member, or trust its data folder", flags, RunUpdate);
  update->add_option("ADDRESS", flags->address,
                     "new address that the other members connect to, HOST:PORT (not needed after a "
                     "move: the others find the member)");
  update->add_flag("--reset-boot", flags->reset_boot,
                   "accept the next start of the member although its data folder appears to be "
                   "rolled back or copied; needs --yes");
  update->add_flag("--yes", flags->yes,
                   "confirm --reset-boot: the data folder is known to be the latest");
  AddVerb(program, program.app, "move-leader", "transfer the leadership to a member", flags,
          RunMoveLeader);
}

}  // namespace raftkv::cmd
