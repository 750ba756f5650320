#include "tests/interaction/commands.h"

#include <algorithm>
#include <cstdlib>
#include <sstream>

#include <gtest/gtest.h>

#include "tests/support/raft/raft_format.h"

namespace raftkv::test {

namespace {

std::uint64_t Number(const std::string& word) {
  char* end = nullptr;
  const std::uint64_t value = std::strtoull(word.c_str(), &end, 10);
  EXPECT_TRUE(end != word.c_str() && *end == '\0') << "not a number: " << word;
  return value;
}

NodeId Node(const std::string& word) { return NodeId(Number(word)); }

Duration ParseDuration(const std::string& word) {
  EXPECT_TRUE(word.size() > 2 && word.substr(word.size() - 2) == "ms") << "not in ms: " << word;
  return std::chrono::milliseconds(Number(word.substr(0, word.size() - 2)));
}

bool StartsWith(const std::string& text, const std::string& prefix) {
  return text.compare(0, prefix.size(), prefix) == 0;
}

SimNetwork::Link ParseLink(const std::string& word) {
  const std::size_t arrow = word.find("->");
  if (arrow == std::string::npos) {
    ADD_FAILURE() << "not a link like 1->2: " << word;
    return {};
  }
  return {Node(word.substr(0, arrow)), Node(word.substr(arrow + 2))};
}

/// `2/4`: two to commit, four to elect.
raft::QuorumRule ParseFlexible(const std::string& word) {
  const std::size_t slash = word.find('/');
  return {raft::QuorumKind::kFlexible, static_cast<std::uint32_t>(Number(word.substr(0, slash))),
          static_cast<std::uint32_t>(Number(word.substr(slash + 1)))};
}

/// `v4@east`: member 4, in the zone east.
raft::Member ParseMember(const std::string& word) {
  const std::size_t at = word.find('@');
  raft::Member member;
  member.id = Node(word.substr(1, at == std::string::npos ? at : at - 1));
  member.name = "n" + Format(member.id);
  member.address = "127.0.0.1:" + std::to_string(7000 + member.id.value);
  if (at != std::string::npos) member.zone = word.substr(at + 1);
  member.learner = word[0] != 'v';
  member.promote = word[0] == 'a';
  return member;
}

raft::MembershipChange ParseChange(const std::vector<std::string>& words, std::size_t first) {
  raft::MembershipChange change;
  for (std::size_t i = first; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "majority") {
      change.quorum = raft::QuorumRule{};
    } else if (word == "zones") {
      change.quorum = raft::QuorumRule{raft::QuorumKind::kZones, 0, 0};
    } else if (StartsWith(word, "flexible=")) {
      change.quorum = ParseFlexible(word.substr(9));
    } else if (word[0] == 'v' || word[0] == 'l' || word[0] == 'a') {
      change.add.push_back(ParseMember(word));
    } else if (word[0] == 'p') {
      change.promote.push_back(Node(word.substr(1)));
    } else if (word[0] == 'd') {
      change.demote.push_back(Node(word.substr(1)));
    } else if (word[0] == 'r') {
      change.remove.push_back(Node(word.substr(1)));
    } else {
      ADD_FAILURE() << "no such change: " << word;
    }
  }
  return change;
}

}  // namespace

std::vector<std::string> Commands::Run(const std::string& line) {
  output_.clear();
  std::istringstream in(line);
  Words words;
  for (std::string word; in >> word;) {
    words.push_back(word == "leader" && cluster_ ? Format(cluster_->Leader()) : word);
  }
  converged_last_ = words[0] == "converge";
  if (!cluster_ && words[0] != "add-nodes") {
    ADD_FAILURE() << "a transcript begins with add-nodes, not with: " << line;
    return {};
  }
  if (!RunSetup(words) && !RunInput(words) && !RunOutput(words) && !RunNetwork(words) &&
      !RunFault(words) && !RunMembers(words) && !RunSnapshots(words) && !RunShow(words)) {
    ADD_FAILURE() << "no such command: " << line;
  }
  return output_;
}

// --- Setup.

void Commands::AddNodes(const Words& words) {
  ClusterOptions options;
  options.nodes = Number(words.at(1));
  for (std::size_t i = 2; i < words.size(); ++i) {
    const std::size_t equals = words[i].find('=');
    const std::string key = words[i].substr(0, equals);
    const std::string text = words[i].substr(equals + 1);
    if (key == "zones") {
      options.quorum.kind = raft::QuorumKind::kZones;
      std::istringstream in(text);
      for (std::string zone; std::getline(in, zone, ',');) options.zones.push_back(zone);
      continue;
    }
    if (key == "without-lease" || key == "hasty") {
      auto& members = key == "hasty" ? options.hasty : options.without_lease;
      std::istringstream in(text);
      for (std::string id; std::getline(in, id, ',');) members.insert(Node(id));
      continue;
    }
    if (key == "flexible") {
      options.quorum = ParseFlexible(text);
      continue;
    }
    const std::uint64_t value = Number(text);
    if (key == "append-bytes") {
      options.raft.max_append_bytes = value;
    } else if (key == "inflight") {
      options.raft.max_inflight_messages = value;
    } else if (key == "inflight-bytes") {
      options.raft.max_inflight_bytes = value;
    } else if (key == "buffer-bytes") {
      options.raft.max_buffer_bytes = value;
    } else if (key == "uncommitted-bytes") {
      options.raft.max_uncommitted_bytes = value;
    } else if (key == "pending-reads") {
      options.raft.max_pending_reads = value;
    } else if (key == "lease") {
      options.raft.lease_reads = true;
      options.raft.clock_error_percent = static_cast<unsigned>(value);
    } else if (key == "caught-up") {
      options.raft.caught_up_entries = value;
    } else if (key == "seed") {
      options.seed = value;
    } else {
      ADD_FAILURE() << "no such option: " << key;
    }
  }
  cluster_ = std::make_unique<RaftCluster>(options);
  cluster_->OnEvent([this](const std::string& line) { Say(line); });
}

void Commands::SetLog(const Words& words) {
  const NodeId id = Node(words.at(1));
  std::vector<std::uint64_t> terms;
  std::uint64_t commit = 1;
  for (std::size_t i = 3; i < words.size(); ++i) {
    if (StartsWith(words[i], "commit=")) {
      commit = Number(words[i].substr(7));
      continue;
    }
    const std::size_t star = words[i].find('*');
    const std::uint64_t count = star == std::string::npos ? 1 : Number(words[i].substr(star + 1));
    terms.insert(terms.end(), count, Number(words[i].substr(0, star)));
  }
  cluster_->SetDisk(id, DiskWithLog(cluster_->configuration(), terms, Number(words.at(2)), commit));
}

bool Commands::RunSetup(const Words& words) {
  if (words[0] == "add-nodes") {
    AddNodes(words);
  } else if (words[0] == "set-log") {
    SetLog(words);
  } else if (words[0] == "add-node") {
    cluster_->AddNode(Node(words.at(1)));
  } else if (words[0] == "hold-snapshots") {
    cluster_->HoldSnapshots(true);
  } else {
    return false;
  }
  return true;
}

// --- Inputs.

void Commands::Propose(const Words& words) {
  const NodeId id = Node(words.at(1));
  const bool many = words.size() == 5;
  const std::uint64_t count = many ? Number(words[3]) : 1;
  for (std::uint64_t i = 0; i < count; ++i) {
    std::string text = words.at(2);
    if (many) text.resize(Number(words[4]), '.');
    const auto result = cluster_->Propose(id, text);
    if (!result.ok()) Say("refused: " + std::string(CodeName(result.code())));
  }
}

bool Commands::RunInput(const Words& words) {
  const std::string& verb = words[0];
  if (verb == "campaign") {
    cluster_->Campaign(Node(words.at(1)));
  } else if (verb == "tick" && words.size() == 2) {
    cluster_->TickAll(ParseDuration(words[1]));
  } else if (verb == "tick") {
    cluster_->Tick(Node(words.at(1)), ParseDuration(words.at(2)));
  } else if (verb == "propose") {
    Propose(words);
  } else if (verb == "read") {
    const bool lease = words.size() > 3 && words[3] == "lease";
    const Status status = cluster_->Read(Node(words.at(1)), Number(words.at(2)), lease);
    if (!status.ok()) Say("refused: " + std::string(CodeName(status.code())));
  } else if (verb == "disconnect") {
    cluster_->PeerDisconnected(Node(words.at(1)), Node(words.at(2)));
  } else if (verb == "unreachable") {
    cluster_->PeerUnreachable(Node(words.at(1)), Node(words.at(2)));
  } else {
    return false;
  }
  return true;
}

// --- Outputs.

void Commands::SayIfRefused(const Status& status) {
  if (!status.ok()) Say("refused: " + status.ToString());
}

bool Commands::RunMembers(const Words& words) {
  const std::string& verb = words[0];
  if (verb == "change") {
    SayIfRefused(cluster_->Change(Node(words.at(1)), ParseChange(words, 2)));
  } else if (verb == "transfer") {
    SayIfRefused(cluster_->Transfer(Node(words.at(1)), Node(words.at(2))));
  } else if (verb == "members") {
    for (NodeId id : cluster_->ids()) {
      if (words.size() > 1 && Node(words[1]) != id) continue;
      if (!cluster_->node(id).up()) continue;
      const raft::Raft& core = cluster_->node(id).core();
      const bool committed = core.configuration_index() <= core.commit_index();
      Say(Format(id) + ": " + Format(core.configuration()) + " of " +
          std::to_string(core.configuration_index().value) + (committed ? "" : ", not committed"));
    }
  } else if (verb == "lease") {
    const raft::Raft& core = cluster_->node(Node(words.at(1))).core();
    Say(words[1] + (core.HoldsLease() ? " holds a lease" : " holds no lease"));
  } else {
    return false;
  }
  return true;
}

bool Commands::RunSnapshots(const Words& words) {
  const std::string& verb = words[0];
  if (verb == "compact") {
    cluster_->Compact(Node(words.at(1)), Index(Number(words.at(2))));
  } else if (verb == "send-snapshot") {
    if (!cluster_->SendSnapshot(Node(words.at(1)))) Say("nobody needs one");
  } else if (verb == "deliver-snapshot") {
    const bool again = words.size() > 1 && words[1] == "again";
    if (!cluster_->DeliverSnapshot(0, again)) Say("none is under way");
  } else if (verb == "lose-tail") {
    cluster_->LoseTail(Node(words.at(1)), Number(words.at(2)));
  } else {
    return false;
  }
  return true;
}

bool Commands::RunOutput(const Words& words) {
  const std::string& verb = words[0];
  if (verb == "process-ready") {
    for (std::size_t i = 1; i < words.size(); ++i) {
      if (!cluster_->ProcessReady(Node(words[i]))) Say(words[i] + ": nothing to do");
    }
  } else if (verb == "persist") {
    for (std::size_t i = 1; i < words.size(); ++i) {
      if (!cluster_->Persist(Node(words[i]))) Say(words[i] + ": no write is under way");
    }
  } else if (verb == "stabilize") {
    quiet_ = words.size() > 1 && words[1] == "quiet";
    cluster_->Stabilize();
    quiet_ = false;
  } else if (verb == "converge") {
    Converge();
  } else {
    return false;
  }
  return true;
}

void Commands::Converge() {
  quiet_ = true;
  const bool converged = cluster_->Converge(std::chrono::seconds(20));
  quiet_ = false;
  EXPECT_TRUE(converged) << "the healed cluster reaches no common commit";
  if (!converged) return;
  const raft::Raft& leader = cluster_->node(cluster_->Leader()).core();
  Say("all agree: log " + FormatRuns(leader.log()) + ", committed and applied");
}

// --- Network.

std::vector<SimNetwork::Link> Commands::LinksOf(const std::string& word) {
  if (word.find("->") != std::string::npos) return {ParseLink(word)};
  std::vector<SimNetwork::Link> links;
  for (NodeId from : cluster_->ids()) links.emplace_back(from, Node(word));
  return links;
}

void Commands::Deliver(const Words& words) {
  SimNetwork& network = cluster_->network();
  if (words.at(1) == "last") {
    const SimNetwork::Link link = ParseLink(words.at(2));
    const auto message = network.Take(link, network.CountOn(link) - 1);
    if (message) cluster_->Deliver(*message);
    return;
  }
  for (const SimNetwork::Link& link : LinksOf(words[1])) {
    std::size_t count = network.CountOn(link);
    if (words.size() > 2) count = std::min<std::size_t>(count, Number(words[2]));
    for (; count > 0; --count) {
      if (const auto message = network.Take(link)) cluster_->Deliver(*message);
    }
  }
}

void Commands::Partition(const Words& words) {
  std::vector<std::vector<NodeId>> groups(1);
  for (std::size_t i = 1; i < words.size(); ++i) {
    if (words[i] == "|") {
      groups.emplace_back();
    } else {
      groups.back().push_back(Node(words[i]));
    }
  }
  cluster_->Partition(groups);
}

bool Commands::RunNetwork(const Words& words) {
  const std::string& verb = words[0];
  SimNetwork& network = cluster_->network();
  if (verb == "deliver") {
    Deliver(words);
  } else if (verb == "drop") {
    std::size_t dropped = 0;
    for (const SimNetwork::Link& link : LinksOf(words.at(1))) dropped += network.Drop(link);
    Say("dropped " + std::to_string(dropped));
  } else if (verb == "duplicate") {
    Say("doubled " + std::to_string(network.Duplicate(ParseLink(words.at(1)))));
  } else if (verb == "hold") {
    const std::size_t count = words.size() > 2 ? Number(words[2]) : SIZE_MAX;
    Say("held " + std::to_string(network.Hold(ParseLink(words.at(1)), count)));
  } else if (verb == "release") {
    Say("released " + std::to_string(network.Release()));
  } else if (verb == "partition") {
    Partition(words);
  } else if (verb == "cut") {
    network.Cut(ParseLink(words.at(1)));
  } else if (verb == "mend") {
    network.Mend(ParseLink(words.at(1)));
  } else if (verb == "heal") {
    cluster_->Heal();
  } else {
    return false;
  }
  return true;
}

// --- Faults.

bool Commands::RunFault(const Words& words) {
  const std::string& verb = words[0];
  if (verb == "disk-stall" || verb == "disk-resume") {
    cluster_->StallDisk(Node(words.at(1)), verb == "disk-stall");
  } else if (verb == "crash") {
    cluster_->Crash(Node(words.at(1)), words.size() > 2 && words[2] == "keep-write");
  } else if (verb == "restart") {
    cluster_->Restart(Node(words.at(1)));
  } else if (verb == "flush") {
    cluster_->FlushApplied(Node(words.at(1)));
  } else {
    return false;
  }
  return true;
}

// --- Show.

void Commands::ShowProgress(NodeId id) {
  for (const auto& [peer, progress] : cluster_->node(id).core().progress()) {
    const bool probe = progress.state == raft::ProgressState::kProbe;
    const bool replicate = progress.state == raft::ProgressState::kReplicate;
    Say(Format(peer) +
        (probe       ? " probe"
         : replicate ? " replicate"
                     : " snapshot") +
        " match:" + std::to_string(progress.match.value) +
        " next:" + std::to_string(progress.next.value) + " inflight:" +
        std::to_string(progress.inflights.messages()) + (progress.suspect != 0 ? " suspect" : ""));
  }
}

bool Commands::RunShow(const Words& words) {
  const std::string& verb = words[0];
  if (verb == "status") {
    for (NodeId id : cluster_->ids()) {
      SimNode& node = cluster_->node(id);
      Say(node.up() ? FormatState(node.core()) : Format(id) + " is down");
    }
  } else if (verb == "raft-log") {
    for (NodeId id : cluster_->ids()) {
      if (words.size() > 1 && Node(words[1]) != id) continue;
      if (!cluster_->node(id).up()) continue;
      Say(Format(id) + ": " + FormatRuns(cluster_->node(id).core().log()));
    }
  } else if (verb == "progress") {
    ShowProgress(Node(words.at(1)));
  } else if (verb == "in-flight") {
    for (const SimNetwork::Link& link : cluster_->network().BusyLinks()) {
      Say(Format(link.first) + "->" + Format(link.second) + ": " +
          std::to_string(cluster_->network().CountOn(link)));
    }
  } else {
    return false;
  }
  return true;
}

}  // namespace raftkv::test
