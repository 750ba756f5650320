// Raft messages and forwarded requests; joining members and snapshots are in codec_snapshot.cc,
// handshakes and headers in codec_hello.cc.
#include "rpc/wire/codec.h"

#include <algorithm>
#include <limits>

#include "lib/base/check.h"
#include "lib/raft/cluster_clock.h"
#include "rpc/wire/codec_parts.h"

namespace raftkv::rpc {
namespace {

// Far above what a batch of 1 MiB can hold; guards against lists of empty entries.
constexpr std::size_t kMaxEntries = 1 << 20;

std::size_t WordsOf(const Bytes& bytes) { return bytes.size() / 8 + 1; }

struct Encoder {
  wire::PeerMessage::Builder to;

  void operator()(const raft::RequestVote& m) {
    auto b = to.initRequestVote();
    b.setTerm(m.term.value);
    b.setLastLogIndex(m.last_log_index.value);
    b.setLastLogTerm(m.last_log_term.value);
    b.setPreVote(m.pre_vote);
    b.setTransfer(m.transfer);
  }
  void operator()(const raft::RequestVoteReply& m) {
    auto b = to.initRequestVoteReply();
    b.setTerm(m.term.value);
    b.setGranted(m.granted);
    b.setPreVote(m.pre_vote);
  }
  void operator()(const raft::AppendEntries& m) {
    RAFTKV_CHECK(m.entries.size() <= kMaxEntries, m.entries.size());
    auto b = to.initAppendEntries();
    b.setTerm(m.term.value);
    b.setPrevLogIndex(m.prev_log_index.value);
    b.setPrevLogTerm(m.prev_log_term.value);
    b.setLeaderCommit(m.leader_commit.value);
    b.setReadRound(m.read_round);
    b.setRefilled(m.refilled);
    b.setClockMs(m.clock_ms);
    auto entries = b.initEntries(static_cast<capnp::uint>(m.entries.size()));
    Index expected = m.prev_log_index;
    for (capnp::uint i = 0; i < entries.size(); ++i) {
      const raft::Entry& entry = m.entries[i];
      RAFTKV_CHECK(entry.index == ++expected, entry.index.value, expected.value);
      auto e = entries[i];
      e.setTerm(entry.term.value);
      e.setKind(static_cast<std::uint8_t>(entry.kind));
      e.setTimeMs(entry.time_ms);
      e.setClockMs(entry.clock_ms);
      e.setPayload(AsData(entry.payload.view()));
    }
  }
  void operator()(const raft::AppendEntriesReply& m) {
    auto b = to.initAppendEntriesReply();
    b.setTerm(m.term.value);
    b.setSuccess(m.success);
    b.setIndex(m.index.value);
    b.setHintIndex(m.hint_index.value);
    b.setHintTerm(m.hint_term.value);
    b.setReadRound(m.read_round);
    b.setSuspect(m.suspect);
    b.setPromiseNs(static_cast<std::uint64_t>(m.promise.count()));
    b.setSpace(static_cast<std::uint8_t>(m.space));
    b.setApplied(m.applied.value);
  }
  void operator()(const raft::ReadIndex& m) {
    auto b = to.initReadIndex();
    b.setTerm(m.term.value);
    b.setContext(m.context);
    b.setLease(m.lease);
  }
  void operator()(const raft::ReadIndexReply& m) {
    auto b = to.initReadIndexReply();
    b.setTerm(m.term.value);
    b.setContext(m.context);
    b.setConfirmed(m.confirmed);
    b.setIndex(m.index.value);
  }
  void operator()(const raft::TimeoutNow& m) { to.initTimeoutNow().setTerm(m.term.value); }
  void operator()(const raft::Message& m) { std::visit(*this, m.body); }
  void operator()(const node::ForwardSubmit& m) {
    auto b = to.initForwardSubmit();
    b.setId(m.id);
    b.setRequest(AsData(m.request.view()));
  }
  void operator()(const node::ForwardSubmitReply& m) {
    auto b = to.initForwardSubmitReply();
    b.setId(m.id);
    Encode(m.outcome.status, b.initOutcome());
    b.setResponse(AsData(m.outcome.response.view()));
  }
  void operator()(const node::ForwardJoin& m) { Encode(m, to.initForwardJoin()); }
  void operator()(const node::KnownBoots& m) { Encode(m, to.initKnownBoots()); }
  void operator()(const node::SnapshotChunk& m) { Encode(m, to.initSnapshotChunk()); }
  void operator()(const node::SnapshotChunkReply& m) { Encode(m, to.initSnapshotChunkReply()); }
};

Status CheckClock(std::uint64_t clock_ms) {
  if (clock_ms <= raft::kMaxClockMs) return Status::Ok();
  return MalformedMessage("the cluster clock shows " + std::to_string(clock_ms) + " ms, at most " +
                          std::to_string(raft::kMaxClockMs) + " make sense");
}

Status DecodeEntries(wire::AppendEntries::Reader from, raft::AppendEntries& to) {
  const auto entries = from.getEntries();
  if (entries.size() > kMaxEntries) {
    return MalformedMessage(std::to_string(entries.size()) + " entries in one message");
  }
  if (to.prev_log_index.value > std::numeric_limits<std::uint64_t>::max() - kMaxEntries - 1) {
    return MalformedMessage("the index of the previous entry is the largest possible number");
  }
  to.entries.reserve(entries.size());
  Index index = to.prev_log_index;
  Term term = to.prev_log_term;
  for (const auto e : entries) {
    raft::Entry entry;
    entry.index = ++index;
    entry.term = Term(e.getTerm());
    if (entry.term < term || entry.term > to.term) {
      return MalformedMessage("entry " + std::to_string(index.value) + " has term " +
                              std::to_string(entry.term.value) + " after " +
                              std::to_string(term.value) + " in a message of term " +
                              std::to_string(to.term.value));
    }
    term = entry.term;
    const std::uint8_t kind = e.getKind();
    if (kind > static_cast<std::uint8_t>(raft::EntryKind::kConfiguration)) {
      return MalformedMessage("an entry of the unknown kind " + std::to_string(kind) +
                              "; does the sender run a newer version?");
    }
    entry.kind = static_cast<raft::EntryKind>(kind);
    entry.time_ms = e.getTimeMs();
    entry.clock_ms = e.getClockMs();
    if (Status status = CheckClock(entry.clock_ms); !status.ok()) return status;
    entry.payload = ToBytes(e.getPayload());
    to.entries.push_back(std::move(entry));
  }
  return Status::Ok();
}

Result<raft::Body> DecodeAppendEntries(wire::AppendEntries::Reader m) {
  raft::AppendEntries append;
  append.term = Term(m.getTerm());
  append.prev_log_index = Index(m.getPrevLogIndex());
  append.prev_log_term = Term(m.getPrevLogTerm());
  append.leader_commit = Index(m.getLeaderCommit());
  append.read_round = m.getReadRound();
  append.refilled = m.getRefilled();
  append.clock_ms = m.getClockMs();
  if (Status status = CheckClock(append.clock_ms); !status.ok()) return status;
  if (append.prev_log_term > append.term) {
    return MalformedMessage("the term of the previous entry is above the message's");
  }
  const Status status = DecodeEntries(m, append);
  if (!status.ok()) return status;
  return raft::Body(std::move(append));
}

raft::AppendEntriesReply DecodeReply(wire::AppendEntriesReply::Reader m) {
  raft::AppendEntriesReply reply;
  reply.term = Term(m.getTerm());
  reply.success = m.getSuccess();
  reply.index = Index(m.getIndex());
  reply.hint_index = Index(m.getHintIndex());
  reply.hint_term = Term(m.getHintTerm());
  reply.read_round = m.getReadRound();
  reply.suspect = m.getSuspect();
  // Longer than any election timeout makes no difference.
  reply.promise = Duration(std::min(m.getPromiseNs(), std::uint64_t{1} << 62));
  reply.space = static_cast<raft::Space>(
      std::min(m.getSpace(), static_cast<std::uint8_t>(raft::Space::kNone)));
  reply.applied = Index(m.getApplied());
  return reply;
}

raft::RequestVote DecodeVote(wire::RequestVote::Reader m) {
  return {.term = Term(m.getTerm()),
          .last_log_index = Index(m.getLastLogIndex()),
          .last_log_term = Term(m.getLastLogTerm()),
          .pre_vote = m.getPreVote(),
          .transfer = m.getTransfer()};
}

using Decoded = std::optional<node::PeerMessage>;

template <class Message>
Result<Decoded> Checked(Result<Message> message) {
  if (!message.ok()) return message.status();
  return Decoded(std::move(message).value());
}

std::size_t EncodedWordsOf(const raft::Message& message) {
  std::size_t words = 0;
  if (const auto* append = std::get_if<raft::AppendEntries>(&message.body)) {
    for (const raft::Entry& entry : append->entries) {
      words += capnp::sizeInWords<wire::Entry>() + WordsOf(entry.payload);
    }
  }
  return words;
}
std::size_t EncodedWordsOf(const node::ForwardSubmit& forward) { return WordsOf(forward.request); }
std::size_t EncodedWordsOf(const node::ForwardSubmitReply& reply) {
  return WordsOf(reply.outcome.response) + reply.outcome.status.message().size() / 8 + 1;
}
std::size_t EncodedWordsOf(const node::ForwardJoin& join) {
  return (join.name.size() + join.zone.size() + join.address.size()) / 8 + 3;
}
std::size_t EncodedWordsOf(const node::KnownBoots& known) { return 2 + 4 * known.boots.size(); }
std::size_t EncodedWordsOf(const node::SnapshotChunk& chunk) { return EncodedWords(chunk); }
std::size_t EncodedWordsOf(const node::SnapshotChunkReply& /*reply*/) { return 0; }

}  // namespace

Status MalformedMessage(std::string what) {
  return {Code::kInvalidArgument, "a peer message is malformed: " + std::move(what)};
}

std::size_t EncodedWords(const node::PeerMessage& message) {
  constexpr std::size_t kFixed = 16;  // the element, the largest fixed struct and its pointers
  return kFixed + std::visit([](const auto& m) { return EncodedWordsOf(m); }, message);
}

void Encode(const node::PeerMessage& message, wire::PeerMessage::Builder to) {
  std::visit(Encoder{to}, message);
}

Result<std::optional<node::PeerMessage>> Decode(wire::PeerMessage::Reader message, NodeId from,
                                                NodeId to) {
  const auto raft_message = [&](raft::Body body) {
    return Decoded(raft::Message{.from = from, .to = to, .body = std::move(body)});
  };
  switch (message.which()) {
    case wire::PeerMessage::UNKNOWN: break;
    case wire::PeerMessage::REQUEST_VOTE: return raft_message(DecodeVote(message.getRequestVote()));
    case wire::PeerMessage::REQUEST_VOTE_REPLY: {
      const auto m = message.getRequestVoteReply();
      return raft_message(raft::RequestVoteReply{
          .term = Term(m.getTerm()), .granted = m.getGranted(), .pre_vote = m.getPreVote()});
    }
    case wire::PeerMessage::APPEND_ENTRIES: {
      Result<raft::Body> body = DecodeAppendEntries(message.getAppendEntries());
      if (!body.ok()) return body.status();
      return raft_message(std::move(body).value());
    }
    case wire::PeerMessage::APPEND_ENTRIES_REPLY:
      return raft_message(DecodeReply(message.getAppendEntriesReply()));
    case wire::PeerMessage::READ_INDEX: {
      const auto m = message.getReadIndex();
      return raft_message(raft::ReadIndex{
          .term = Term(m.getTerm()), .context = m.getContext(), .lease = m.getLease()});
    }
    case wire::PeerMessage::READ_INDEX_REPLY: {
      const auto m = message.getReadIndexReply();
      return raft_message(raft::ReadIndexReply{.term = Term(m.getTerm()),
                                               .context = m.getContext(),
                                               .confirmed = m.getConfirmed(),
                                               .index = Index(m.getIndex())});
    }
    case wire::PeerMessage::FORWARD_SUBMIT: {
      const auto m = message.getForwardSubmit();
      return Decoded(node::ForwardSubmit{.id = m.getId(), .request = ToBytes(m.getRequest())});
    }
    case wire::PeerMessage::FORWARD_SUBMIT_REPLY: {
      const auto m = message.getForwardSubmitReply();
      return Decoded(node::ForwardSubmitReply{
          .id = m.getId(),
          .outcome = {.status = Decode(m.getOutcome()), .response = ToBytes(m.getResponse())}});
    }
    case wire::PeerMessage::TIMEOUT_NOW:
      return raft_message(raft::TimeoutNow{.term = Term(message.getTimeoutNow().getTerm())});
    case wire::PeerMessage::FORWARD_JOIN: return Checked(Decode(message.getForwardJoin()));
    case wire::PeerMessage::KNOWN_BOOTS: return Checked(Decode(message.getKnownBoots()));
    case wire::PeerMessage::SNAPSHOT_CHUNK: return Checked(Decode(message.getSnapshotChunk()));
    case wire::PeerMessage::SNAPSHOT_CHUNK_REPLY:
      return Decoded(Decode(message.getSnapshotChunkReply()));
  }
  return Decoded();
}

}  // namespace raftkv::rpc
