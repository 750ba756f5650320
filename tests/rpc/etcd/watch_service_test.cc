// Does a stream of watchers behave as one of etcd?
#include "rpc/etcd/watch_service.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "rpc/etcd/watch_answers.h"
#include "tests/rpc/etcd/streams_fixture.h"

namespace raftkv::etcd {
namespace {

constexpr char kWatchPath[] = "/etcdserverpb.Watch/Watch";

class WatchServiceTest : public StreamsTest {
 protected:
  static WatchRequest Create(const std::string& key, std::int64_t start_revision = 0) {
    WatchRequest request;
    WatchCreateRequest& create = request.create_request.emplace();
    create.key = key;
    create.start_revision = start_revision;
    return request;
  }
  static WatchRequest CreateAs(std::int64_t id, const std::string& key) {
    WatchRequest request = Create(key);
    request.create_request->watch_id = id;
    return request;
  }
  static WatchRequest CancelOf(std::int64_t id) {
    WatchRequest request;
    request.cancel_request.emplace().watch_id = id;
    return request;
  }
  static WatchRequest Progress() {
    WatchRequest request;
    request.progress_request.emplace();
    return request;
  }

  /// Everything that was answered so far.
  std::vector<WatchResponse> All(OpenedCall& call) {
    std::vector<WatchResponse> answers;
    On([&] {
      for (std::size_t i = 0; i < call.record->sent.size(); ++i) {
        answers.push_back(call.Answer<WatchResponse>(i));
      }
    });
    return answers;
  }
  /// The answer number `at`, once it is there.
  WatchResponse Wait(OpenedCall& call, std::size_t at) {
    EXPECT_TRUE(AwaitAnswers(call, at + 1)) << "there is no answer " << at;
    return At<WatchResponse>(call, at);
  }

  /// "2@5: +a=x -b" of the watcher 2, with 5 in the header; "2@5: created", "... progress".
  static std::string Show(const WatchResponse& answer) {
    std::string text = std::to_string(answer.watch_id) + "@" +
                       std::to_string(answer.header.value_or(ResponseHeader()).revision) + ":";
    if (answer.created) text += " created";
    if (answer.canceled) text += " canceled";
    if (answer.compact_revision != 0) {
      text += " compacted " + std::to_string(answer.compact_revision);
    }
    if (!answer.cancel_reason.empty()) text += " (" + answer.cancel_reason + ")";
    for (const Event& event : answer.events) {
      const bool is_delete = event.type == EventTypeNames::kDelete;
      text += is_delete ? " -" : " +";
      text += event.kv->key;
      if (!is_delete) text += "=" + event.kv->value;
      if (event.prev_kv.has_value()) text += "/" + event.prev_kv->value;
    }
    if (answer.fragment) text += " ...";
    const bool is_progress = answer.events.empty() && !answer.created && !answer.canceled;
    return is_progress ? text + " progress" : text;
  }

  /// The system under test decides when a client that is not there would have read.
  void SetUnread(OpenedCall& call, std::size_t bytes) {
    On([&] { call.record->queued = bytes; });
  }
};

TEST_F(WatchServiceTest, CreatedComesFirstAndEveryEventFollows) {
  Start();
  Put("a", "old");
  OpenedCall& call = Open(kWatchPath);
  Say(call, Create("a"));
  EXPECT_EQ(Show(Wait(call, 0)), "0@2: created");
  Put("b", "other");
  Put("a", "new");
  Delete("a");
  EXPECT_EQ(Show(Wait(call, 1)), "0@4: +a=new");
  const WatchResponse deleted = Wait(call, 2);
  EXPECT_EQ(Show(deleted), "0@5: -a");
  EXPECT_EQ(deleted.events[0].kv->mod_revision, 5);
  EXPECT_EQ(deleted.events[0].kv->create_revision, 0);
}

TEST_F(WatchServiceTest, ItsWritesAreSeenFromTheMomentItIsCreated) {
  Start();
  OpenedCall& call = Open(kWatchPath);
  Say(call, Create("a"));
  Say(call, Create("b"));
  EXPECT_EQ(Show(Wait(call, 0)), "0@1: created");
  EXPECT_EQ(Show(Wait(call, 1)), "1@1: created");
  Put("b", "x");
  EXPECT_EQ(Show(Wait(call, 2)), "1@2: +b=x");
}

TEST_F(WatchServiceTest, IdsAreThoseOfEtcd) {
  Start();
  OpenedCall& call = Open(kWatchPath);
  Say(call, Create("a"));
  Say(call, CreateAs(2, "a"));
  Say(call, CreateAs(2, "a"));
  Say(call, Create("a"));
  Say(call, Create("a"));
  ASSERT_TRUE(AwaitAnswers(call, 5));
  const auto answers = All(call);
  EXPECT_EQ(answers[0].watch_id, 0);
  EXPECT_EQ(answers[1].watch_id, 2);
  EXPECT_EQ(Show(answers[2]),
            "-1@1: created canceled (mvcc: duplicate watch ID provided on the WatchStream)");
  EXPECT_EQ(answers[3].watch_id, 1);
  EXPECT_EQ(answers[4].watch_id, 3) << "2 is taken";
}

TEST_F(WatchServiceTest, WhatEtcdRefusesIsRefused) {
  Start();
  OpenedCall& call = Open(kWatchPath);
  Say(call, Create("a", -3));
  WatchRequest empty = Create("b");
  empty.create_request->range_end = "a";
  Say(call, empty);
  Say(call, Create(std::string(70'000, 'k')));
  ASSERT_TRUE(AwaitAnswers(call, 3));
  const auto answers = All(call);
  EXPECT_EQ(Show(answers[0]),
            "-1@1: created canceled (etcdserver: mvcc: required revision has been compacted)");
  EXPECT_EQ(Show(answers[1]), "-1@1: created canceled (mvcc: watcher range is empty)");
  EXPECT_EQ(Show(answers[2]), "-1@1: created canceled (etcdserver: request is too large)");
}

TEST_F(WatchServiceTest, TheFirstWatcherIsCanceledByItsNumberZero) {
  Start();
  OpenedCall& call = Open(kWatchPath);
  Say(call, Create("a"));
  EXPECT_EQ(Show(Wait(call, 0)), "0@1: created");
  Say(call, CancelOf(7));
  Say(call, CancelOf(0));
  EXPECT_EQ(Show(Wait(call, 1)), "0@1: canceled") << "an unknown one has no answer";
  Put("a", "x");
  Say(call, Create("b"));
  EXPECT_EQ(Show(Wait(call, 2)), "1@2: created");
}

TEST_F(WatchServiceTest, AnEmptyKeyWithAnOpenEndIsEverything) {
  Start();
  OpenedCall& call = Open(kWatchPath);
  WatchRequest all = Create("");
  all.create_request->range_end = std::string(1, '\0');
  Say(call, all);
  EXPECT_EQ(Show(Wait(call, 0)), "0@1: created");
  Put("zz", "x");
  EXPECT_EQ(Show(Wait(call, 1)), "0@2: +zz=x");
}

TEST_F(WatchServiceTest, ThePastIsToldByWholeRevisions) {
  Start();
  Put("a", "1");
  const std::int64_t both = PutTogether({"a", "b"}, "2");
  Put("a", "3");
  OpenedCall& call = Open(kWatchPath);
  WatchRequest all = Create("a", both);
  all.create_request->range_end = "c";
  Say(call, all);
  EXPECT_EQ(Show(Wait(call, 0)), "0@4: created");
  std::vector<std::string> events;
  ASSERT_TRUE(Await([&] {
    std::size_t seen = 0;
    for (std::size_t i = 1; i < call.record->sent.size(); ++i) {
      seen += call.Answer<WatchResponse>(i).events.size();
    }
    return seen >= 3;
  }));
  for (const WatchResponse& answer : All(call)) {
    EXPECT_GE(answer.header->revision, 4) << "not below its events, and the member's own";
    for (const Event& event : answer.events) {
      events.push_back(event.kv->key + std::to_string(event.kv->mod_revision));
    }
  }
  EXPECT_EQ(events, (std::vector<std::string>{"a3", "b3", "a4"}));
}

TEST_F(WatchServiceTest, AFutureRevisionIsWaitedFor) {
  Start();
  OpenedCall& call = Open(kWatchPath);
  Say(call, Create("a", 4));
  EXPECT_EQ(Show(Wait(call, 0)), "0@1: created");
  Put("a", "2");
  Put("a", "3");
  Put("a", "4");
  EXPECT_EQ(Show(Wait(call, 1)), "0@4: +a=4");
}

TEST_F(WatchServiceTest, ACompactedBeginningEndsTheWatcherWithTheBound) {
  Start();
  for (const char* value : {"2", "3", "4", "5"}) Put("a", value);
  Compact(4);
  OpenedCall& call = Open(kWatchPath);
  Say(call, Create("a", 3));
  EXPECT_EQ(Show(Wait(call, 0)), "0@5: created");
  EXPECT_EQ(Show(Wait(call, 1)),
            "0@0: canceled compacted 4 (etcdserver: mvcc: required revision has been compacted)");
  Say(call, Create("a", 4));
  EXPECT_EQ(Show(Wait(call, 2)), "1@5: created") << "the stream goes on";
  EXPECT_EQ(Show(Wait(call, 3)).substr(0, 9), "1@5: +a=4") << "the bound itself is kept";
}

TEST_F(WatchServiceTest, FiltersAndPreviousValues) {
  Start();
  Put("a", "old");
  OpenedCall& call = Open(kWatchPath);
  WatchRequest deletes = Create("a");
  deletes.create_request->filters = {FilterTypeNames::kNoPut};
  deletes.create_request->prev_kv = true;
  Say(call, deletes);
  WatchRequest nothing = Create("a");
  nothing.create_request->filters = {FilterTypeNames::kNoPut, FilterTypeNames::kNoDelete};
  Say(call, nothing);
  ASSERT_TRUE(AwaitAnswers(call, 2));
  Put("a", "new");
  Delete("a");
  EXPECT_EQ(Show(Wait(call, 2)), "0@4: -a/new");
  Say(call, Progress());
  EXPECT_EQ(Show(Wait(call, 3)), "-1@4: progress") << "one without events is in no one's way";
}

TEST_F(WatchServiceTest, ProgressNeverOvertakesAnEvent) {
  Start();
  OpenedCall& call = Open(kWatchPath);
  Say(call, Create("a"));
  Say(call, Create("quiet"));
  ASSERT_TRUE(AwaitAnswers(call, 2));
  std::size_t at = 2;
  for (int round = 0; round < 50; ++round) {
    // Nobody waits for the put: request, event and notice are on their way together.
    const std::string value = std::to_string(round);
    PutRequest put;
    put.key = "a";
    put.value = value;
    Ask("/etcdserverpb.KV/Put", put);
    Say(call, Progress());
    const WatchResponse first = Wait(call, at);
    const WatchResponse second = Wait(call, at + 1);
    at += 2;
    const WatchResponse& progress = first.events.empty() ? first : second;
    const WatchResponse& event = first.events.empty() ? second : first;
    ASSERT_EQ(progress.watch_id, -1);
    ASSERT_EQ(event.events.size(), 1U);
    const bool told_before = !first.events.empty();
    if (progress.header->revision >= event.events[0].kv->mod_revision) {
      EXPECT_TRUE(told_before) << Show(first) << ", " << Show(second);
    }
  }
}

TEST_F(WatchServiceTest, ProgressWaitsForAMemberThatCannotTell) {
  Start();
  OpenedCall& call = Open(kWatchPath);
  Say(call, Create("a"));
  ASSERT_TRUE(AwaitAnswers(call, 1));
  Put("b", "x");
  On([&] { channel_->cut_off = Status(Code::kUnavailable, "no leader"); });
  Say(call, Progress());
  // check:allow sleep: nothing is to happen meanwhile
  std::this_thread::sleep_for(std::chrono::milliseconds(60));
  EXPECT_EQ(AnswersOf(call), 1U);
  On([&] { channel_->cut_off = Status::Ok(); });
  EXPECT_EQ(Show(Wait(call, 1)), "-1@2: progress");
}

TEST_F(WatchServiceTest, AQuietWatcherThatAskedForItIsToldItsProgress) {
  ServicesOptions options;
  options.watch.progress_interval = std::chrono::milliseconds(40);
  options.watch.page_timeout = std::chrono::milliseconds(20);
  Start(options);
  OpenedCall& call = Open(kWatchPath);
  WatchRequest notified = Create("a");
  notified.create_request->progress_notify = true;
  Say(call, notified);
  Say(call, Create("a"));
  ASSERT_TRUE(AwaitAnswers(call, 2));
  Put("b", "x");
  ASSERT_TRUE(Await([&] {
    return call.Answer<WatchResponse>(call.record->sent.size() - 1).header->revision == 2;
  }));
  for (const WatchResponse& answer : All(call)) {
    EXPECT_EQ(answer.watch_id, answer.created ? answer.watch_id : 0);
  }
}

TEST_F(WatchServiceTest, ALargeRevisionIsCutIntoFragmentsForWhoTakesThem) {
  ServicesOptions options;
  options.watch.fragment_bytes = 1000;
  Start(options);
  OpenedCall& call = Open(kWatchPath);
  WatchRequest whole = Create("a");
  whole.create_request->range_end = "b";
  WatchRequest cut = whole;
  cut.create_request->fragment = true;
  Say(call, whole);
  Say(call, cut);
  ASSERT_TRUE(AwaitAnswers(call, 2));
  std::vector<std::string> keys;
  for (char c = 'a'; c < 'k'; ++c) keys.push_back(std::string("a") + c);
  PutTogether(keys, std::string(300, 'v'));
  ASSERT_TRUE(Await([&] {
    std::size_t seen = 0;
    for (std::size_t i = 2; i < call.record->sent.size(); ++i) {
      seen += call.Answer<WatchResponse>(i).events.size();
    }
    return seen == 20;
  }));
  std::size_t pieces = 0;
  std::int64_t open = -1;  // the watcher whose fragments are being sent
  for (const WatchResponse& answer : All(call)) {
    if (answer.created) continue;
    if (open >= 0) {
      EXPECT_EQ(answer.watch_id, open) << "nothing comes between the fragments";
    }
    open = answer.fragment ? answer.watch_id : -1;
    if (answer.watch_id == 0) {
      EXPECT_EQ(answer.events.size(), 10U);
    }
    pieces += answer.watch_id == 1;
  }
  EXPECT_GE(pieces, 4U);
  EXPECT_EQ(open, -1);
}

TEST_F(WatchServiceTest, ARevisionOfSeveralPagesIsOneAnswer) {
  ServicesOptions options;
  options.watch.max_gathering = 1;
  Start(options);
  OpenedCall& call = Open(kWatchPath);
  WatchRequest range = Create("a");
  range.create_request->range_end = "b";
  // Each has to wait for its turn.
  for (int i = 0; i < 3; ++i) Say(call, range);
  ASSERT_TRUE(AwaitAnswers(call, 3));
  PutTogether({"a1", "a2", "a3", "a4", "a5"}, std::string(400'000, 'v'));
  ASSERT_TRUE(AwaitAnswers(call, 6));
  std::vector<std::int64_t> told;
  for (const WatchResponse& answer : All(call)) {
    if (answer.created) continue;
    EXPECT_EQ(answer.events.size(), 5U);
    told.push_back(answer.watch_id);
  }
  std::sort(told.begin(), told.end());
  EXPECT_EQ(told, (std::vector<std::int64_t>{0, 1, 2}));
}

TEST_F(WatchServiceTest, ARevisionBeyondTheBoundIsSplit) {
  ServicesOptions options;
  options.watch.max_answer_bytes = 1'000'000;
  Start(options);
  OpenedCall& call = Open(kWatchPath);
  WatchRequest range = Create("a");
  range.create_request->range_end = "b";
  Say(call, range);
  ASSERT_TRUE(AwaitAnswers(call, 1));
  PutTogether({"a1", "a2", "a3", "a4", "a5"}, std::string(400'000, 'v'));
  std::vector<std::string> keys;
  ASSERT_TRUE(Await([&] {
    keys.clear();
    for (std::size_t i = 1; i < call.record->sent.size(); ++i) {
      for (const Event& event : call.Answer<WatchResponse>(i).events) keys.push_back(event.kv->key);
    }
    return keys.size() >= 5;
  }));
  EXPECT_EQ(keys, (std::vector<std::string>{"a1", "a2", "a3", "a4", "a5"}));
  EXPECT_GE(AnswersOf(call), 3U);
}

TEST_F(WatchServiceTest, AClientThatDoesNotReadIsToldEverythingOnceItDoes) {
  Start();
  OpenedCall& call = Open(kWatchPath);
  Say(call, Create("a"));
  Say(call, Create("b"));
  ASSERT_TRUE(AwaitAnswers(call, 2));
  SetUnread(call, Sink::kMaxQueuedBytes);
  for (int i = 0; i < 5; ++i) {
    Put("a", std::to_string(i));
    Put("b", std::to_string(i));
  }
  Say(call, Create("c"));
  Say(call, Progress());
  EXPECT_EQ(AnswersOf(call), 2U) << "not even the answer to a request";
  SetUnread(call, 0);
  On([&] { call.handler->OnDrained(); });
  std::string a;
  std::string b;
  bool created = false;
  bool progress = false;
  ASSERT_TRUE(Await([&] {
    a.clear();
    b.clear();
    for (std::size_t i = 2; i < call.record->sent.size(); ++i) {
      const auto answer = call.Answer<WatchResponse>(i);
      created = created || answer.created;
      progress = progress || answer.watch_id == -1;
      for (const Event& event : answer.events) {
        (event.kv->key == "a" ? a : b) += event.kv->value;
      }
    }
    return a.size() + b.size() >= 10 && created && progress;
  }));
  EXPECT_EQ(a, "01234");
  EXPECT_EQ(b, "01234");
}

TEST_F(WatchServiceTest, WatchersAreBounded) {
  ServicesOptions options;
  options.watch.max_watchers_a_stream = 2;
  options.watch.max_watchers = 3;
  options.watch.page_timeout = std::chrono::milliseconds(20);
  Start(options);
  OpenedCall& first = Open(kWatchPath);
  for (int i = 0; i < 3; ++i) Say(first, Create("a"));
  EXPECT_EQ(Show(Wait(first, 2)), "-1@1: created canceled (etcdserver: too many requests)");
  OpenedCall& second = Open(kWatchPath);
  for (int i = 0; i < 2; ++i) Say(second, Create("a"));
  EXPECT_EQ(Show(Wait(second, 0)), "0@1: created");
  EXPECT_EQ(Show(Wait(second, 1)), "-1@1: created canceled (etcdserver: too many requests)");
  Drop(first);
  std::size_t asked = 1;
  ASSERT_TRUE(rpc::WaitFor([&] {
    Say(second, Create("a"));
    return Wait(second, ++asked).watch_id >= 0;
  })) << "what a stream that has ended took is free again";
}

TEST_F(WatchServiceTest, RequestsWithoutEndEndTheStream) {
  Start();
  OpenedCall& call = Open(kWatchPath);
  SetUnread(call, Sink::kMaxQueuedBytes);
  On([&] {
    for (int i = 0; i < 5000 && !call.record->outcome.has_value(); ++i) call.Ask(Create("a"));
  });
  EXPECT_EQ(EndOf(call), Outcome(kTooManyRequests));
}

TEST_F(WatchServiceTest, AStreamThatInsistsOnALeaderEndsWithoutOne) {
  ServicesOptions options;
  options.election_timeout = std::chrono::milliseconds(10);
  Start(options);
  CallContext insists;
  insists.needs_leader = true;
  OpenedCall& call = Open(kWatchPath, insists);
  OpenedCall& patient = Open(kWatchPath);
  Say(call, Create("a"));
  Say(patient, Create("a"));
  ASSERT_TRUE(AwaitAnswers(call, 1));
  ASSERT_TRUE(AwaitAnswers(patient, 1));
  On([&] { status_.leader.clear(); });
  ASSERT_TRUE(AwaitEnd(call));
  EXPECT_EQ(EndOf(call), Outcome(kNoLeader));
  OpenedCall& late = Open(kWatchPath, insists);
  ASSERT_TRUE(AwaitEnd(late));
  EXPECT_EQ(EndOf(late), Outcome(kNoLeader));
  On([&] { status_.leader = "n1"; });
  Put("a", "x");
  EXPECT_EQ(Show(Wait(patient, 1)), "0@2: +a=x") << "the others go on";
}

TEST(WatchAnswers, AnEventThatIsLargerThanAFragmentIsOneOfItsOwn) {
  std::vector<WatchEvent> events(3);
  for (WatchEvent& event : events) event.kv.value = std::string(100, 'v');
  const auto answers = AnswersOf({}, 5, events, 10);
  ASSERT_EQ(answers.size(), 3U);
  EXPECT_TRUE(answers[0].fragment);
  EXPECT_TRUE(answers[1].fragment);
  EXPECT_FALSE(answers[2].fragment);
  EXPECT_EQ(AnswersOf({}, 5, events, 0).size(), 1U);
}

}  // namespace
}  // namespace raftkv::etcd
