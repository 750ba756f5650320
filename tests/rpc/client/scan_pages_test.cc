// Does a scan go on at another member, once somebody else leads or the one that answered is gone?
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include <raftkv/client.h>

#include "lib/kv/store.h"
#include "tests/rpc/server/rpc_fixture.h"
#include "tests/support/node/kv_log.h"

namespace raftkv::rpc {
namespace {

/// A member with three keys, one of which fits on a page, and a fourth that says who it is.
class ScannedMember {
 public:
  ScannedMember(const std::string& name, std::uint64_t id) : server_(name, id) {
    log_.Apply({kv::PutOp{"a", "old"}, kv::PutOp{"b", "old"}, kv::PutOp{"c", "old"}});
    log_.Apply({kv::PutOp{"who", name}});
    server_.On([this](FakeMember& member) {
      member.respond = [this](const Bytes& request) {
        const auto page = kv::Read(log_.engine(), kv::ReadTier::kAll, request.view(),
                                   /*max_bytes=*/1);
        EXPECT_TRUE(page.ok()) << page.status().ToString();
        return page.ok() ? *page : kv::EncodeReadRequest({});
      };
    });
  }
  void SaysThatItsLeaderIs(const std::string& address) {
    server_.On([&](FakeMember& member) { member.leader_address = address; });
  }
  void Write(const std::string& key) {
    server_.On([&](FakeMember&) { log_.Apply({kv::PutOp{key, "new"}}); });
  }
  int reads() {
    return server_.Get<int>([](FakeMember& member) { return member.reads; });
  }
  void CloseAll() {
    server_.loop().Call([this] { server_.server().CloseAll(); });
  }
  const std::string& address() const { return server_.address(); }

 private:
  test::AppliedLog log_;
  TestServer server_;  // ends before what it answers from
};

class ScanPages : public testing::Test {
 protected:
  void SetUp() override {
    ClientOptions options;
    options.endpoints = {n1->address(), n2.address()};
    options.connections = connections_;
    auto client = Client::Connect(options);
    ASSERT_TRUE(client.ok());
    client_ = *std::move(client);
    const auto first = Page("");
    ASSERT_TRUE(first.ok()) << first.status().ToString();
    continuation_ = first->continuation;
    ASSERT_NE(continuation_, "");
  }
  Result<ScanResult> Page(const std::string& continuation) {
    ScanOptions options;
    options.continuation = continuation;
    return client_->kv().Scan({"a", "d"}, options);
  }
  /// From now on all goes to n2.
  void FollowN2() {
    n1->SaysThatItsLeaderIs(n2.address());
    ASSERT_TRUE(WaitFor([&] {
      const auto get = client_->kv().Get("who");
      return get.ok() && get->value == "n2";
    }));
  }
  RangeIterator Begin(bool reverse = false) {
    ScanOptions options;
    options.reverse = reverse;
    return client_->kv().Range({"a", "d"}, options);
  }
  /// The keys and values that are left, one after the other.
  static std::string Rest(RangeIterator& it) {
    std::string rest;
    while (it.Next()) rest += it->key + "=" + it->value + " ";
    return rest;
  }

  int connections_ = 1;
  std::unique_ptr<ScannedMember> n1 = std::make_unique<ScannedMember>("n1", 11);
  ScannedMember n2{"n2", 12};
  std::unique_ptr<Client> client_;
  std::string continuation_;
};

TEST_F(ScanPages, TheNextOneIsAskedOfWhoLeadsByThen) {
  ASSERT_NO_FATAL_FAILURE(FollowN2());
  const int before = n1->reads();
  for (const char* key : {"b", "c"}) {
    n2.Write(key);
    const auto page = Page(continuation_);
    ASSERT_TRUE(page.ok()) << page.status().ToString();
    EXPECT_EQ(page->kvs.at(0).key, key);
    EXPECT_EQ(page->kvs.at(0).value, "old");
    continuation_ = page->continuation;
  }
  EXPECT_EQ(continuation_, "");
  EXPECT_EQ(n1->reads(), before);
}

TEST_F(ScanPages, AlsoWhereWhoAnsweredBeforeIsGone) {
  ASSERT_NO_FATAL_FAILURE(FollowN2());
  n1.reset();
  n2.Write("b");
  const auto page = Page(continuation_);
  ASSERT_TRUE(page.ok()) << page.status().ToString();
  EXPECT_EQ(page->kvs.at(0).value, "old");
}

TEST_F(ScanPages, AnIteratorShowsOneStateThoughSomebodyElseLeads) {
  RangeIterator it = Begin();
  ASSERT_TRUE(it.Next()) << it.status().ToString();
  const std::uint64_t revision = it.revision();
  n1->Write("c");
  n2.Write("b");
  ASSERT_NO_FATAL_FAILURE(FollowN2());
  EXPECT_EQ(Rest(it), "b=old c=old ");
  EXPECT_TRUE(it.status().ok()) << it.status().ToString();
  EXPECT_EQ(it.revision(), revision);
  EXPECT_EQ(it.count(), 3U);
}

TEST_F(ScanPages, AReverseIteratorShowsOneState) {
  RangeIterator it = Begin(/*reverse=*/true);
  ASSERT_TRUE(it.Next()) << it.status().ToString();
  EXPECT_EQ(it->key, "c");
  n1->Write("a");
  EXPECT_EQ(Rest(it), "b=old a=old ");
  EXPECT_TRUE(it.status().ok()) << it.status().ToString();
}

TEST_F(ScanPages, AnIteratorOfAConnectionThatBreaksGoesOn) {
  RangeIterator it = Begin();
  ASSERT_TRUE(it.Next());
  n1->CloseAll();
  EXPECT_EQ(Rest(it), "b=old c=old ");
  EXPECT_TRUE(it.status().ok()) << it.status().ToString();
}

TEST_F(ScanPages, AnIteratorWhoseMemberIsGoneGoesOnAtAnother) {
  RangeIterator it = Begin();
  ASSERT_TRUE(it.Next());
  n1.reset();
  n2.Write("c");
  EXPECT_EQ(Rest(it), "b=old c=old ");
  EXPECT_TRUE(it.status().ok()) << it.status().ToString();
}

class ScanOverConnections : public ScanPages {
 protected:
  ScanOverConnections() { connections_ = 3; }
};

TEST_F(ScanOverConnections, EachPageMayComeOverAnother) {
  n1->Write("b");
  RangeIterator it = Begin();
  n1->Write("c");
  EXPECT_EQ(Rest(it).substr(0, 12), "a=old b=new ");
  EXPECT_TRUE(it.status().ok()) << it.status().ToString();
  const auto page = Page(continuation_);
  ASSERT_TRUE(page.ok()) << page.status().ToString();
  EXPECT_EQ(page->kvs.at(0).value, "old");
}

}  // namespace
}  // namespace raftkv::rpc
