// How does a test speak to one core as its peers would?
//
// A Solo is one member of a cluster whose other members are the test: it answers votes and
// acknowledgements for them, in any order and with any content.
#pragma once

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "tests/support/raft/raft_format.h"
#include "tests/support/raft/raft_sim_node.h"

namespace raftkv::test {

inline const NodeId kMe{1};

inline raft::Message From(std::uint64_t peer, raft::Body body) {
  return {NodeId(peer), kMe, std::move(body)};
}

inline raft::Entry Command(std::uint64_t term, std::uint64_t index, const std::string& text) {
  raft::Entry entry;
  entry.index = Index(index);
  entry.term = Term(term);
  entry.payload = Bytes(text);
  return entry;
}

inline raft::AppendEntries Append(std::uint64_t term, std::uint64_t prev_index,
                                  std::uint64_t prev_term, std::uint64_t commit,
                                  std::vector<raft::Entry> entries = {}) {
  return {Term(term), Index(prev_index), Term(prev_term), Index(commit), 0, std::move(entries)};
}

inline raft::AppendEntriesReply Ack(std::uint64_t term, std::uint64_t index,
                                    std::uint64_t round = 0) {
  raft::AppendEntriesReply reply;
  reply.term = Term(term);
  reply.success = true;
  reply.index = Index(index);
  reply.read_round = round;
  return reply;
}

inline raft::AppendEntriesReply Refusal(std::uint64_t term, std::uint64_t index,
                                        std::uint64_t hint_index, std::uint64_t hint_term) {
  raft::AppendEntriesReply reply;
  reply.term = Term(term);
  reply.index = Index(index);
  reply.hint_index = Index(hint_index);
  reply.hint_term = Term(hint_term);
  return reply;
}

inline raft::RequestVote AskVote(std::uint64_t term, std::uint64_t last_index,
                                 std::uint64_t last_term, bool pre_vote = false) {
  return {Term(term), Index(last_index), Term(last_term), pre_vote};
}

/// The bodies of type T among `messages`, in order.
template <class T>
std::vector<T> All(const std::vector<raft::Message>& messages) {
  std::vector<T> found;
  for (const raft::Message& message : messages) {
    if (const T* body = std::get_if<T>(&message.body)) found.push_back(*body);
  }
  return found;
}
template <class T>
std::vector<T> AllTo(std::uint64_t to, const std::vector<raft::Message>& messages) {
  std::vector<raft::Message> matching;
  for (const raft::Message& message : messages) {
    if (message.to == NodeId(to)) matching.push_back(message);
  }
  return All<T>(matching);
}

class Solo {
 public:
  /// Member 1 of `members`; its log has entries of `terms` (the first is the configuration).
  explicit Solo(std::uint64_t members, std::vector<std::uint64_t> terms = {1},
                std::uint64_t term = 1, std::uint64_t commit = 1, raft::Options options = {},
                std::uint64_t seed = 1)
      : members_(members),
        node_(WithId(options), MakeConfiguration(members),
              DiskWithLog(MakeConfiguration(members), terms, term, commit), seed) {}

  SimNode* operator->() { return &node_; }
  SimNode& node() { return node_; }
  raft::Raft& core() { return node_.core(); }

  /// Hands the message over and does all that follows; returns what was sent.
  std::vector<raft::Message> Step(std::uint64_t from, raft::Body body) {
    node_.Step(From(from, std::move(body)));
    return node_.Drain();
  }
  std::vector<raft::Message> Campaign() {
    node_.Input([](raft::Raft& core) { core.Campaign(); });
    return node_.Drain();
  }
  std::vector<raft::Message> Advance(Duration by) {
    node_.Advance(by);
    return node_.Drain();
  }
  Result<raft::LogPosition> Propose(const std::string& text) {
    Result<raft::LogPosition> result = Status(Code::kUnavailable, "");
    node_.Input([&](raft::Raft& core) {
      result = core.Propose(raft::EntryKind::kCommand, Bytes(text), 0);
    });
    return result;
  }

  /// Wins the pre-vote: a majority grants it. Returns what was sent (RequestVote).
  std::vector<raft::Message> BecomeCandidate() {
    Campaign();
    const std::uint64_t next = core().term().value + 1;
    std::vector<raft::Message> sent;
    for (std::uint64_t peer = 2; peer <= members_ / 2 + 1; ++peer) {
      for (auto& m : Step(peer, raft::RequestVoteReply{Term(next), true, true})) sent.push_back(m);
    }
    return sent;
  }
  /// And the election. Returns the first messages of the leader.
  std::vector<raft::Message> BecomeLeader() {
    std::vector<raft::Message> sent = BecomeCandidate();
    sent.clear();
    const Term term = core().term();
    for (std::uint64_t peer = 2; peer <= members_ / 2 + 1; ++peer) {
      for (auto& m : Step(peer, raft::RequestVoteReply{term, true, false})) sent.push_back(m);
    }
    return sent;
  }

 private:
  static raft::Options WithId(raft::Options options) {
    options.id = kMe;
    return options;
  }

  std::uint64_t members_;
  SimNode node_;
};

}  // namespace raftkv::test
