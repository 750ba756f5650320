#include "tests/support/raft/raft_format.h"

#include <sstream>
#include <variant>

#include "lib/raft/configuration.h"

namespace raftkv::test {

namespace {

constexpr std::size_t kShownEntries = 6;
constexpr std::size_t kShownPayloadBytes = 16;

std::string Place(Term term, Index index) {
  return std::to_string(term.value) + "/" + std::to_string(index.value);
}

std::string FormatRound(std::uint64_t round) {
  return round == 0 ? "" : " round:" + std::to_string(round);
}

struct BodyFormatter {
  std::string operator()(const raft::RequestVote& m) const {
    return std::string("RequestVote ") + (m.pre_vote ? "pre " : "") +
           (m.transfer ? "transfer " : "") + "term:" + std::to_string(m.term.value) +
           " last:" + Place(m.last_log_term, m.last_log_index);
  }
  std::string operator()(const raft::RequestVoteReply& m) const {
    return std::string("RequestVoteReply ") + (m.pre_vote ? "pre " : "") +
           "term:" + std::to_string(m.term.value) + (m.granted ? " granted" : " refused");
  }
  std::string operator()(const raft::AppendEntries& m) const {
    std::string out = "AppendEntries term:" + std::to_string(m.term.value) +
                      " prev:" + Place(m.prev_log_term, m.prev_log_index) +
                      " commit:" + std::to_string(m.leader_commit.value) +
                      FormatRound(m.read_round);
    if (m.refilled != 0) out += " refilled";
    if (!m.entries.empty()) out += " entries:[" + Format(m.entries) + "]";
    return out;
  }
  std::string operator()(const raft::AppendEntriesReply& m) const {
    std::string out = "AppendEntriesReply term:" + std::to_string(m.term.value) +
                      (m.success ? " ok" : " rejected") + " index:" + std::to_string(m.index.value);
    if (m.suspect != 0) out += " suspect";
    if (!m.success) out += " hint:" + Place(m.hint_term, m.hint_index);
    out += FormatRound(m.read_round);
    return m.promise > Duration::zero() ? out + " promised" : out;
  }
  std::string operator()(const raft::TimeoutNow& m) const {
    return "TimeoutNow term:" + std::to_string(m.term.value);
  }
  std::string operator()(const raft::ReadIndex& m) const {
    return "ReadIndex term:" + std::to_string(m.term.value) +
           " context:" + std::to_string(m.context) + (m.lease ? " lease" : "");
  }
  std::string operator()(const raft::ReadIndexReply& m) const {
    return "ReadIndexReply term:" + std::to_string(m.term.value) +
           " context:" + std::to_string(m.context) +
           (m.confirmed ? " index:" + std::to_string(m.index.value) : std::string(" refused"));
  }
};

}  // namespace

std::string Format(const raft::Configuration& configuration) {
  const auto half = [&](bool old_half) {
    std::string out;
    for (const raft::Member& member : configuration.members) {
      const bool votes = old_half ? member.old_voter : !member.learner;
      if (!votes && (old_half || member.leaves)) continue;
      out += (out.empty() ? "" : " ") + Format(member.id) + (votes ? "" : "l");
    }
    for (const raft::Invitation& invited : configuration.invited) {
      if (!old_half) out += " (" + invited.name + ")";
    }
    return "{" + out + "}";
  };
  return (configuration.joint ? half(true) + "->" : "") + half(false);
}

std::string Format(const raft::SnapshotMeta& snapshot) {
  return "snapshot " + Place(snapshot.last.term, snapshot.last.index) + " " +
         Format(snapshot.configuration);
}

std::string Format(NodeId id) { return id == kNobody ? "none" : std::to_string(id.value); }

std::string Format(raft::Role role) {
  switch (role) {
    case raft::Role::kFollower: return "follower";
    case raft::Role::kPreCandidate: return "pre-candidate";
    case raft::Role::kCandidate: return "candidate";
    case raft::Role::kLeader: return "leader";
  }
  return "?";
}

std::string Format(const raft::Entry& entry) {
  const std::string place = Place(entry.term, entry.index);
  if (entry.kind == raft::EntryKind::kNoop) return place + " noop";
  if (entry.kind == raft::EntryKind::kConfiguration) {
    // The first one says nothing new: who takes part stands at the head of each transcript.
    const auto configuration = raft::DecodeConfiguration(entry.payload.view());
    const bool first = entry.index == Index(1) || !configuration.ok();
    return place + " configuration" + (first ? "" : " " + Format(*configuration));
  }
  if (entry.payload.size() > kShownPayloadBytes) {
    return place + " cmd " + std::to_string(entry.payload.size()) + "B";
  }
  return place + " cmd \"" + std::string(entry.payload.view()) + "\"";
}

std::string Format(const std::vector<raft::Entry>& entries) {
  if (entries.size() > kShownEntries) {
    return Format(entries.front()) + " .. " + Format(entries.back()) + ": " +
           std::to_string(entries.size()) + " entries";
  }
  std::string out;
  for (const raft::Entry& entry : entries) {
    if (!out.empty()) out += ", ";
    out += Format(entry);
  }
  return out;
}

std::string Format(const raft::Message& message) {
  return Format(message.from) + "->" + Format(message.to) + " " +
         std::visit(BodyFormatter{}, message.body);
}

std::string FormatState(const raft::Raft& core) {
  std::ostringstream out;
  out << Format(core.id()) << ' ' << Format(core.role()) << " term:" << core.term().value
      << " vote:" << Format(core.vote()) << " leader:" << Format(core.leader())
      << " log:" << Place(core.log().last_term(), core.log().last_index())
      << " durable:" << core.durable_index().value << " commit:" << core.commit_index().value
      << " applied:" << core.applied_index().value;
  if (core.suspect()) out << " suspect";
  return out.str();
}

std::string FormatRuns(const raft::RaftLog& log) {
  std::string out;
  const std::vector<raft::TermRun>& runs = log.runs();
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const Index last = i + 1 < runs.size() ? runs[i + 1].first.Previous() : log.last_index();
    if (!out.empty()) out += ' ';
    out += Place(runs[i].term, runs[i].first);
    if (last != runs[i].first) out += ".." + std::to_string(last.value);
  }
  if (log.base().index > Index()) {
    out = "[" + Place(log.base().term, log.base().index) + "]" + (out.empty() ? "" : " ") + out;
  }
  return out.empty() ? "empty" : out;
}

}  // namespace raftkv::test
