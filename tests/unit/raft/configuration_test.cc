// Does a configuration come back from its bytes as it was, and do no bytes harm the one who reads
// them?
#include "lib/raft/configuration.h"

#include <rapidcheck.h>

#include <cstring>
#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <gtest/gtest.h>

#include "lib/base/random.h"
#include "lib/raft/configuration.capnp.h"
#include "lib/raft/membership.h"

namespace raftkv::test {
namespace {

using raft::Configuration;
using raft::DecodeConfiguration;
using raft::EncodeConfiguration;
using raft::Member;
using raft::QuorumKind;

/// Voters 1..count.
Configuration MakeConfiguration(std::uint64_t count) {
  Configuration configuration;
  configuration.cluster = ClusterId(77);
  for (std::uint64_t id = 1; id <= count; ++id) {
    Member member;
    member.id = NodeId(id);
    member.name = "n" + std::to_string(id);
    member.address = "127.0.0.1:" + std::to_string(7000 + id);
    configuration.members.push_back(member);
  }
  return configuration;
}

Configuration Example() {
  Configuration configuration = MakeConfiguration(4);
  configuration.members[1].zone = "east";
  configuration.members[2].learner = true;
  configuration.members[2].incarnation = 9;
  configuration.members[3].id = NodeId(UINT64_MAX);
  configuration.members[3].name = std::string("\xc3\xa9 and\0zero", 11);
  return configuration;
}

/// With something in every field.
Configuration JointExample() {
  Configuration configuration = Example();
  configuration.joint = true;
  configuration.members[0].old_voter = true;
  configuration.members[2].old_voter = true;
  configuration.members[2].leaves = true;
  configuration.members[2].promote = true;
  configuration.quorum = {QuorumKind::kFlexible, 1, 3};
  configuration.old_quorum.kind = QuorumKind::kZones;
  configuration.invited = {{"n5", "127.0.0.1:7005", true}, {"n6", "127.0.0.1:7006", false}};
  configuration.removed = {NodeId(9), NodeId(12)};
  return configuration;
}

/// As much as there may be of everything.
Configuration FullExample() {
  Configuration configuration = MakeConfiguration(raft::kMaxMembers);
  while (configuration.invited.size() < raft::kMaxInvited) {
    configuration.invited.push_back(
        {"i" + std::to_string(configuration.invited.size()), "h", true});
  }
  for (std::uint64_t id = 1000; configuration.removed.size() < raft::kMaxRemoved; ++id) {
    configuration.removed.emplace_back(id);
  }
  return configuration;
}

TEST(Configuration, ComesBackAsItWas) {
  for (const Configuration& configuration :
       {Example(), JointExample(), FullExample(), MakeConfiguration(1)}) {
    const auto decoded = DecodeConfiguration(EncodeConfiguration(configuration).view());
    ASSERT_TRUE(decoded.ok()) << decoded.status().ToString();
    EXPECT_EQ(*decoded, configuration);
  }
}

TEST(Configuration, IsReadFromAnyAddress) {
  const std::string bytes = "x" + std::string(EncodeConfiguration(Example()).view());
  const auto decoded = DecodeConfiguration(std::string_view(bytes).substr(1));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(*decoded, Example());
}

TEST(Configuration, TellsWhoVotes) {
  const Configuration configuration = Example();
  EXPECT_TRUE(configuration.IsVoter(NodeId(1)));
  EXPECT_FALSE(configuration.IsVoter(NodeId(3))) << "a learner";
  EXPECT_FALSE(configuration.IsVoter(NodeId(4))) << "nobody's id";
  EXPECT_EQ(configuration.Find(NodeId(2))->zone, "east");
  EXPECT_EQ(configuration.Find(NodeId(4)), nullptr);
}

/// One that keeps the rules, with anything in its names. Its first member votes in every half.
Configuration AnyConfiguration() {
  Configuration configuration;
  configuration.cluster = ClusterId(*rc::gen::inRange<std::uint64_t>(1, UINT64_MAX));
  configuration.joint = *rc::gen::arbitrary<bool>();
  auto ids = *rc::gen::container<std::set<std::uint64_t>>(rc::gen::positive<std::uint64_t>());
  ids.insert(*rc::gen::positive<std::uint64_t>());
  std::size_t at = 0;
  for (const std::uint64_t id : ids) {
    const bool first = at++ == 0;
    if (!first && (at > raft::kMaxMembers || *rc::gen::inRange(0, 4) == 0)) {
      configuration.removed.emplace_back(id);
      continue;
    }
    Member member;
    member.id = NodeId(id);
    member.name = *rc::gen::arbitrary<std::string>();
    member.address = *rc::gen::arbitrary<std::string>();
    member.zone = *rc::gen::element<std::string>("", "a", "b");
    member.incarnation = *rc::gen::arbitrary<std::uint64_t>();
    member.learner = !first && *rc::gen::arbitrary<bool>();
    member.old_voter = configuration.joint && (first || *rc::gen::arbitrary<bool>());
    member.leaves = member.learner && member.old_voter && *rc::gen::arbitrary<bool>();
    member.promote = member.learner && *rc::gen::arbitrary<bool>();
    configuration.members.push_back(member);
  }
  configuration.quorum.kind = *rc::gen::element(QuorumKind::kMajority, QuorumKind::kZones);
  if (configuration.joint) configuration.old_quorum.kind = QuorumKind::kZones;
  for (const std::string& name : *rc::gen::arbitrary<std::vector<std::string>>()) {
    if (configuration.invited.size() == raft::kMaxInvited) break;
    configuration.invited.push_back({name, "h:1", *rc::gen::arbitrary<bool>()});
  }
  return configuration;
}

TEST(Configuration, AnyThatKeepsTheRulesComesBackAsItWas) {
  int kept = 0;
  const bool held = rc::check("decoding undoes encoding", [&kept] {
    const Configuration configuration = AnyConfiguration();
    RC_ASSERT(CheckConfiguration(configuration).ok());
    ++kept;
    const Bytes bytes = EncodeConfiguration(configuration);
    const auto decoded = DecodeConfiguration(bytes.view());
    RC_ASSERT(decoded.ok());
    RC_ASSERT(*decoded == configuration);
    RC_ASSERT(EncodeConfiguration(*decoded) == bytes);
  });
  EXPECT_TRUE(held);
  EXPECT_GE(kept, 100);
}

std::string ToBytes(capnp::MallocMessageBuilder& message) {
  const auto words = capnp::messageToFlatArray(message);
  const auto bytes = words.asBytes();
  return {reinterpret_cast<const char*>(bytes.begin()), bytes.size()};
}

struct Raw {
  std::uint16_t version = raft::kConfigurationFormatVersion;
  std::vector<std::uint64_t> ids = {1, 2, 3};
};

std::string Encode(const Raw& raw) {
  capnp::MallocMessageBuilder message;
  auto root = message.initRoot<raft::wire::Configuration>();
  root.setFormatVersion(raw.version);
  root.setClusterId(5);
  auto members = root.initMembers(static_cast<unsigned>(raw.ids.size()));
  for (unsigned i = 0; i < raw.ids.size(); ++i) members[i].setId(raw.ids[i]);
  return ToBytes(message);
}

TEST(Configuration, RulesOfMembersAreCheckedWhereItIsRead) {
  EXPECT_TRUE(DecodeConfiguration(Encode(Raw{})).ok());
  for (const std::vector<std::uint64_t>& ids : std::vector<std::vector<std::uint64_t>>{
           {0}, {0, 1}, {1, 1}, {2, 1}, {1, 3, 2}, {}, std::vector<std::uint64_t>(65, 1)}) {
    Raw raw;
    raw.ids = ids;
    EXPECT_EQ(DecodeConfiguration(Encode(raw)).code(), Code::kCorruption);
  }
  Raw many;
  many.ids.clear();
  for (std::uint64_t id = 1; id <= raft::kMaxMembers + 1; ++id) many.ids.push_back(id);
  EXPECT_EQ(DecodeConfiguration(Encode(many)).code(), Code::kCorruption);
}

/// The bytes of an example with one thing changed that the writer would not have written.
std::string Spoiled(const Configuration& example,
                    const std::function<void(raft::wire::Configuration::Builder)>& spoil) {
  const std::string bytes(EncodeConfiguration(example).view());
  auto words = kj::heapArray<capnp::word>(bytes.size() / sizeof(capnp::word));
  std::memcpy(words.begin(), bytes.data(), bytes.size());
  capnp::FlatArrayMessageReader reader(words);
  capnp::MallocMessageBuilder message;
  message.setRoot(reader.getRoot<raft::wire::Configuration>());
  spoil(message.getRoot<raft::wire::Configuration>());
  return ToBytes(message);
}

using Builder = raft::wire::Configuration::Builder;

TEST(Configuration, RulesOfJointOnesAreCheckedWhereTheyAreRead) {
  namespace wire = raft::wire;
  const std::vector<std::pair<std::string, std::function<void(Builder)>>> spoilers = {
      {"no cluster id", [](Builder b) { b.setClusterId(0); }},
      {"no old half", [](Builder b) { b.setJoint(false); }},
      {"no voter in the old",
       [](Builder b) {
         b.getMembers()[0].setOldVoter(false);
         b.getMembers()[2].setOldVoter(false);
         b.getMembers()[2].setLeaves(false);
       }},
      {"no old voter or would vote on", [](Builder b) { b.getMembers()[2].setOldVoter(false); }},
      {"no old voter or would vote on",
       [](Builder b) { b.getMembers()[2].setRole(wire::Role::VOTER); }},
      {"no old voter or would vote on", [](Builder b) { b.getMembers()[1].setLeaves(true); }},
      {"a voter is to be made a voter", [](Builder b) { b.getMembers()[1].setPromote(true); }},
      {"unknown role", [](Builder b) { b.getMembers()[1].setRole(static_cast<wire::Role>(2)); }},
      {"unknown kind of quorum",
       [](Builder b) { b.getQuorum().setKind(static_cast<wire::QuorumKind>(3)); }},
      {"unknown kind of quorum",
       [](Builder b) { b.getOldQuorum().setKind(static_cast<wire::QuorumKind>(77)); }},
      {"two election quorums of 1 of 3",
       [](Builder b) {
         b.getQuorum().setCommit(3);
         b.getQuorum().setElection(1);
       }},
      {"a rule that has none", [](Builder b) { b.getOldQuorum().setCommit(1); }},
      {"removed ids are not ascending", [](Builder b) { b.getRemoved().set(1, 9); }},
      {"removed ids are not ascending", [](Builder b) { b.getRemoved().set(0, 0); }},
      {"a removed id is a member's", [](Builder b) { b.getRemoved().set(0, 2); }},
      {"too many removed ids", [](Builder b) { b.initRemoved(raft::kMaxRemoved + 1); }},
      {"too many invitations", [](Builder b) { b.initInvited(raft::kMaxInvited + 1); }},
      {"too many members", [](Builder b) { b.initMembers(raft::kMaxMembers + 1); }},
      {"more than its format version can", [](Builder b) { b.setFormatVersion(1); }},
  };
  EXPECT_TRUE(DecodeConfiguration(Spoiled(JointExample(), [](Builder) {})).ok());
  for (const auto& [reason, spoil] : spoilers) {
    const auto decoded = DecodeConfiguration(Spoiled(JointExample(), spoil));
    EXPECT_EQ(decoded.code(), Code::kCorruption) << reason;
    EXPECT_NE(decoded.status().message().find(reason), std::string::npos)
        << decoded.status().message();
  }
}

TEST(Configuration, OldHalvesBelongToJointOnes) {
  for (const auto& spoil : std::vector<std::function<void(Builder)>>{
           [](Builder b) { b.getMembers()[0].setOldVoter(true); },
           [](Builder b) { b.getMembers()[2].setLeaves(true); },
           [](Builder b) { b.initOldQuorum().setKind(raft::wire::QuorumKind::ZONES); }}) {
    EXPECT_EQ(DecodeConfiguration(Spoiled(Example(), spoil)).code(), Code::kCorruption);
  }
}

TEST(Configuration, WhatBreaksTheRulesIsNeverWritten) {
  Configuration configuration = Example();
  configuration.members[0].leaves = true;
  EXPECT_DEATH(EncodeConfiguration(configuration), "there is none");
}

// What a member of version 1 wrote. A message of that time has no field of version 2 at all: its
// structs are shorter.
TEST(Configuration, VersionOneIsStillRead) {
  // clang-format off
  static constexpr std::uint8_t kVersionOne[] = {
      0, 0, 0, 0, 13, 0, 0, 0,    // one segment of 13 words
      0, 0, 0, 0, 2, 0, 1, 0,     // the root has 2 words of data and 1 pointer
      1, 0, 0, 0, 0, 0, 0, 0,     // format version 1
      77, 0, 0, 0, 0, 0, 0, 0,    // cluster id
      1, 0, 0, 0, 55, 0, 0, 0,    // members: a list of 6 words
      4, 0, 0, 0, 3, 0, 3, 0,     // that is one struct of 3 words of data and 3 pointers
      7, 0, 0, 0, 0, 0, 0, 0,     // id
      1, 0, 0, 0, 0, 0, 0, 0,     // incarnation
      0, 0, 0, 0, 0, 0, 0, 0,     // a voter
      9, 0, 0, 0, 26, 0, 0, 0,    // name: 3 bytes
      9, 0, 0, 0, 42, 0, 0, 0,    // address: 5 bytes
      0, 0, 0, 0, 0, 0, 0, 0,     // no zone
      'n', '7', 0, 0, 0, 0, 0, 0,
      'h', ':', '1', '2', 0, 0, 0, 0,
  };
  // clang-format on
  const std::string bytes(reinterpret_cast<const char*>(kVersionOne), sizeof(kVersionOne));
  const auto decoded = DecodeConfiguration(bytes);
  ASSERT_TRUE(decoded.ok()) << decoded.status().ToString();
  Configuration expected = MakeConfiguration(1);
  expected.members[0].id = NodeId(7);
  expected.members[0].name = "n7";
  expected.members[0].address = "h:12";
  EXPECT_EQ(*decoded, expected);
}

TEST(Configuration, ANewerVersionIsRefusedAsSuch) {
  Raw raw;
  raw.version = raft::kConfigurationFormatVersion + 1;
  const auto decoded = DecodeConfiguration(Encode(raw));
  EXPECT_EQ(decoded.code(), Code::kVersionMismatch);
  EXPECT_NE(decoded.status().message().find("upgrade"), std::string::npos)
      << "it says how to mend it: " << decoded.status().message();
  raw.version = 0;
  EXPECT_EQ(DecodeConfiguration(Encode(raw)).code(), Code::kCorruption);
}

// Known bug 40. What is read from damaged bytes either is refused or keeps the rules.
void ExpectRefusedOrSound(const std::string& bytes) {
  const auto decoded = DecodeConfiguration(bytes);
  if (!decoded.ok()) return;
  ASSERT_TRUE(CheckConfiguration(*decoded).ok());
  ASSERT_EQ(*DecodeConfiguration(EncodeConfiguration(*decoded).view()), *decoded);
}

TEST(Configuration, CutOffBytesAreRefused) {
  const std::string bytes(EncodeConfiguration(JointExample()).view());
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_FALSE(DecodeConfiguration(bytes.substr(0, length)).ok()) << length;
  }
}

TEST(Configuration, EveryFlippedBitIsRefusedOrSound) {
  const std::string bytes(EncodeConfiguration(JointExample()).view());
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    ExpectRefusedOrSound(damaged);
  }
}

TEST(Configuration, ArbitraryBytesAreRefusedOrSound) {
  Random chance(11);
  const std::string bytes(EncodeConfiguration(JointExample()).view());
  for (int i = 0; i < 20'000; ++i) {
    std::string damaged = i % 2 == 0 ? bytes : std::string(chance.Below(40) * 8, '\0');
    for (std::uint64_t n = chance.Below(8); n > 0 && !damaged.empty(); --n) {
      damaged[chance.Below(damaged.size())] = static_cast<char>(chance.Next());
    }
    ExpectRefusedOrSound(damaged);
  }
}

}  // namespace
}  // namespace raftkv::test
