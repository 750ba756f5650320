// Does the judge of watchers see what is wrong with what they were told?
#include "tests/sim/judges/watched.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "lib/kv/response.h"
#include "tests/sim/judges/model.h"

namespace raftkv::sim {
namespace {

/// The model has: 2: a=1, 3: a=2 and b=1 in one transaction, 4: b deleted, 5: c=1.
class WatchedTest : public testing::Test {
 protected:
  WatchedTest() {
    Write(kv::PutOp{"a", "1"}, kDone);
    kv::OperationResult both = kDone;
    both.txn = std::make_shared<kv::TxnOutcome>();
    both.txn->succeeded = true;
    both.txn->results.resize(2);
    both.txn->results[0].write.changed = both.txn->results[1].write.changed = true;
    Write(kv::TxnOp{{{}, {Op::Put("a", "2"), Op::Put("b", "1")}, {}}}, both);
    Write(kv::DeleteOp{kv::Range::Single("b")}, {Code::kOk, "", 1, true});
    Write(kv::PutOp{"c", "1"}, kDone);
    told_.start = 2;
    told_.position.next = 6;
  }

  void Write(const kv::Operation& operation, const kv::OperationResult& result) {
    raft::Entry entry;
    entry.index = Index(revision_);
    entry.term = Term(1);
    entry.kind = raft::EntryKind::kCommand;
    entry.payload = kv::EncodeRequest({1, 1, revision_, 1}, {operation});
    kv::Response response;
    response.revision = revision_++;
    response.results = {result};
    EXPECT_EQ(model_.Apply(entry, {kv::EncodeResponse(response), 1}), "");
  }

  static WatchEvent Put(std::uint64_t revision, std::string key, std::string value,
                        std::uint64_t created, std::uint64_t version) {
    return {WatchEvent::Kind::kPut, {std::move(key), std::move(value), revision, created, version}};
  }
  static WatchEvent Delete(std::uint64_t revision, std::string key) {
    return {WatchEvent::Kind::kDelete, {std::move(key), "", revision}};
  }
  void Tell(std::vector<WatchEvent> events, bool more = false, std::uint64_t compacted = 0) {
    const std::uint64_t revision = events.front().kv.mod_revision;
    told_.responses.push_back({{revision, std::move(events), more}, compacted});
  }
  void TellProgress(std::uint64_t revision) {
    told_.responses.push_back({{revision, {}, false}, 0});
  }
  /// The check that fails; empty: none.
  [[nodiscard]] std::string Verdict() const {
    const auto fault = CompareWatch(model_, told_);
    return fault.has_value() ? fault->checker : "";
  }

  static inline const kv::OperationResult kDone{Code::kOk, "", 0, true};
  const WatchEvent a1_ = Put(2, "a", "1", 2, 1);
  const WatchEvent a2_ = Put(3, "a", "2", 2, 2);
  const WatchEvent b1_ = Put(3, "b", "1", 3, 1);
  const WatchEvent no_b_ = Delete(4, "b");
  const WatchEvent c1_ = Put(5, "c", "1", 5, 1);

  Model model_;
  std::uint64_t revision_ = 1;
  WatchTold told_;
};

TEST_F(WatchedTest, EveryChangeOnceAndInOrderIsRight) {
  Tell({a1_});
  Tell({a2_, b1_});
  TellProgress(3);
  Tell({no_b_});
  Tell({c1_});
  TellProgress(5);
  EXPECT_EQ(Verdict(), "");
}

TEST_F(WatchedTest, WhatIsMissingIsSeenWhereverItIs) {
  Tell({a1_});
  Tell({a2_, b1_});
  Tell({c1_});
  EXPECT_EQ(Verdict(), "watched events") << "4 is missing";
  told_.responses.pop_back();
  EXPECT_EQ(Verdict(), "watched events") << "the end is missing";
  told_.position.next = 4;
  EXPECT_EQ(Verdict(), "") << "it had not come any further";
  told_.start = 1;
  told_.responses.erase(told_.responses.begin());
  EXPECT_EQ(Verdict(), "watched events") << "the beginning is missing";
}

TEST_F(WatchedTest, WhatIsToldTwiceOrOutOfOrderIsSeen) {
  Tell({a1_});
  Tell({a1_});
  EXPECT_EQ(Verdict(), "watched events");
  told_.responses.pop_back();
  Tell({b1_, a2_});
  EXPECT_EQ(Verdict(), "watched events") << "not in the order of the operations";
}

TEST_F(WatchedTest, OlderThanItsStartIsSeen) {
  told_.start = 3;
  Tell({a1_});
  EXPECT_EQ(Verdict(), "watched events");
}

TEST_F(WatchedTest, ARevisionIsToldAsAWhole) {
  Tell({a1_});
  Tell({a2_});
  Tell({b1_});
  EXPECT_EQ(Verdict(), "whole revisions");
  told_.responses[1].response.more = true;
  EXPECT_EQ(Verdict(), "whole revisions") << "there was room";
  told_.max_response_bytes = 1;
  told_.position.next = 4;
  EXPECT_EQ(Verdict(), "");
  told_.responses[2].response.more = true;
  EXPECT_EQ(Verdict(), "whole revisions") << "nothing follows";
}

TEST_F(WatchedTest, ProgressDoesNotOvertakeAnEvent) {
  Tell({a1_});
  TellProgress(3);
  Tell({a2_, b1_});
  EXPECT_EQ(Verdict(), "progress notices");
}

TEST_F(WatchedTest, WhatTheKeyHasIsCompared) {
  for (const WatchEvent& wrong :
       {Put(2, "a", "2", 2, 1), Put(2, "a", "1", 1, 1), Put(2, "a", "1", 2, 2), Delete(2, "a")}) {
    told_.responses.clear();
    Tell({wrong});
    EXPECT_EQ(Verdict(), "watched events");
  }
}

TEST_F(WatchedTest, OnlyWhatIsWatchedIsTold) {
  told_.range = KeyRange::Single("b");
  Tell({b1_});
  Tell({no_b_});
  EXPECT_EQ(Verdict(), "");
  told_.deletes = false;
  EXPECT_EQ(Verdict(), "watched events");
  told_.responses.pop_back();
  EXPECT_EQ(Verdict(), "");
  Tell({c1_});
  EXPECT_EQ(Verdict(), "watched events") << "outside of its range";
}

TEST_F(WatchedTest, PreviousValuesAreThoseOfTheRevisionBefore) {
  told_.previous = true;
  told_.range = KeyRange::Single("a");
  WatchEvent a2 = a2_;
  Tell({a1_});
  Tell({a2});
  EXPECT_EQ(Verdict(), "previous values") << "it is left out";
  told_.responses[1].compacted = 3;
  EXPECT_EQ(Verdict(), "") << "it is compacted";
  a2.previous = a1_.kv;
  told_.responses.pop_back();
  Tell({a2});
  EXPECT_EQ(Verdict(), "");
  told_.responses[1].response.events[0].previous->value = "0";
  EXPECT_EQ(Verdict(), "previous values");
  told_.previous = false;
  told_.responses[1].response.events[0].previous = a1_.kv;
  EXPECT_EQ(Verdict(), "previous values") << "nobody asked for it";
}

TEST_F(WatchedTest, ARefusedTransactionAndWhatARevisionTakesBackAreNoEvents) {
  const TxnRequest txn = {{}, {Op::Put("d", "x"), Op::Increment("e", 1), Op::Put("a", "x")}, {}};
  Write(kv::PutOp{"e", "none"}, kDone);
  Write(kv::TxnOp{txn}, {Code::kInvalidArgument, "", 0, false});
  ASSERT_EQ(model_.events().rbegin()->first, 6u);
  EXPECT_EQ(model_.events().at(6).size(), 1u);
  told_.start = 6;
  told_.position.next = 7;
  Tell({Put(6, "e", "none", 6, 1)});
  EXPECT_EQ(Verdict(), "");
}

}  // namespace
}  // namespace raftkv::sim
