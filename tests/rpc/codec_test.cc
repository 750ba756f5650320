#include "rpc/codec.h"

#include <cstring>

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <gtest/gtest.h>

#include "lib/base/random.h"

namespace raftkv::rpc {
namespace {

constexpr NodeId kFrom(7);
constexpr NodeId kTo(8);

raft::Entry MakeEntry(std::uint64_t index, std::uint64_t term, std::string payload) {
  raft::Entry entry;
  entry.index = Index(index);
  entry.term = Term(term);
  entry.time_ms = 99 + index;
  entry.payload = Bytes(std::move(payload));
  return entry;
}

std::vector<node::PeerMessage> AllMessages() {
  raft::AppendEntries append{Term(9), Index(4), Term(3), Index(2), 17, {}};
  append.entries = {MakeEntry(5, 3, std::string(1000, 'x')), MakeEntry(6, 9, std::string("\0a", 2)),
                    MakeEntry(7, 9, "")};
  append.entries[1].kind = raft::EntryKind::kConfiguration;
  append.entries[2].kind = raft::EntryKind::kNoop;
  append.entries[2].payload = {};
  return {
      raft::Message{kFrom, kTo, raft::RequestVote{Term(2), Index(5), Term(1), true}},
      raft::Message{kFrom, kTo, raft::RequestVoteReply{Term(2), true, false}},
      raft::Message{kFrom, kTo, append},
      raft::Message{kFrom, kTo, raft::AppendEntries{Term(9), Index(0), Term(0), Index(0), 0, {}}},
      raft::Message{kFrom, kTo,
                    raft::AppendEntriesReply{Term(9), false, Index(4), Index(3), Term(2), 18}},
      raft::Message{kFrom, kTo, raft::ReadIndex{Term(4), 1ULL << 63}},
      raft::Message{kFrom, kTo, raft::ReadIndexReply{Term(4), 12, true, Index(44)}},
      node::ForwardSubmit{55, Bytes(std::string(3, '\xff'))},
      node::ForwardSubmitReply{55, {Status(Code::kUnavailable, "no leader"), {}}},
      node::ForwardSubmitReply{56, {Status::Ok(), Bytes(std::string("answer"))}},
  };
}

bool Same(const node::PeerMessage& a, const node::PeerMessage& b) {
  if (a.index() != b.index()) return false;
  if (const auto* m = std::get_if<raft::Message>(&a)) return *m == std::get<raft::Message>(b);
  if (const auto* f = std::get_if<node::ForwardSubmit>(&a)) {
    const auto& g = std::get<node::ForwardSubmit>(b);
    return f->id == g.id && f->request == g.request;
  }
  const auto& f = std::get<node::ForwardSubmitReply>(a);
  const auto& g = std::get<node::ForwardSubmitReply>(b);
  return f.id == g.id && f.outcome.status.code() == g.outcome.status.code() &&
         f.outcome.status.message() == g.outcome.status.message() &&
         f.outcome.response == g.outcome.response;
}

TEST(Codec, EveryPeerMessageComesBack) {
  for (const node::PeerMessage& message : AllMessages()) {
    capnp::MallocMessageBuilder builder;
    Encode(message, builder.initRoot<wire::PeerMessage>());
    // The estimate covers the struct itself as a list element, so it is never below.
    EXPECT_GE(EncodedWords(message) + 1, builder.sizeInWords());
    const auto back = Decode(builder.getRoot<wire::PeerMessage>().asReader(), kFrom, kTo);
    ASSERT_TRUE(back.ok()) << back.status().ToString();
    ASSERT_TRUE(back->has_value());
    EXPECT_TRUE(Same(message, **back));
  }
}

TEST(Codec, AnUnknownKindIsDropped) {
  capnp::MallocMessageBuilder builder;
  builder.initRoot<wire::PeerMessage>().setUnknown();
  const auto back = Decode(builder.getRoot<wire::PeerMessage>().asReader(), kFrom, kTo);
  ASSERT_TRUE(back.ok());
  EXPECT_FALSE(back->has_value());
}

std::string RefusalOf(const std::function<void(wire::AppendEntries::Builder)>& change) {
  capnp::MallocMessageBuilder builder;
  Encode(AllMessages()[2], builder.initRoot<wire::PeerMessage>());
  change(builder.getRoot<wire::PeerMessage>().getAppendEntries());
  const auto back = Decode(builder.getRoot<wire::PeerMessage>().asReader(), kFrom, kTo);
  return back.ok() ? "" : back.status().message();
}

TEST(Codec, RefusesEntriesThatNoLeaderSends) {
  EXPECT_EQ(RefusalOf([](auto) {}), "");
  EXPECT_NE(RefusalOf([](auto a) { a.getEntries()[1].setKind(3); }).find("unknown kind 3"),
            std::string::npos);
  EXPECT_NE(RefusalOf([](auto a) { a.getEntries()[1].setTerm(2); }).find("term 2 after 3"),
            std::string::npos);
  EXPECT_NE(RefusalOf([](auto a) { a.getEntries()[2].setTerm(10); }).find("term 10"),
            std::string::npos);
  EXPECT_NE(RefusalOf([](auto a) { a.setPrevLogTerm(10); }).find("previous entry"),
            std::string::npos);
  EXPECT_NE(RefusalOf([](auto a) { a.setPrevLogIndex(~0ULL - 1); }).find("end of all numbers"),
            std::string::npos);
}

TEST(Codec, SurvivesMutatedBytes) {
  Random draw(20);
  std::size_t refused = 0;
  for (const node::PeerMessage& message : AllMessages()) {
    capnp::MallocMessageBuilder builder;
    Encode(message, builder.initRoot<wire::PeerMessage>());
    const auto words = capnp::messageToFlatArray(builder);
    for (int round = 0; round < 2000; ++round) {
      auto copy = kj::heapArray<capnp::word>(words.size());
      std::memcpy(copy.begin(), words.begin(), words.asBytes().size());
      auto bytes = copy.asBytes();
      for (std::uint64_t flips = 1 + draw.Below(4); flips > 0; --flips) {
        bytes[draw.Below(bytes.size())] ^= static_cast<kj::byte>(1 + draw.Below(255));
      }
      // Either an exception of the reader (it closes the connection), a refusal, or a message.
      auto thrown = kj::runCatchingExceptions([&] {
        capnp::FlatArrayMessageReader reader(copy);
        const auto back = Decode(reader.getRoot<wire::PeerMessage>(), kFrom, kTo);
        refused += !back.ok();
      });
      refused += thrown != nullptr;
    }
  }
  EXPECT_GT(refused, 100u);
}

TEST(Codec, HandshakesComeBack) {
  node::HelloAnswer answer;
  answer.refusal = "another cluster";
  answer.permanent = true;
  answer.self.cluster = ClusterId(4);
  answer.self.member = NodeId(5);
  answer.self.name = "n2";
  answer.self.boot = {6, 7};
  answer.self.expected_member = NodeId(8);
  answer.self.expected_name = "n1";
  answer.self.formation = "n1=a:1,n2=b:2";
  answer.formed = Bytes(std::string("configuration"));
  capnp::MallocMessageBuilder builder;
  Encode(answer, builder.initRoot<wire::PeerAnswer>());
  const auto back = Decode(builder.getRoot<wire::PeerAnswer>().asReader());
  ASSERT_TRUE(back.ok()) << back.status().ToString();
  EXPECT_EQ(back->refusal, answer.refusal);
  EXPECT_TRUE(back->permanent);
  EXPECT_EQ(back->formed, answer.formed);
  EXPECT_EQ(back->self.cluster, answer.self.cluster);
  EXPECT_EQ(back->self.member, answer.self.member);
  EXPECT_EQ(back->self.name, answer.self.name);
  EXPECT_EQ(back->self.boot, answer.self.boot);
  EXPECT_EQ(back->self.expected_member, answer.self.expected_member);
  EXPECT_EQ(back->self.expected_name, answer.self.expected_name);
  EXPECT_EQ(back->self.formation, answer.self.formation);
}

TEST(Codec, WhoRefusesWhileItStartsHasAName) {
  node::HelloAnswer answer;
  answer.self.name = "n2";
  capnp::MallocMessageBuilder builder;
  Encode(answer, builder.initRoot<wire::PeerAnswer>());
  EXPECT_FALSE(Decode(builder.getRoot<wire::PeerAnswer>().asReader()).ok()) << "it is nobody";
  answer.refusal = "the member is starting; try again";
  Encode(answer, builder.initRoot<wire::PeerAnswer>());
  const auto back = Decode(builder.getRoot<wire::PeerAnswer>().asReader());
  ASSERT_TRUE(back.ok()) << back.status().ToString();
  EXPECT_EQ(back->refusal, answer.refusal);
  EXPECT_EQ(back->self.name, "n2");
}

TEST(Codec, RefusesHellosThatWouldSpoilTheLog) {
  const auto code_of = [](const std::function<void(node::Hello&)>& change) {
    node::Hello hello;
    hello.member = NodeId(1);
    hello.name = "n1";
    change(hello);
    capnp::MallocMessageBuilder builder;
    Encode(hello, builder.initRoot<wire::PeerHello>());
    return Decode(builder.getRoot<wire::PeerHello>().asReader()).code();
  };
  EXPECT_EQ(code_of([](node::Hello&) {}), Code::kOk);
  EXPECT_EQ(code_of([](node::Hello& h) { h.member = kNobody; }), Code::kInvalidArgument);
  EXPECT_EQ(code_of([](node::Hello& h) { h.name = "a\nb"; }), Code::kInvalidArgument);
  EXPECT_EQ(code_of([](node::Hello& h) { h.name = std::string(10000, 'n'); }),
            Code::kInvalidArgument);
  EXPECT_EQ(code_of([](node::Hello& h) { h.protocol_min = 9; }), Code::kInvalidArgument);
}

TEST(Codec, AnUnknownCodeIsAnUnknownOutcome) {
  capnp::MallocMessageBuilder builder;
  builder.initRoot<wire::Outcome>().setCode(999);
  EXPECT_EQ(Decode(builder.getRoot<wire::Outcome>().asReader()).code(), Code::kUnknownOutcome);
}

}  // namespace
}  // namespace raftkv::rpc
