// Whom does a client ask for the next page of a scan, once somebody else leads?
#include <atomic>
#include <chrono>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include <raftkv/client.h>

#include "lib/kv/held_views.h"
#include "lib/kv/store.h"
#include "tests/rpc/server/rpc_fixture.h"
#include "tests/support/node/kv_log.h"

namespace raftkv::rpc {
namespace {

using std::chrono::seconds;

/// A member with three keys, one of which fits on a page.
class ScannedMember {
 public:
  ScannedMember(const std::string& name, std::uint64_t id)
      : views_(id, [this] { return MonoTime(seconds(now_s_)); }), server_(name, id) {
    log_.Apply({kv::PutOp{"a", name}, kv::PutOp{"b", name}, kv::PutOp{"c", name}});
    // Another index, and so another state, on each.
    for (std::uint64_t i = 0; i < id; ++i) log_.Apply({kv::PutOp{"z", ""}});
    server_.On([this](FakeMember& member) {
      member.respond = [this](const Bytes& request) {
        const auto page = kv::Read(log_.engine(), kv::ReadTier::kAll, request.view(),
                                   /*max_bytes=*/1, kv::kMaxVisitedBytes, &views_);
        // A member of today answers Compacted; one of earlier takes no notice of the view.
        return page.ok() ? *page : kv::EncodeReadRequest({});
      };
    });
  }
  int reads() {
    return server_.Get<int>([](FakeMember& member) { return member.reads; });
  }
  void SaysThatItsLeaderIs(const std::string& address) {
    server_.On([&](FakeMember& member) { member.leader_address = address; });
  }
  /// A state that is kept for the next page is not kept that long.
  void LetTimePass() { now_s_ += 60; }
  void Write(const std::string& key) {
    server_.On([&](FakeMember&) { log_.Apply({kv::PutOp{key, "new"}}); });
  }
  void CloseAll() {
    server_.loop().Call([this] { server_.server().CloseAll(); });
  }
  std::size_t connections() { return server_.connections(); }
  const std::string& address() const { return server_.address(); }

 private:
  test::AppliedLog log_;
  std::atomic<int> now_s_{1};
  kv::HeldViews views_;
  TestServer server_;  // ends before what it answers from
};

class ScanKeeper : public testing::Test {
 protected:
  void SetUp() override {
    ClientOptions options;
    options.endpoints = {n1->address(), n2.address()};
    auto client = Client::Connect(options);
    ASSERT_TRUE(client.ok());
    client_ = *std::move(client);
    const auto first = Page("");
    ASSERT_TRUE(first.ok()) << first.status().ToString();
    ASSERT_EQ(first->kvs.at(0).value, "n1");
    continuation_ = first->continuation;
    ASSERT_NE(continuation_, "");
  }
  Result<ScanResult> Page(const std::string& continuation) {
    ScanOptions options;
    options.continuation = continuation;
    return client_->kv().Scan(KeyRange::Prefix(""), options);
  }
  /// From now on all else goes to n2.
  void FollowN2() {
    n1->SaysThatItsLeaderIs(n2.address());
    ASSERT_TRUE(WaitFor([&] {
      const auto get = client_->kv().Get("a");
      return get.ok() && get->value == "n2";
    }));
  }

  std::unique_ptr<ScannedMember> n1 = std::make_unique<ScannedMember>("n1", 11);
  ScannedMember n2{"n2", 12};
  std::unique_ptr<Client> client_;
  std::string continuation_;
};

TEST_F(ScanKeeper, TheNextPageIsAskedOfWhoKeepsItsState) {
  ASSERT_NO_FATAL_FAILURE(FollowN2());
  const int before = n2.reads();
  for (const char* key : {"b", "c"}) {
    const auto page = Page(continuation_);
    ASSERT_TRUE(page.ok()) << page.status().ToString();
    EXPECT_EQ(page->kvs.at(0).key, key);
    EXPECT_EQ(page->kvs.at(0).value, "n1");
    continuation_ = page->continuation;
  }
  EXPECT_EQ(n2.reads(), before);
  const auto get = client_->kv().Get("a");
  ASSERT_TRUE(get.ok()) << get.status().ToString();
  EXPECT_EQ(get->value, "n2") << "that is no page";
}

TEST_F(ScanKeeper, AlsoWhereTheConnectionIsAnotherOne) {
  ASSERT_NO_FATAL_FAILURE(FollowN2());
  n1->CloseAll();
  ASSERT_TRUE(WaitFor([&] { return n1->connections() == 0; }));
  const auto page = Page(continuation_);
  ASSERT_TRUE(page.ok()) << page.status().ToString();
  EXPECT_EQ(page->kvs.at(0).value, "n1");
}

TEST_F(ScanKeeper, AndWhereItIsGoneWhoeverIsThereSaysThatTheStateIsGone) {
  ASSERT_NO_FATAL_FAILURE(FollowN2());
  n1.reset();
  const auto page = Page(continuation_);
  EXPECT_FALSE(page.ok());
  EXPECT_TRUE(page.code() == Code::kCompacted || page.code() == Code::kCorruption)
      << page.status().ToString();
  EXPECT_TRUE(client_->kv().Get("a").ok());
}

/// The keys and values that are left, one after the other.
std::string Rest(RangeIterator& it) {
  std::string rest;
  while (it.Next()) rest += it->key + "=" + it->value + " ";
  return rest;
}

class RangeOfMembers : public ScanKeeper {
 protected:
  RangeIterator Begin(bool reverse = false) {
    ScanOptions options;
    options.reverse = reverse;
    return client_->kv().Range({"a", "d"}, options);
  }
};

TEST_F(RangeOfMembers, AnIteratorShowsOneStateThoughSomebodyElseLeads) {
  RangeIterator it = Begin();
  ASSERT_TRUE(it.Next()) << it.status().ToString();
  const std::uint64_t revision = it.revision();
  n1->Write("c");
  ASSERT_NO_FATAL_FAILURE(FollowN2());
  EXPECT_EQ(Rest(it), "b=n1 c=n1 ");
  EXPECT_TRUE(it.status().ok()) << it.status().ToString();
  EXPECT_EQ(it.revision(), revision);
  EXPECT_EQ(it.count(), 3U);
}

TEST_F(RangeOfMembers, AReverseIteratorShowsOneState) {
  RangeIterator it = Begin(/*reverse=*/true);
  ASSERT_TRUE(it.Next()) << it.status().ToString();
  EXPECT_EQ(it->key, "c");
  n1->Write("a");
  EXPECT_EQ(Rest(it), "b=n1 a=n1 ");
  EXPECT_TRUE(it.status().ok()) << it.status().ToString();
}

TEST_F(RangeOfMembers, AnIteratorOfAConnectionThatBreaksGoesOn) {
  RangeIterator it = Begin();
  ASSERT_TRUE(it.Next());
  n1->CloseAll();
  EXPECT_EQ(Rest(it), "b=n1 c=n1 ");
  EXPECT_TRUE(it.status().ok()) << it.status().ToString();
}

TEST_F(RangeOfMembers, AClientThatFallsBehindIsToldThatTheStateIsGone) {
  RangeIterator it = Begin();
  ASSERT_TRUE(it.Next());
  ASSERT_TRUE(WaitFor([&] { return n1->reads() >= 3; })) << "one page ahead";
  n1->LetTimePass();
  n1->Write("c");
  std::string rest;
  while (it.Next()) {
    EXPECT_EQ(it->value, "n1");
    rest += it->key;
  }
  EXPECT_EQ(rest, "b") << "what was fetched ahead is still shown";
  EXPECT_FALSE(it.status().ok());
}

TEST_F(RangeOfMembers, AnIteratorWhoseMemberIsGoneEndsAndMixesNothing) {
  RangeIterator it = Begin();
  ASSERT_TRUE(it.Next());
  n1.reset();
  while (it.Next()) EXPECT_EQ(it->value, "n1");
  EXPECT_FALSE(it.status().ok());
}

}  // namespace
}  // namespace raftkv::rpc
