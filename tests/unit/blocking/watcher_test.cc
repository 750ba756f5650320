// Does a watch hand out whole revisions, once each, whatever pages it gets?
#include <chrono>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <raftkv/watch.h>

#include "lib/blocking/watch_pages.h"
#include "tests/support/node/idle_kv.h"

namespace raftkv {
namespace {

using std::chrono::milliseconds;

WatchEvent Event(std::uint64_t revision, const std::string& key) {
  WatchEvent event;
  event.kv.key = key;
  event.kv.mod_revision = revision;
  return event;
}

std::string Show(const std::deque<WatchResponse>& responses) {
  std::string text;
  for (const WatchResponse& response : responses) {
    text += std::to_string(response.revision) + "[";
    for (const WatchEvent& event : response.events) text += event.kv.key;
    text += response.more ? "..] " : "] ";
  }
  return text;
}

TEST(WatchPages, EventsOfARevisionStayTogetherOverPages) {
  WatchPages pages(2, /*tells_progress=*/false);
  std::deque<WatchResponse> out;
  pages.Take({{Event(2, "a"), Event(3, "b")}, {.next = 3, .delivered = 1}, 9}, out);
  EXPECT_EQ(Show(out), "2[a] ");
  pages.Take({{Event(3, "c"), Event(4, "d")}, {.next = 5, .delivered = 0}, 9}, out);
  EXPECT_EQ(Show(out), "2[a] 3[bc] 4[d] ");
  // The last one was the last of its revision, which only the next page says.
  pages.Take({{Event(5, "e")}, {.next = 5, .delivered = 1}, 9}, out);
  pages.Take({{}, {.next = 10, .delivered = 0}, 9}, out);
  EXPECT_EQ(Show(out), "2[a] 3[bc] 4[d] 5[e] ");
}

TEST(WatchPages, ARevisionBeyondTheBoundIsSplitAndSaysSo) {
  WatchPages pages(2, false, /*max_response_bytes=*/1);
  std::deque<WatchResponse> out;
  pages.Take({{Event(2, "a"), Event(2, "b"), Event(3, "c")}, {.next = 4, .delivered = 0}, 3}, out);
  EXPECT_EQ(Show(out), "2[a..] 2[b] 3[c] ");
}

TEST(WatchPages, ProgressIsToldInOrderAndOnlyWhereItIsTrue) {
  WatchPages pages(0, /*tells_progress=*/true);
  std::deque<WatchResponse> out;
  pages.Take({{}, {.next = 5, .delivered = 0}, 4}, out);
  EXPECT_EQ(Show(out), "4[] ");
  // A member that is behind.
  pages.Take({{}, {.next = 5, .delivered = 0}, 3}, out);
  EXPECT_EQ(Show(out), "4[] ");
  pages.Take({{Event(6, "a")}, {.next = 7, .delivered = 0}, 6}, out);
  pages.Take({{}, {.next = 8, .delivered = 0}, 7}, out);
  EXPECT_EQ(Show(out), "4[] 6[a] 7[] ");
}

/// Only answers pages, from a script.
class ScriptedKv final : public test::IdleKv {
 public:
  void WatchPageAsync(KeyRange, WatchPageOptions options, Callback<WatchPage> done) override {
    asked.push_back(options);
    open = std::move(done);
  }

  void Answer(Result<WatchPage> page) { std::exchange(open, nullptr)(std::move(page)); }

  std::vector<WatchPageOptions> asked;
  Callback<WatchPage> open;
};

TEST(Watcher, AFailureThatPassesIsAskedAgainAtTheSamePosition) {
  ScriptedKv kv;
  Watcher watcher = kv.Watch(KeyRange::Prefix(""), {});
  EXPECT_FALSE(watcher.begun());
  kv.Answer(WatchPage{{}, {.next = 7, .delivered = 0}, 6});
  EXPECT_TRUE(watcher.begun());
  auto response = watcher.Next(milliseconds(0));
  ASSERT_TRUE(response.ok());
  EXPECT_TRUE(response->is_progress()) << "it confirms the watch";
  EXPECT_EQ(watcher.Next(milliseconds(0)).code(), Code::kDeadlineExceeded);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(kv.open) << i;
    kv.Answer(Status(Code::kDeadlineExceeded, "nobody is there"));
  }
  EXPECT_EQ(kv.asked.back().position.next, 7U);
  EXPECT_TRUE(kv.asked.back().resumes);
  const auto late = watcher.Next(milliseconds(0));
  EXPECT_NE(late.status().message().find("nobody is there"), std::string::npos);
  kv.Answer(WatchPage{{Event(7, "a"), Event(8, "b")}, {.next = 9, .delivered = 0}, 8});
  EXPECT_EQ(watcher.Next(milliseconds(0))->revision, 7U);
  EXPECT_FALSE(kv.open) << "the next page is asked for once this one is taken";
  EXPECT_EQ(watcher.Next(milliseconds(0))->revision, 8U);
  EXPECT_EQ(watcher.Next(milliseconds(0)).code(), Code::kDeadlineExceeded);
  EXPECT_EQ(kv.asked.back().position.next, 9U);
}

TEST(Watcher, TheEndStays) {
  ScriptedKv kv;
  WatchOptions options;
  options.revision = 3;
  Watcher watcher = kv.Watch(KeyRange::Single("a"), options);
  EXPECT_EQ(kv.asked.back().position.next, 3U);
  kv.Answer(Status(Code::kCompacted, "revision 3 has been compacted"));
  EXPECT_EQ(watcher.Next(milliseconds(0)).code(), Code::kCompacted);
  EXPECT_EQ(watcher.Next(milliseconds(0)).code(), Code::kCompacted);
  EXPECT_EQ(kv.asked.size(), 1U);
}

TEST(Watcher, ACallbackIsCalledForEachResponseAndForTheEnd) {
  ScriptedKv kv;
  std::deque<WatchResponse> seen;
  Status end;
  WatchOptions options;
  options.revision = 2;
  Watcher watcher =
      kv.Watch(KeyRange::Prefix(""), options, [&](const Result<WatchResponse>& response) {
        if (response.ok()) {
          seen.push_back(*response);
        } else {
          end = response.status();
        }
      });
  EXPECT_EQ(watcher.Next(milliseconds(0)).code(), Code::kInvalidArgument);
  kv.Answer(WatchPage{{Event(2, "a"), Event(3, "b")}, {.next = 4, .delivered = 0}, 3});
  EXPECT_EQ(Show(seen), "2[a] 3[b] ");
  kv.Answer(Status(Code::kCancelled, "closed"));
  EXPECT_EQ(end.code(), Code::kCancelled);
}

TEST(Watcher, NothingIsCalledOnceItIsGone) {
  ScriptedKv kv;
  int calls = 0;
  {
    Watcher watcher = kv.Watch(KeyRange::Prefix(""), {}, [&](const auto&) { ++calls; });
  }
  kv.Answer(WatchPage{{}, {.next = 7, .delivered = 0}, 6});
  EXPECT_EQ(calls, 0);
  EXPECT_FALSE(kv.open);
}

}  // namespace
}  // namespace raftkv
