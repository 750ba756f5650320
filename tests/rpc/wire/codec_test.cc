#include "rpc/wire/codec.h"

#include <cstring>

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <gtest/gtest.h>

#include "lib/base/random.h"
#include "lib/raft/cluster_clock.h"
#include "lib/raft/configuration.h"

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

std::shared_ptr<raft::SnapshotMeta> MakeSnapshot() {
  auto meta = std::make_shared<raft::SnapshotMeta>();
  meta->last = {Index(40), Term(6)};
  meta->configuration_index = Index(12);
  meta->configuration.cluster = ClusterId(77);
  meta->configuration.members = {{NodeId(7), "n1", "a:1", "z1"}, {NodeId(8), "n2", "b:2", "z2"}};
  meta->configuration.members[1].learner = true;
  meta->configuration.members[1].promote = true;
  meta->configuration.invited = {{"n3", "c:3", true}};
  meta->configuration.removed = {NodeId(3), NodeId(5)};
  return meta;
}

std::vector<node::PeerMessage> AllMessages() {
  raft::AppendEntries append{Term(9), Index(4), Term(3), Index(2), 17, {}};
  append.entries = {MakeEntry(5, 3, std::string(1000, 'x')), MakeEntry(6, 9, std::string("\0a", 2)),
                    MakeEntry(7, 9, "")};
  append.entries[1].kind = raft::EntryKind::kConfiguration;
  append.entries[2].kind = raft::EntryKind::kNoop;
  append.entries[2].payload = {};
  append.refilled = 31;
  append.clock_ms = raft::kMaxClockMs;
  append.entries[0].clock_ms = 40;
  return {
      raft::Message{kFrom, kTo, raft::RequestVote{Term(2), Index(5), Term(1), true, true}},
      raft::Message{kFrom, kTo, raft::RequestVoteReply{Term(2), true, false}},
      raft::Message{kFrom, kTo, append},
      raft::Message{kFrom, kTo, raft::AppendEntries{Term(9), Index(0), Term(0), Index(0), 0, {}}},
      raft::Message{kFrom, kTo,
                    raft::AppendEntriesReply{Term(9), false, Index(4), Index(3), Term(2), 18, 31,
                                             std::chrono::milliseconds(300), raft::Space::kNone}},
      raft::Message{kFrom, kTo, raft::ReadIndex{Term(4), 1ULL << 63, true}},
      raft::Message{kFrom, kTo, raft::TimeoutNow{Term(4)}},
      raft::Message{kFrom, kTo, raft::ReadIndexReply{Term(4), 12, true, Index(44)}},
      node::ForwardSubmit{55, Bytes(std::string(3, '\xff'))},
      node::ForwardSubmitReply{55, {Status(Code::kUnavailable, "no leader"), {}}},
      node::ForwardSubmitReply{56, {Status::Ok(), Bytes(std::string("answer"))}},
      node::ForwardJoin{"n4", NodeId(9), "zone"},
      node::ForwardJoin{"n4", NodeId(9), "zone", "host:1"},
      node::SnapshotChunk{Term(9), MakeSnapshot(), 77, 1 << 20, Bytes(std::string(3000, '\0')),
                          false},
      node::SnapshotChunk{Term(9), MakeSnapshot(), 77, 1 << 20, {}, true},
      node::SnapshotChunkReply{Term(9), {Index(40), Term(6)}, 77, 1 << 21, true},
      node::KnownBoots{},
      node::KnownBoots{{{NodeId(3), {.boot = {.counter = 7, .nonce = 1ULL << 63}}},
                        {NodeId(9), {.boot = {.counter = 8, .nonce = 0}, .incarnation = 4}}}},
  };
}

bool Same(const node::PeerMessage& a, const node::PeerMessage& b) {
  if (a.index() != b.index()) return false;
  if (const auto* m = std::get_if<raft::Message>(&a)) return *m == std::get<raft::Message>(b);
  if (const auto* f = std::get_if<node::ForwardSubmit>(&a)) {
    const auto& g = std::get<node::ForwardSubmit>(b);
    return f->id == g.id && f->request == g.request;
  }
  if (const auto* f = std::get_if<node::ForwardJoin>(&a)) {
    const auto& g = std::get<node::ForwardJoin>(b);
    return f->name == g.name && f->id == g.id && f->zone == g.zone && f->address == g.address;
  }
  if (const auto* f = std::get_if<node::KnownBoots>(&a)) {
    return f->boots == std::get<node::KnownBoots>(b).boots;
  }
  if (const auto* f = std::get_if<node::SnapshotChunk>(&a)) {
    const auto& g = std::get<node::SnapshotChunk>(b);
    return f->term == g.term && *f->snapshot == *g.snapshot && f->offset == g.offset &&
           f->data == g.data && f->last == g.last;
  }
  if (const auto* f = std::get_if<node::SnapshotChunkReply>(&a)) {
    const auto& g = std::get<node::SnapshotChunkReply>(b);
    return f->term == g.term && f->snapshot == g.snapshot && f->next_offset == g.next_offset &&
           f->installed == g.installed;
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

TEST(Codec, NoMessageTakesMoreThanItsEstimate) {
  raft::AppendEntries append{Term(9), Index(4), Term(3), Index(2), 17, {}};
  for (std::uint64_t i = 5; i < 1005; ++i) append.entries.push_back(MakeEntry(i, 9, "x"));
  const node::PeerMessage message = raft::Message{kFrom, kTo, append};
  // One segment: pointers from one to another take words of their own.
  capnp::MallocMessageBuilder builder(1 << 16);
  Encode(message, builder.initRoot<wire::PeerMessage>());
  EXPECT_GE(EncodedWords(message) + 1, builder.sizeInWords());
}

// A message that began with a zero byte was sent as an empty one, another frame than none.
TEST(Codec, AnOutcomeIsOneLineAndCutShortByNothing) {
  const auto decoded = [](const std::string& text) {
    capnp::MallocMessageBuilder builder;
    Encode(Status(Code::kUnavailable, text), builder.initRoot<wire::Outcome>());
    return Decode(builder.getRoot<wire::Outcome>().asReader()).message();
  };
  EXPECT_EQ(decoded(""), "");
  EXPECT_EQ(decoded("no leader"), "no leader");
  EXPECT_EQ(decoded(std::string("\0leader", 7)), " leader");
  EXPECT_EQ(decoded("two\nlines\x1b[2J"), "two lines [2J");
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
  EXPECT_NE(RefusalOf([](auto a) { a.setPrevLogIndex(~0ULL - 1); }).find("largest possible number"),
            std::string::npos);
  constexpr std::uint64_t kBeyond = raft::kMaxClockMs + 1;
  EXPECT_NE(RefusalOf([](auto a) { a.setClockMs(kBeyond); }).find("cluster clock"),
            std::string::npos);
  EXPECT_NE(RefusalOf([](auto a) { a.getEntries()[1].setClockMs(kBeyond); }).find("cluster clock"),
            std::string::npos);
}

std::string SnapshotRefusal(const std::function<void(wire::SnapshotChunk::Builder)>& change) {
  capnp::MallocMessageBuilder builder;
  const node::SnapshotChunk chunk{Term(9), MakeSnapshot(), 77, 5, Bytes(std::string("x")), false};
  Encode(chunk, builder.initRoot<wire::PeerMessage>());
  change(builder.getRoot<wire::PeerMessage>().getSnapshotChunk());
  const auto back = Decode(builder.getRoot<wire::PeerMessage>().asReader(), kFrom, kTo);
  return back.ok() ? "" : back.status().message();
}

TEST(Codec, RefusesSnapshotsThatNoLeaderSends) {
  const auto has = [](const std::string& refusal, const char* words) {
    return refusal.find(words) != std::string::npos;
  };
  EXPECT_EQ(SnapshotRefusal([](auto) {}), "");
  EXPECT_TRUE(has(SnapshotRefusal([](auto c) { c.getSnapshot().setIndex(0); }), "without entries"));
  EXPECT_TRUE(
      has(SnapshotRefusal([](auto c) { c.getSnapshot().setIndex(~0ULL); }), "largest possible"));
  EXPECT_TRUE(has(SnapshotRefusal([](auto c) { c.setTerm(5); }), "later term"));
  EXPECT_TRUE(has(SnapshotRefusal([](auto c) { c.getSnapshot().setConfigurationIndex(41); }),
                  "from after it"));
  EXPECT_TRUE(has(SnapshotRefusal([](auto c) { c.setOffset(~0ULL); }), "largest possible"));
  EXPECT_TRUE(has(SnapshotRefusal([](auto c) { c.initData(0); }), "empty part"));
  EXPECT_TRUE(
      has(SnapshotRefusal([](auto c) { c.getSnapshot().initConfiguration(9); }), "configuration"));
  EXPECT_TRUE(has(SnapshotRefusal([](auto c) { c.disownSnapshot(); }), "without entries"));
}

TEST(Codec, RefusesNewcomersThatWouldSpoilTheLog) {
  const auto code_of = [](const node::ForwardJoin& join) {
    capnp::MallocMessageBuilder builder;
    Encode(join, builder.initRoot<wire::PeerMessage>());
    return Decode(builder.getRoot<wire::PeerMessage>().asReader(), kFrom, kTo).code();
  };
  EXPECT_EQ(code_of({"n4", NodeId(9), ""}), Code::kOk);
  EXPECT_EQ(code_of({"n4", kNobody, ""}), Code::kInvalidArgument);
  EXPECT_EQ(code_of({"n\n4", NodeId(9), ""}), Code::kInvalidArgument);
  EXPECT_EQ(code_of({"n4", NodeId(9), std::string(300, 'z')}), Code::kInvalidArgument);
}

TEST(Codec, ChangesOfMembersAreChecked) {
  const auto back = [](const MemberChange& change) {
    capnp::MallocMessageBuilder builder;
    auto params = builder.initRoot<wire::KvService::ChangeMembersParams>();
    Encode(change, params);
    return Decode(params.asReader());
  };
  using Kind = MemberChange::Kind;
  const auto add = back({Kind::kAddVoter, "n4", "host:7001"});
  ASSERT_TRUE(add.ok()) << add.status().ToString();
  EXPECT_EQ(add->kind, Kind::kAddVoter);
  EXPECT_EQ(add->name, "n4");
  EXPECT_EQ(add->address, "host:7001");
  EXPECT_TRUE(back({Kind::kMoveLeader, "", ""}).ok());
  const auto reset = back({Kind::kUpdate, "n4", "", true});
  ASSERT_TRUE(reset.ok()) << reset.status().ToString();
  EXPECT_TRUE(reset->reset_boot);
  EXPECT_TRUE(back({Kind::kUpdate, "n4", "host:1"}).ok());
  EXPECT_EQ(back({Kind::kUpdate, "n4", ""}).code(), Code::kInvalidArgument);
  EXPECT_EQ(back({Kind::kUpdate, "n4", "0.0.0.0:1", true}).code(), Code::kInvalidArgument);
  EXPECT_TRUE(back({Kind::kRemove, "n4", ""}).ok());
  EXPECT_EQ(back({Kind::kRemove, "", ""}).code(), Code::kInvalidArgument);
  EXPECT_EQ(back({Kind::kAddLearner, "n4", ""}).code(), Code::kInvalidArgument);
  EXPECT_EQ(back({Kind::kAddLearner, "n4", "host:0"}).code(), Code::kInvalidArgument);
  EXPECT_EQ(back({Kind::kAddLearner, "a=b", "host:1"}).code(), Code::kInvalidArgument);
  EXPECT_EQ(back({Kind::kPromote, "a\tb", ""}).code(), Code::kInvalidArgument);
  EXPECT_EQ(back({Kind::kPromote, std::string(300, 'n'), ""}).code(), Code::kInvalidArgument);
  EXPECT_EQ(back({static_cast<Kind>(9), "n4", ""}).code(), Code::kInvalidArgument);
}

TEST(Codec, ConsistenciesComeBack) {
  for (const auto consistency : {Consistency::kLinearizable, Consistency::kLocal,
                                 Consistency::kLease, Consistency::kBounded}) {
    EXPECT_EQ(FromWire(ToWire(consistency)), consistency);
  }
  EXPECT_EQ(FromWire(static_cast<wire::Consistency>(99)), Consistency::kLinearizable);
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
  answer.removed = true;
  answer.verifying = true;
  answer.self.zone = "z1";
  answer.self.joins = true;
  answer.self.cluster = ClusterId(4);
  answer.self.member = NodeId(5);
  answer.self.name = "n2";
  answer.self.boot = {6, 7};
  answer.self.expected_member = NodeId(8);
  answer.self.expected_name = "n1";
  answer.self.formation = "n1=a:1,n2=b:2";
  answer.self.client_url = "http://b:2379";
  answer.formed = Bytes(std::string("configuration"));
  capnp::MallocMessageBuilder builder;
  Encode(answer, builder.initRoot<wire::PeerAnswer>());
  const auto back = Decode(builder.getRoot<wire::PeerAnswer>().asReader());
  ASSERT_TRUE(back.ok()) << back.status().ToString();
  EXPECT_EQ(back->refusal, answer.refusal);
  EXPECT_TRUE(back->permanent);
  EXPECT_TRUE(back->removed);
  EXPECT_TRUE(back->verifying);
  EXPECT_EQ(back->self.zone, "z1");
  EXPECT_TRUE(back->self.joins);
  EXPECT_EQ(back->formed, answer.formed);
  EXPECT_EQ(back->self.cluster, answer.self.cluster);
  EXPECT_EQ(back->self.member, answer.self.member);
  EXPECT_EQ(back->self.name, answer.self.name);
  EXPECT_EQ(back->self.boot, answer.self.boot);
  EXPECT_EQ(back->self.expected_member, answer.self.expected_member);
  EXPECT_EQ(back->self.expected_name, answer.self.expected_name);
  EXPECT_EQ(back->self.formation, answer.self.formation);
  EXPECT_EQ(back->self.client_url, answer.self.client_url);
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
  EXPECT_EQ(code_of([](node::Hello& h) { h.client_url = "http://a\n"; }), Code::kInvalidArgument);
}

TEST(Codec, AnUnknownCodeIsAnUnknownOutcome) {
  capnp::MallocMessageBuilder builder;
  builder.initRoot<wire::Outcome>().setCode(999);
  EXPECT_EQ(Decode(builder.getRoot<wire::Outcome>().asReader()).code(), Code::kUnknownOutcome);
}

}  // namespace
}  // namespace raftkv::rpc
