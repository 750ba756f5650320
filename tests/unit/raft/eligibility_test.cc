// What is in the way of whom, and is the strictest reason the one that is given?
#include "lib/raft/eligibility.h"

#include <string>

#include <gtest/gtest.h>

#include "lib/raft/pace.h"

namespace raftkv::raft {
namespace {

using std::chrono::milliseconds;

Traits Of(std::initializer_list<Trait> list) {
  Traits traits;
  for (const Trait trait : list) traits.Add(trait);
  return traits;
}

TEST(Eligibility, WithNothingInTheWayAllIsAllowed) {
  for (const Duty duty : {Duty::kStand, Duty::kVote, Duty::kTakeOver, Duty::kCount}) {
    EXPECT_EQ(Judge({}, duty), Verdict::kYes);
    EXPECT_EQ(WhyNot({}, duty), nullptr);
  }
}

TEST(Eligibility, WhoLostSomethingDoesNothingAndCountsForNothing) {
  for (const Duty duty : {Duty::kStand, Duty::kVote, Duty::kTakeOver, Duty::kCount}) {
    EXPECT_EQ(Judge(Of({Trait::kSuspect, Trait::kFull}), duty), Verdict::kNo);
  }
}

TEST(Eligibility, TheStrictestTraitDecidesAndIsNamed) {
  const Traits traits = Of({Trait::kFull, Trait::kDiskHangs});
  EXPECT_EQ(Judge(traits, Duty::kStand), Verdict::kNo);
  EXPECT_EQ(WhyNot(traits, Duty::kStand), std::string("its disk does not respond"));
  EXPECT_EQ(Judge(Of({Trait::kFull}), Duty::kStand), Verdict::kLater);
  EXPECT_EQ(Judge(Of({Trait::kFull}), Duty::kCount), Verdict::kYes);
}

TEST(Eligibility, AMemberVotesByWhatItIsAskedAndNotByWhatItThinksItIs) {
  EXPECT_EQ(Judge(Of({Trait::kNoVote}), Duty::kVote), Verdict::kYes);
  EXPECT_EQ(Judge(Of({Trait::kNoVote}), Duty::kStand), Verdict::kNo);
}

TEST(Eligibility, AnElectionThatTheLeaderAsksForOverridesThePromiseAlone) {
  Traits traits = Of({Trait::kPromised, Trait::kSuspect});
  traits.Remove(Trait::kPromised);
  EXPECT_FALSE(traits.Has(Trait::kPromised));
  EXPECT_EQ(Judge(traits, Duty::kVote), Verdict::kNo);
  EXPECT_EQ(Judge(Of({Trait::kPromised}), Duty::kVote), Verdict::kNo);
}

TEST(Pace, OneThatIsSlowForOnceSaysNothingAndTwoDo) {
  Pace pace;
  MonoTime now{};
  EXPECT_EQ(pace.HangsAt(milliseconds(500)), kNever);
  const auto take = [&](milliseconds time) {
    pace.Begin(now);
    now += time;
    pace.End(now);
  };
  take(milliseconds(1000));
  EXPECT_EQ(pace.usual(), Duration::zero());
  take(milliseconds(800));
  EXPECT_EQ(pace.usual(), milliseconds(800));
  pace.Begin(now);
  EXPECT_EQ(pace.HangsAt(milliseconds(500)), now + milliseconds(3200));
  now += milliseconds(100);
  pace.Resume(now);
  EXPECT_EQ(pace.HangsAt(milliseconds(500)), now + milliseconds(3200)) << "counted anew";
  pace.End(now);
  EXPECT_EQ(pace.usual(), Duration::zero());
}

}  // namespace
}  // namespace raftkv::raft
