// Which boot of another member counts? (part of Member)
//
// Each open of a data folder is a boot with a higher counter. What a member claims about its boot
// when it connects proves nothing: anyone can claim it. So a boot counts once our own hello was
// answered under it, at an address of that member, and once it is durable here.
#include <algorithm>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/hex.h"
#include "lib/base/mutants.h"
#include "lib/node/member.h"
#include "lib/node/node.h"

namespace raftkv::node {

namespace {

/// How many boots of a member another one may have missed: as many as of one that restarts every
/// second for most of a day while the other is away. A counter further ahead was invented, and the
/// real member could never reach it.
constexpr std::uint64_t kMaxMissedBoots = 1 << 16;
constexpr Duration kBootsToldEvery = std::chrono::seconds(5);
constexpr Duration kUnconfirmedLineAfter = std::chrono::seconds(3);

std::string Number(std::uint64_t number) { return std::to_string(number); }

std::string ResetCommand(const std::string& name) {
  return "'raftkv member update " + name + " --reset-boot'";
}

}  // namespace

/// Safety: a disk that was rolled back or copied may have forgotten votes and acknowledgements.
/// Empty, or why the boot of `hello` never counts.
std::string Member::JudgeBoot(const Hello& hello) const {
  if (RAFTKV_MUTANT(kRolledBackDiskVotes)) return {};
  if (RAFTKV_MUTANT(kWipedDiskVotes) && hello.boot.counter == 1) return {};
  Boot seen;
  if (const auto member = birth_.peer_boots.find(hello.member); member != birth_.peer_boots.end()) {
    if (BootWasReset(hello.member)) return {};
    seen = member->second.boot;
  } else if (const auto other = stranger_boots_.find(hello.member);
             other != stranger_boots_.end()) {
    seen = other->second;
  } else {
    return {};
  }
  return JudgeBootOf(hello.name, hello.boot, seen);
}

/// What is wrong with `boot` of the member `name`, if `seen` was seen before; empty: nothing.
std::string Member::JudgeBootOf(const std::string& name, const Boot& boot, const Boot& seen) {
  if (PeerBoot{.boot = seen}.twins()) {
    return "two data folders claim to be '" + name + "' (boot " + Number(seen.counter) +
           " was started twice): one is a copy of the other, or was rolled back; stop the older "
           "one, and make the cluster trust the other with " +
           ResetCommand(name);
  }
  if (boot == seen) return {};
  if (boot.counter > seen.counter) {
    if (boot.counter - seen.counter <= kMaxMissedBoots) return {};
    return "boot " + Number(boot.counter) + " of '" + name + "' is too far beyond boot " +
           Number(seen.counter) + ", the last one that was seen, to be genuine; if it is, run " +
           ResetCommand(name) + " to make the cluster trust it";
  }
  return "the data folder of '" + name + "' was rolled back or copied (boot " +
         Number(boot.counter) + ", but boot " + Number(seen.counter) +
         " was seen): what it acknowledged may be lost; replace the member or, if the folder is "
         "known to be the latest, make the cluster trust it with " +
         ResetCommand(name);
}

/// Only a committed configuration allows a lower boot: an uncommitted one may be rolled back.
std::uint64_t Member::IncarnationOf(NodeId id) const {
  RAFTKV_CHECK(node_ != nullptr);
  const raft::Member* member = node_->core().applied_configuration().Find(id);
  return member == nullptr ? 1 : member->incarnation;
}

bool Member::BootWasReset(NodeId id) const {
  const auto known = birth_.peer_boots.find(id);
  return known != birth_.peer_boots.end() && IncarnationOf(id) > known->second.incarnation;
}

bool Member::KnowsBoot(NodeId peer, Boot boot) const {
  const auto known = birth_.peer_boots.find(peer);
  if (known != birth_.peer_boots.end()) return known->second.boot == boot;
  // Safety: the boot of a member is durable here before any vote or acknowledgement of it counts.
  if (IsMember(peer)) return false;
  const auto stranger = stranger_boots_.find(peer);
  return stranger != stranger_boots_.end() && stranger->second == boot;
}

/// `hello` is valid except that its boot is not confirmed: nothing of it is kept except the address
/// to ask.
void Member::AskBack(const Hello& hello, HelloAnswer& answer) {
  answer.verifying = true;
  answer.permanent = false;
  const raft::Member* member = node_->core().configuration().Find(hello.member);
  std::string where = member == nullptr ? hello.address : member->address;
  if (member != nullptr && !hello.address.empty() && hello.address != where) {
    where +=
        ", its address in the configuration, or at " + hello.address + ", the address it announces";
  }
  answer.refusal = "boot " + Number(hello.boot.counter) + " of '" + hello.name + "' counts once '" +
                   options_.name + "' has reached it under that boot at " + where;
  if (member == nullptr) return;
  const auto [it, first] = unconfirmed_.try_emplace(hello.member, ports_.clock.Now());
  if (ports_.clock.Now() - it->second >= kUnconfirmedLineAfter) {
    LogRefusal(hello.name, answer.refusal);
  }
}

/// Our hello was answered by `self`, possibly with a refusal. Ok: nothing is wrong with the member
/// that answers there.
Status Member::Confirm(const Hello& self, const Dialled& dialled) {
  const bool meant =
      self.name == dialled.name && (dialled.expected == kNobody || self.member == dialled.expected);
  const bool ours = node_ && self.cluster == birth_.cluster && self.member != birth_.member;
  // What is wrong with any other one is reported elsewhere.
  if (!meant || !ours || self.member == kNobody || self.boot.counter == 0) return Status::Ok();
  if (Status status = ConfirmBoot(self); !status.ok()) return status;
  NotePlace(self, dialled.address);
  return Status::Ok();
}

Status Member::ConfirmBoot(const Hello& self) {
  if (const std::string wrong = JudgeBoot(self); !wrong.empty()) {
    return {Code::kPermissionDenied, wrong};
  }
  const auto known = birth_.peer_boots.find(self.member);
  const bool stored = known != birth_.peer_boots.end();
  // A member that has lost its log knows no members, only their boots.
  if (!stored && !IsMember(self.member)) {
    NoteStrangersBoot(self.member, self.boot);
    return Status::Ok();
  }
  PeerBoot boot{.boot = self.boot, .incarnation = IncarnationOf(self.member)};
  if (stored) boot.incarnation = std::max(boot.incarnation, known->second.incarnation);
  if (stored && known->second == boot) {
    unconfirmed_.erase(self.member);
    return Status::Ok();
  }
  SaveBoot(self.member, boot);
  return {Code::kUnavailable, "the boot of '" + self.name + "' is being made durable"};
}

/// Two disks with one identity: each may have been met by another half of the members, which would
/// count it, and both halves would be majorities. So members tell each other which boots they have
/// met, periodically and when one changes.
void Member::TellBoots() {
  const MonoTime now = ports_.clock.Now();
  if (now < next_boots_told_) return;
  next_boots_told_ = now + kBootsToldEvery;
  KnownBoots known;
  for (const auto& [id, boot] : birth_.peer_boots) {
    if (IsMember(id)) known.boots[id] = boot;
  }
  if (known.boots.empty()) return;
  for (const raft::Member& member : node_->core().configuration().members) {
    if (member.id != birth_.member) ports_.transport.Send(member.id, known);
  }
}

void Member::OnKnownBoots(NodeId from, const KnownBoots& known) {
  for (const auto& [id, theirs] : known.boots) {
    if (id == birth_.member) {
      NoteTwinOfThis(from, theirs);
      continue;
    }
    const auto stored = birth_.peer_boots.find(id);
    if (!IsMember(id) || stored == birth_.peer_boots.end()) continue;
    const PeerBoot& ours = stored->second;
    // What was seen before the cluster was told to trust the member again says nothing about what
    // is seen since.
    if (theirs.incarnation != ours.incarnation || BootWasReset(id) || ours.twins()) continue;
    if (theirs.boot.counter == ours.boot.counter && theirs.boot != ours.boot) {
      const PeerBoot twins{.boot = {.counter = ours.boot.counter, .nonce = 0},
                           .incarnation = ours.incarnation};
      const raft::Member* const member = node_->core().configuration().Find(id);
      ports_.log_sink(LogSeverity::kError, JudgeBootOf(member->name, theirs.boot, twins.boot));
      stored->second = twins;  // at once: messages from either must no longer count
      SaveBoot(id, twins);
    } else if (theirs.boot.counter > ours.boot.counter &&
               theirs.boot.counter - ours.boot.counter <= kMaxMissedBoots) {
      // A newer boot than the one known here was confirmed there. The one known here is older, or a
      // copy.
      SaveBoot(id, theirs);
    }
  }
}

/// Another member has met a boot of this member that is neither this one nor an earlier one.
void Member::NoteTwinOfThis(NodeId from, const PeerBoot& theirs) {
  const bool another = theirs.boot != birth_.boot && theirs.boot.counter >= birth_.boot.counter;
  if (!another || theirs.incarnation != IncarnationOf(birth_.member)) return;
  const raft::Member* const teller = node_->core().configuration().Find(from);
  LogRefusal(teller == nullptr ? Hex(from) : teller->name,
             JudgeBootOf(options_.name, birth_.boot, {.counter = theirs.boot.counter, .nonce = 0}));
}

void Member::NoteStrangersBoot(NodeId id, Boot boot) {
  constexpr std::size_t kMaxStrangers = 64;
  if (stranger_boots_.size() >= kMaxStrangers && !stranger_boots_.contains(id)) {
    stranger_boots_.erase(
        stranger_boots_.begin());  // it sends another hello if its messages are dropped
  }
  stranger_boots_[id] = boot;
}

void Member::SaveBoot(NodeId id, PeerBoot boot) {
  if (!saving_boots_.insert(id).second) return;
  ports_.meta.SavePeerBoot(id, boot, [this, id, boot](const Status& status) {
    saving_boots_.erase(id);
    // A disk that cannot write stops this member.
    if (!failure_.ok() || !status.ok()) return;
    stranger_boots_.erase(id);
    // What was found in the meantime is not undone.
    const auto [known, first] = birth_.peer_boots.try_emplace(id, boot);
    const bool found_out = known->second.twins() && boot.incarnation <= known->second.incarnation;
    if (!first && !found_out) known->second = boot;
    // It was found while this one was being written.
    if (found_out && known->second != boot) SaveBoot(id, known->second);
    next_boots_told_ = ports_.clock.Now();
    Wake();
  });
}

}  // namespace raftkv::node
