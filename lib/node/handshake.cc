// Which peers may talk to this member, and what does a refusal say? (the part of Member that judges
// hellos)
#include <algorithm>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/hex.h"
#include "lib/node/formation.h"
#include "lib/node/member.h"
#include "lib/node/node.h"
#include "lib/raft/configuration.h"

namespace raftkv::node {

namespace {

constexpr Duration kRefusalLineEvery = std::chrono::seconds(30);
constexpr std::size_t kLoggedRefusalsMax = 64;

std::string Versions(std::uint32_t low, std::uint32_t high) {
  return std::to_string(low) + " to " + std::to_string(high);
}

}  // namespace

Hello Member::MakeHello(NodeId expected_member, const std::string& expected_name) const {
  Hello hello;
  hello.cluster = birth_.cluster;
  hello.member = birth_.member;
  hello.name = options_.name;
  hello.boot = birth_.boot;
  hello.expected_member = expected_member;
  hello.expected_name = expected_name;
  hello.zone = options_.zone;
  hello.address = options_.advertise;
  hello.client_url = options_.etcd_url;
  if (formation_) hello.formation = formation_->spec();
  hello.joins = formation_ && options_.join;
  return hello;
}

/// Sets the refusal, if `hello` is refused.
void Member::JudgeHello(const Hello& hello, HelloAnswer& answer) const {
  answer.refusal = JudgeIntroduction(hello);
  answer.permanent = !answer.refusal.empty();
  // A member of this cluster may look for one that has moved at an address where another is by now.
  const bool same_cluster = hello.cluster != ClusterId{} && hello.cluster == birth_.cluster;
  if (same_cluster && hello.expected_name != options_.name) answer.permanent = false;
  if (!answer.refusal.empty()) return;
  if (hello.expected_member != kNobody && hello.expected_member != birth_.member) {
    // In the same cluster the caller may be behind: the name now belongs to a new member.
    answer.permanent = hello.cluster != birth_.cluster;
    answer.refusal =
        "'" + options_.name + "' has member id " + Hex(birth_.member) + ", '" + hello.name +
        "' knows it as " + Hex(hello.expected_member) +
        (answer.permanent
             ? ": its data folder was replaced; restore the old one, or replace the member"
             : ", which was replaced");
    return;
  }
  if (formation_) {
    JudgeForming(hello, answer);
  } else {
    JudgeMembership(hello, answer);
  }
}

/// Empty, or what is wrong regardless of the state of the cluster.
std::string Member::JudgeIntroduction(const Hello& hello) const {
  if (hello.protocol_min > kProtocolMax || hello.protocol_max < kProtocolMin) {
    return "'" + hello.name + "' speaks protocol versions " +
           Versions(hello.protocol_min, hello.protocol_max) + ", '" + options_.name + "' speaks " +
           Versions(kProtocolMin, kProtocolMax) + ": upgrade the older one";
  }
  if (hello.member == kNobody || hello.boot.counter == 0) return "a hello without an identity";
  if (hello.member == birth_.member && hello.boot == birth_.boot) {
    return "the address at which '" + options_.name + "' looks for '" + hello.expected_name +
           "' leads back to itself: correct the addresses in the cluster list";
  }
  if (hello.member == birth_.member) {
    return "member id " + Hex(hello.member) + " is that of '" + options_.name +
           "' itself: a data folder was copied; start '" + hello.name + "' with an empty one";
  }
  if (hello.name == options_.name) {
    return "two members are named '" + hello.name + "': give each its own name";
  }
  if (hello.expected_name != options_.name) {
    return "this is '" + options_.name + "', not '" + hello.expected_name +
           "': correct the addresses in the cluster list";
  }
  if (hello.cluster != ClusterId{} && birth_.cluster != ClusterId{} &&
      hello.cluster != birth_.cluster) {
    return "'" + hello.name + "' belongs to cluster " + Hex(hello.cluster) + ", '" + options_.name +
           "' to cluster " + Hex(birth_.cluster) +
           ": correct the addresses, or start it with the data folder of this cluster";
  }
  return {};
}

void Member::JudgeForming(const Hello& hello, HelloAnswer& answer) const {
  // A member that has formed already is accepted: the answer to our next hello brings the first
  // entry.
  if (hello.cluster != ClusterId{} || hello.formation == formation_->spec()) return;
  answer.refusal = "'" + hello.name + "' was started with the cluster list " + hello.formation +
                   ", '" + options_.name + "' with " + formation_->spec() +
                   ": start all members with the same list";
}

void Member::JudgeMembership(const Hello& hello, HelloAnswer& answer) const {
  const raft::Raft& core = node_->core();
  const std::vector<NodeId>& removed = core.applied_configuration().removed;
  if (std::binary_search(removed.begin(), removed.end(), hello.member)) {
    answer.removed = answer.permanent = true;
    answer.refusal = "'" + hello.name + "' with member id " + Hex(hello.member) +
                     " was removed from the cluster; to use it again, add it with 'raftkv member "
                     "add " +
                     hello.name + " ADDRESS' and start it with an empty data folder";
    return;
  }
  // A member of the cluster that is not known here was added while this member was behind, and may
  // lead: without it this member would never catch up (thesis §4.1).
  if (core.configuration().Find(hello.member) == nullptr && hello.cluster == ClusterId{}) {
    JudgeNewcomer(hello, answer);
    return;
  }
  answer.refusal = JudgeBoot(hello);
  answer.permanent = !answer.refusal.empty();
}

/// For a member that does not belong to a cluster yet.
void Member::JudgeNewcomer(const Hello& hello, HelloAnswer& answer) const {
  const raft::Configuration& configuration = node_->core().configuration();
  const bool invited = std::any_of(
      configuration.invited.begin(), configuration.invited.end(),
      [&](const raft::Invitation& invitation) { return invitation.name == hello.name; });
  if (invited) {
    answer.refusal = "'" + hello.name + "' is being added to the cluster; it will retry";
    return;
  }
  const bool name_taken =
      std::any_of(configuration.members.begin(), configuration.members.end(),
                  [&](const raft::Member& member) { return member.name == hello.name; });
  answer.permanent = name_taken || !hello.joins;  // a joining member may come before it was added
  const std::string add = "'raftkv member add " + hello.name + " ADDRESS'";
  answer.refusal = "cluster " + Hex(birth_.cluster) + " has already formed and does not know '" +
                   hello.name + "' with member id " + Hex(hello.member) +
                   (name_taken ? " (a lost or emptied data folder makes a new member): restore its "
                                 "data folder, or replace it with 'raftkv member remove " +
                                     hello.name + "' and then " + add
                               : ": add it with " + add);
}

void Member::OnHello(const Hello& hello, HelloDone done) {
  HelloAnswer answer;
  answer.self = MakeHello(hello.member, hello.name);
  if (failure_.ok()) {
    JudgeHello(hello, answer);
  } else {
    answer.refusal = failure_.message();
  }
  if (!answer.refusal.empty()) {
    // It may be invited; the leader knows.
    if (failure_.ok() && node_ && hello.cluster == ClusterId{} && !answer.removed) {
      node_->Join({hello.name, hello.member, hello.zone});
    }
    LogRefusal(hello.name, answer.refusal);
    done(std::move(answer));
    return;
  }
  if (formation_) {
    if (hello.cluster == ClusterId{} && formation_->Names(hello.name)) {
      formation_->Met(hello.name, hello.member, hello.zone, ports_.clock.Now());
      Wake();
    }
    // A caller that knows this member's id has it in its configuration, and may be the only one
    // left of the cluster that this member was told to join.
    const bool took_us_in =
        hello.cluster != ClusterId{} && hello.expected_member == birth_.member && options_.join;
    if (took_us_in) NoteStranger(hello);
    done(std::move(answer));
    return;
  }
  if (hello.cluster == ClusterId{}) {
    // A member that does not know yet that the cluster has formed. It sends another hello when it
    // does, and only then are its messages accepted.
    answer.formed = birth_.formation;
    done(std::move(answer));
    return;
  }
  NoteStranger(hello);
  NoteAddress(hello);
  NoteClientUrl(hello);
  if (!KnowsBoot(hello.member, hello.boot)) AskBack(hello, answer);
  done(std::move(answer));
}

bool Member::IsMember(NodeId id) const {
  if (!node_) return false;
  const raft::Raft& core = node_->core();
  // A member that is being removed still acknowledges.
  return core.configuration().Find(id) != nullptr ||
         core.applied_configuration().Find(id) != nullptr;
}

/// A member that is not known here yet must be answered all the same (thesis §4.1): otherwise a
/// leader's messages would never be acknowledged, and this member would never learn who leads.
void Member::NoteStranger(const Hello& hello) {
  constexpr std::size_t kMaxStrangers = 16;
  const bool known = node_ && node_->core().configuration().Find(hello.member) != nullptr;
  if (hello.address.empty() || known) return;
  if (strangers_.size() >= kMaxStrangers && strangers_.count(hello.member) == 0) {
    // A member that does not answer at the address it announced makes room.
    const auto goes = std::find_if(strangers_.begin(), strangers_.end(), [&](const auto& item) {
      return !stranger_boots_.contains(item.first);
    });
    if (goes == strangers_.end()) return;
    strangers_.erase(goes);
  }
  const Transport::Peer peer{hello.member, hello.name, hello.address};
  const auto [it, added] = strangers_.try_emplace(hello.member, peer);
  if (!added && it->second.address == peer.address) return;
  it->second = peer;
  SetPeers();
}

void Member::LogRefusal(const std::string& name, const std::string& why) {
  // A refused member tries again and again: log it once, and then now and then.
  const MonoTime now = ports_.clock.Now();
  if (logged_refusals_.size() > kLoggedRefusalsMax) logged_refusals_.clear();
  auto [it, first] = logged_refusals_.try_emplace(name + ": " + why, now);
  if (!first && now - it->second < kRefusalLineEvery) return;
  it->second = now;
  ports_.log_sink(LogSeverity::kWarn, "refused '" + name + "': " + why);
}

Status Member::OnHelloAnswer(const HelloAnswer& answer, const Dialled& dialled) {
  const std::string& name = answer.self.name;
  if (!failure_.ok()) return failure_;
  // Even a member that does not accept our messages yet, or never will, has told its boot: that is
  // how two members restarted at the same time find each other.
  const Status confirmed = Confirm(answer.self, dialled);
  if (!answer.verifying) unheard_by_.erase(dialled.name);
  if (!answer.refusal.empty() && !answer.verifying) {
    if (answer.permanent) RecordRefusal(name, answer);
    return {Code::kPermissionDenied, "'" + name + "' refused: " + answer.refusal};
  }
  refused_by_.erase(name);
  if (node_) {
    if (answer.self.cluster == ClusterId{}) {
      return {Code::kUnavailable, "'" + name + "' has not joined the new cluster yet"};
    }
    if (answer.self.cluster != birth_.cluster) {
      return {Code::kPermissionDenied, "'" + name + "' belongs to another cluster"};
    }
    if (!confirmed.ok()) return confirmed;
    NoteClientUrl(answer.self);
    if (!answer.verifying) {
      next_boots_told_ = std::min(next_boots_told_, ports_.clock.Now() + kFormationPoll);
      return Status::Ok();
    }
    NoteUnheard(dialled.name, answer.refusal);
    return {Code::kUnavailable, "'" + name + "' does not hear this member yet"};
  }
  if (!formation_) return {Code::kUnavailable, "starting"};
  if (answer.formed.empty()) {
    if (answer.self.cluster == ClusterId{} && formation_->Names(answer.self.name) &&
        answer.self.name != options_.name && answer.self.member != kNobody) {
      formation_->Met(answer.self.name, answer.self.member, answer.self.zone, ports_.clock.Now());
      Wake();
    }
    return {Code::kUnavailable, "the cluster is forming"};
  }
  const auto configuration = raft::DecodeConfiguration(answer.formed.view());
  // A member that joined later is not in the first entry, but in later ones.
  if (!configuration.ok() || configuration->cluster != answer.self.cluster) {
    return {Code::kCorruption, "'" + name + "' sent a first entry that is not of its cluster"};
  }
  if (!saving_formation_) SaveFormation(*configuration, answer.formed);
  return {Code::kUnavailable, "the cluster is forming"};
}

void Member::RecordRefusal(const std::string& by, const HelloAnswer& answer) {
  if (answer.removed) {
    Fail({Code::kPermissionDenied, answer.refusal});
    return;
  }
  if (had_leader_) return;
  // A member that does not belong to a cluster yet cannot say that this one does not.
  if (node_ && answer.self.cluster == ClusterId{}) return;
  refused_by_[by] = answer.refusal;
  // It gives up when the members that refuse it leave no majority that could admit it.
  std::size_t others = 0;
  if (node_) {
    for (const raft::Member& member : members()) others += member.id != birth_.member;
  } else {
    others = options_.cluster.empty() ? 0 : options_.cluster.size() - 1;
  }
  const std::size_t needed = (others + 1) / 2;
  if (others - std::min(others, refused_by_.size()) < needed) {
    Fail({Code::kPermissionDenied, "'" + by + "' refused this member: " + answer.refusal});
  }
}

}  // namespace raftkv::node
