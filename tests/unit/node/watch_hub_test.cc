// Does each watcher get each event it wants once, in order and whole, wherever it is from?
#include "lib/node/watch_hub.h"

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/node/kv_log.h"

namespace raftkv::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class FakeClock final : public node::Clock {
 public:
  MonoTime Now() override { return now; }
  std::uint64_t WallTimeMs() override { return 1; }
  MonoTime now{seconds(100)};
};

/// A page as the client sees it, or what went wrong.
struct Outcome {
  std::optional<Result<WatchPage>> page;
};

class WatchHubTest : public testing::Test {
 protected:
  WatchHubTest() { Restart(); }

  void Restart() {
    hub_ = std::make_unique<node::WatchHub>(
        options_, log_.store().revisions(),
        node::WatchHub::Ports{
            .clock = clock_,
            .read_log =
                [this](kv::WatchOp op, std::uint64_t last, node::Done<kv::WatchLogPage> done) {
                  ++log_reads_;
                  reads_.push_back(
                      [this, op = std::move(op), last, done = std::move(done)]() mutable {
                        done(kv::ReadWatchLog(log_.engine(), op, last));
                      });
                },
            .may_say_nothing_came = [this] { return cut_off_; },
            .wakeup = [] {}});
  }

  /// Applies one entry, each operation a call of its own.
  void Apply(const std::vector<kv::Operation>& operations) {
    log_.Apply(operations);
    std::vector<kv::ChangesPtr> changes;
    if (log_.last_changes() != nullptr) changes.push_back(log_.last_changes());
    hub_->OnApplied(std::move(changes), log_.store().revisions(), event_bytes_);
  }
  void Put(const std::string& key, const std::string& value = "v") {
    Apply({kv::PutOp{key, value}});
  }
  void Delete(const std::string& key) { Apply({kv::DeleteOp{kv::Range::Single(key)}}); }
  void Compact(std::uint64_t revision) {
    Apply({kv::CompactOp{revision}});
    log_.engine().RaiseLowestRevision(revision);
  }
  std::uint64_t Revision() { return log_.store().revisions().revision; }

  static kv::WatchOp Prefix(const std::string& prefix, std::uint64_t next) {
    WatchPageOptions options;
    options.position.next = next;
    return kv::WatchOp::From(KeyRange::Prefix(prefix), options);
  }
  static kv::WatchOp Single(const std::string& key, std::uint64_t next) {
    WatchPageOptions options;
    options.position.next = next;
    return kv::WatchOp::From(KeyRange::Single(key), options);
  }

  std::shared_ptr<Outcome> Ask(const kv::WatchOp& op, Duration wait = seconds(5)) {
    auto outcome = std::make_shared<Outcome>();
    hub_->Add(op, clock_.now + wait, [outcome, op](const Result<Bytes>& answer) {
      EXPECT_FALSE(outcome->page.has_value()) << "answered twice";
      if (!answer.ok()) {
        outcome->page = answer.status();
        return;
      }
      outcome->page = kv::DecodeWatchResponse(answer->view(), op);
    });
    return outcome;
  }

  void Run(Duration time = milliseconds(0)) {
    const MonoTime end = clock_.now + time;
    while (true) {
      hub_->Pump(clock_.now);
      if (!reads_.empty()) {
        auto read = std::move(reads_.front());
        reads_.erase(reads_.begin());
        read();
        continue;
      }
      const MonoTime next = hub_->NextDeadline();
      if (next <= clock_.now) {
        clock_.now += options_.step;
        continue;
      }
      if (next > std::max(end, clock_.now + options_.step)) break;
      clock_.now = next;
    }
    clock_.now = std::max(clock_.now, end);
  }

  /// "1:+a=x 2:-a" and then where the next page begins.
  static std::string Show(const Outcome& outcome) {
    if (!outcome.page.has_value()) return "waits";
    if (!outcome.page->ok()) return std::string(CodeName(outcome.page->code()));
    std::string text;
    for (const WatchEvent& event : (*outcome.page)->events) {
      const bool put = event.kind == WatchEvent::Kind::kPut;
      text += std::to_string(event.kv.mod_revision) + (put ? ":+" : ":-") + event.kv.key;
      if (put) text += "=" + event.kv.value;
      if (event.previous.has_value()) text += "(" + event.previous->value + ")";
      text += " ";
    }
    const WatchPosition& position = (*outcome.page)->position;
    text += "> " + std::to_string(position.next);
    if (position.delivered != 0) text += "+" + std::to_string(position.delivered);
    return text;
  }
  std::string Page(const kv::WatchOp& op, Duration wait = seconds(5)) {
    const auto outcome = Ask(op, wait);
    Run();
    return Show(*outcome);
  }

  node::WatchHubOptions options_;
  std::uint64_t event_bytes_ = 32 << 20;
  FakeClock clock_;
  AppliedLog log_;
  Status cut_off_;
  std::vector<OnceFunction<void()>> reads_;
  int log_reads_ = 0;
  std::unique_ptr<node::WatchHub> hub_;
};

TEST_F(WatchHubTest, AnEventAnswersThoseWhoWaitForItAndNobodyElse) {
  const auto single = Ask(Single("a", 2));
  const auto prefix = Ask(Prefix("a", 2));
  const auto all = Ask(Prefix("", 2));
  const auto other = Ask(Single("b", 2));
  Run();
  EXPECT_EQ(Show(*single), "waits");
  Put("a", "x");
  Run();
  EXPECT_EQ(Show(*single), "2:+a=x > 3");
  EXPECT_EQ(Show(*prefix), "2:+a=x > 3");
  EXPECT_EQ(Show(*all), "2:+a=x > 3");
  EXPECT_EQ(Show(*other), "waits");
  EXPECT_EQ(hub_->watchers(), 1U);
  EXPECT_EQ(log_reads_, 0);
}

TEST_F(WatchHubTest, EventsComeInOrderAndEachRevisionWhole) {
  Put("a", "1");
  Apply({kv::PutOp{"a", "2"}, kv::DeleteOp{kv::Range::Single("a")}});
  Put("b", "3");
  EXPECT_EQ(Page(Prefix("", 2)), "2:+a=1 3:+a=2 4:-a 5:+b=3 > 6");
  EXPECT_EQ(Page(Prefix("", 4)), "4:-a 5:+b=3 > 6");
  EXPECT_EQ(Page(Prefix("b", 2)), "5:+b=3 > 6");
}

TEST_F(WatchHubTest, TheLogOfEventsAnswersLikeTheRing) {
  Put("a", "1");
  Apply({kv::PutOp{"a", "2"}, kv::DeleteOp{kv::Range::Single("a")}});
  Put("b", "3");
  Restart();  // an empty ring
  EXPECT_EQ(hub_->ring_begin(), 6U);
  EXPECT_EQ(Page(Prefix("", 2)), "2:+a=1 3:+a=2 4:-a 5:+b=3 > 6");
  EXPECT_EQ(Page(Prefix("b", 2)), "5:+b=3 > 6");
  EXPECT_GT(log_reads_, 0);
}

TEST_F(WatchHubTest, AFilterLeavesOutPutsOrDeletes) {
  Put("a", "1");
  Delete("a");
  kv::WatchOp op = Prefix("", 2);
  op.puts = false;
  EXPECT_EQ(Page(op), "3:-a > 4");
  op.puts = true;
  op.deletes = false;
  EXPECT_EQ(Page(op), "2:+a=1 > 4");
}

TEST_F(WatchHubTest, ThePreviousValueIsThatOfTheRevisionBefore) {
  Put("a", "1");
  Put("a", "2");
  Delete("a");
  kv::WatchOp op = Prefix("", 2);
  op.previous = true;
  EXPECT_EQ(Page(op), "2:+a=1 3:+a=2(1) 4:-a(2) > 5");
}

TEST_F(WatchHubTest, APageThatIsFullEndsWithinARevisionAndGoesOnThere) {
  std::vector<kv::Operation> operations;
  TxnRequest txn;
  for (int i = 0; i < 5; ++i) txn.success.push_back(Op::Put("k" + std::to_string(i), "v"));
  Apply({kv::TxnOp{txn}});
  Put("z");
  for (const bool from_log : {false, true}) {
    if (from_log) Restart();
    kv::WatchOp op = Prefix("", 2);
    op.max_bytes = 1;
    std::string all;
    while (op.position.next <= Revision()) {
      const auto outcome = Ask(op);
      Run();
      ASSERT_TRUE(outcome->page.has_value());
      ASSERT_TRUE(outcome->page->ok());
      ASSERT_EQ((*outcome->page)->events.size(), 1U);
      all += (*outcome->page)->events.front().kv.key + " ";
      op.position = (*outcome->page)->position;
      op.resumes = true;
    }
    EXPECT_EQ(all, "k0 k1 k2 k3 k4 z ");
  }
}

TEST_F(WatchHubTest, ARingThatIsFullLetsTheOldestGoAndTheLogHasThem) {
  event_bytes_ = 4000;
  for (int i = 0; i < 100; ++i) Put("k", std::string(100, 'v'));
  EXPECT_LE(hub_->ring_bytes(), event_bytes_);
  EXPECT_GT(hub_->ring_begin(), 50U);
  kv::WatchOp op = Single("k", 2);
  std::uint64_t expected = 2;
  while (expected <= Revision()) {
    op.max_bytes = 1000;
    const auto outcome = Ask(op);
    Run();
    ASSERT_TRUE(outcome->page.has_value() && outcome->page->ok());
    for (const WatchEvent& event : (*outcome->page)->events) {
      EXPECT_EQ(event.kv.mod_revision, expected++);
    }
    op.position = (*outcome->page)->position;
  }
}

TEST_F(WatchHubTest, BelowTheBoundIsCompactedAndTheBoundItselfIsNot) {
  Put("a");
  Put("a");
  Delete("a");  // 4
  Put("b");
  Compact(4);
  EXPECT_EQ(Page(Prefix("", 3)), "Compacted");
  EXPECT_EQ(Page(Prefix("a", 4)), "4:-a > 6");
  Restart();
  EXPECT_EQ(Page(Prefix("", 3)), "Compacted");
  EXPECT_EQ(Page(Prefix("a", 4)), "4:-a > 6");
}

TEST_F(WatchHubTest, WhatIsUnderWayIsNotEndedByACompactionWhileItIsInMemory) {
  Put("a");
  Put("a");
  Compact(3);
  kv::WatchOp op = Prefix("", 2);
  op.resumes = true;
  EXPECT_EQ(Page(op), "2:+a=v 3:+a=v > 4");
  Restart();
  EXPECT_EQ(Page(op), "Compacted");
}

TEST_F(WatchHubTest, AFutureRevisionBeginsThereAndNotBefore) {
  const auto future = Ask(Prefix("", 4));
  Put("a", "2");
  Put("a", "3");
  Run();
  EXPECT_EQ(Show(*future), "waits");
  Put("a", "4");
  Run();
  EXPECT_EQ(Show(*future), "4:+a=4 > 5");
}

TEST_F(WatchHubTest, AtTheDeadlineThePositionIsBehindWhatWasNotWanted) {
  const auto quiet = Ask(Single("q", 2), milliseconds(100));
  const auto future = Ask(Single("q", 50), milliseconds(100));
  for (int i = 0; i < 10; ++i) Put("a");
  Run(milliseconds(99));
  EXPECT_EQ(Show(*quiet), "waits");
  Run(milliseconds(2));
  EXPECT_EQ(Show(*quiet), "> 12");
  EXPECT_EQ(Show(*future), "> 50") << "a position is never lowered";
}

TEST_F(WatchHubTest, ProgressNeverOvertakesAnEvent) {
  const auto waits = Ask(Single("a", 2), milliseconds(100));
  Put("a", "1");
  // Late for both: the event was applied before the deadline was looked at.
  clock_.now += milliseconds(200);
  Run();
  const std::string shown = Show(*waits);
  EXPECT_TRUE(shown == "2:+a=1 > 3" || shown == "> 2") << shown;
}

TEST_F(WatchHubTest, AMemberThatMayBeCutOffSaysSoAndTellsItsEventsAllTheSame) {
  cut_off_ = {Code::kUnavailable, "no leader"};
  Put("a");
  EXPECT_EQ(Page(Prefix("", 2)), "2:+a=v > 3");
  const auto waits = Ask(Prefix("", 3), milliseconds(10));
  Run(milliseconds(20));
  EXPECT_EQ(Show(*waits), "Unavailable");
}

TEST_F(WatchHubTest, AfterAnInstallTheRestIsReadFromTheNewLog) {
  Put("a", "1");
  const auto single = Ask(Single("a", 2));
  Run();
  EXPECT_EQ(Show(*single), "2:+a=1 > 3");
  const auto waits = Ask(Single("a", 3));
  const auto future = Ask(Single("a", 9));
  Put("b", "2");
  Run();
  // The member gets the rest as a snapshot: the hub sees no entries.
  log_.Apply({kv::PutOp{"a", "3"}});
  log_.Apply({kv::PutOp{"a", "4"}});
  hub_->OnInstalled(log_.store().revisions());
  EXPECT_EQ(hub_->ring_bytes(), 0U);
  Run();
  EXPECT_EQ(Show(*waits), "4:+a=3 5:+a=4 > 6");
  EXPECT_EQ(Show(*future), "waits");
  Put("a", "5");
  EXPECT_EQ(Page(Single("a", 5)), "5:+a=4 6:+a=5 > 7");
}

TEST_F(WatchHubTest, NowIsBehindEverythingThatIsApplied) {
  Put("a");
  const kv::WatchOp op = Prefix("", 0);
  const auto page = kv::DecodeWatchResponse(hub_->Begin().view(), op);
  ASSERT_TRUE(page.ok()) << page.status().ToString();
  EXPECT_EQ(page->position.next, 3U);
  EXPECT_TRUE(page->events.empty());
}

TEST_F(WatchHubTest, AThousandWatchersCostTheirPositionsAndAreServedInSteps) {
  event_bytes_ = 1 << 20;
  std::vector<std::shared_ptr<Outcome>> outcomes;
  for (int i = 0; i < 1000; ++i) outcomes.push_back(Ask(Prefix("", 2)));
  Put("a");
  hub_->Pump(clock_.now);
  int served = 0;
  for (const auto& outcome : outcomes) served += outcome->page.has_value() ? 1 : 0;
  EXPECT_GT(served, 0);
  EXPECT_LT(served, 100) << "the loop has other things to do";
  Run();
  for (const auto& outcome : outcomes) EXPECT_EQ(Show(*outcome), "2:+a=v > 3");
  EXPECT_EQ(hub_->watchers(), 0U);
  EXPECT_LE(hub_->ring_bytes(), event_bytes_);
}

TEST_F(WatchHubTest, TooManyAreRefused) {
  options_.max_watchers = 2;
  Restart();
  const auto first = Ask(Prefix("", 2));
  const auto second = Ask(Prefix("", 2));
  EXPECT_EQ(Page(Prefix("", 2)), "Unavailable");
  hub_->FailAll({Code::kUnavailable, "stopped"});
  EXPECT_EQ(Show(*first), "Unavailable");
  EXPECT_EQ(Show(*second), "Unavailable");
}

}  // namespace
}  // namespace raftkv::test
