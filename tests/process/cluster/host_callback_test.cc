// What may a callback of the host do: throw, block, and let go of what it was called by?
#include <atomic>
#include <chrono>
#include <fstream>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <raftkv/backup.h>
#include <raftkv/in_process_network.h>

#include "tests/process/cluster/host_code.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;

/// Every second callback throws; all the others still get their answers.
void ThrowAndCount(KV& kv) {
  std::atomic<int> answered{0};
  std::atomic<int> called{0};
  constexpr int kCalls = 40;
  for (int i = 0; i < kCalls; ++i) {
    kv.PutAsync("k" + std::to_string(i), "v", {kPatience}, [&, i](const Result<WriteResult>& put) {
      ++called;
      if (i % 4 == 0) throw std::runtime_error("by the host");
      if (i % 4 == 2) throw 7;
      if (put.ok()) ++answered;
    });
  }
  ASSERT_TRUE(WaitFor(kPatience, [&] { return called == kCalls; }));
  EXPECT_TRUE(WaitFor(kPatience, [&] { return answered == kCalls / 2; })) << answered;
  // Refused at once, on this thread; and a read.
  kv.PutAsync("", "v", {}, [](const Result<WriteResult>&) { throw std::runtime_error("early"); });
  kv.GetAsync("k1", {kPatience}, [](const Result<KeyValue>&) { throw std::runtime_error("read"); });
  kv.GetAsync("k1", {kPatience}, nullptr);
  EXPECT_EQ(kv.Get("k1", {kPatience})->value, "v");
}

TEST_F(HostCode, ACallbackOfANodeMayThrow) {
  OpenNode();
  ThrowAndCount(node_->kv());
  EXPECT_NE(Said().find("by the host"), std::string::npos) << Said();
}

TEST_F(HostCode, ACallbackOfAClientMayThrow) {
  OpenNode();
  OpenClient();
  ThrowAndCount(client_->kv());
  std::promise<void> called;
  client_->cluster().MembersAsync(kPatience, [&](const Result<std::vector<ClusterMember>>&) {
    called.set_value();
    throw std::runtime_error("members");
  });
  called.get_future().wait();
  EXPECT_TRUE(client_->cluster().Members(kPatience).ok());
}

TEST_F(HostCode, ACallbackOfALogMayThrow) {
  OpenLog();
  std::atomic<int> called{0};
  for (int i = 0; i < 20; ++i) {
    log_->AppendAsync("entry", {kPatience}, [&](const Result<std::uint64_t>&) {
      ++called;
      throw std::runtime_error("by the host");
    });
  }
  EXPECT_TRUE(WaitFor(kPatience, [&] { return called == 20; })) << called;
  EXPECT_TRUE(log_->Append("one more", {kPatience}).ok());
  EXPECT_EQ(log_->Seq(), 21U);
  ASSERT_TRUE(log_->Close().ok());
  EXPECT_NE(Said().find("by the host"), std::string::npos);
}

TEST_F(HostCode, ALogSinkMayThrow) {
  NodeOptions options = Options();
  options.log_sink = [](LogLevel, std::string_view) { throw std::runtime_error("the sink"); };
  auto node = Node::Open(options);
  ASSERT_TRUE(node.ok()) << node.status().ToString();
  ASSERT_TRUE((*node)->WaitForLeader(kPatience).ok());
  EXPECT_TRUE((*node)->kv().Put("k", "v").ok());
}

TEST_F(HostCode, AProgressCallbackThatThrowsCancelsTheBackup) {
  OpenNode();
  ASSERT_TRUE(node_->kv().Put("k", "v").ok());
  BackupOptions options;
  options.progress = [](const BackupProgress&) -> bool { throw std::runtime_error("progress"); };
  EXPECT_EQ(node_->Backup(folder_ / "backup", options).code(), Code::kCancelled);
  EXPECT_FALSE(std::ifstream(folder_ / "backup").good());
}

/// A transport of the host, as bad as can be.
class ThrowingTransport final : public Transport {
 public:
  void Start(Receiver) override { throw std::runtime_error("at the start"); }
  void Send(const std::string&, std::string) override {
    ++sent;
    throw std::runtime_error("by the transport");
  }
  void Stop() override { throw 7; }

  std::atomic<int> sent{0};
};

TEST_F(HostCode, ATransportMayThrow) {
  NodeOptions options = Options();
  options.listen.clear();
  const auto transport = std::make_shared<ThrowingTransport>();
  options.transport = transport;
  options.cluster = {{"n1", "a"}, {"n2", "b"}, {"n3", "c"}};
  auto node = Node::Open(options);
  ASSERT_TRUE(node.ok()) << node.status().ToString();
  EXPECT_TRUE(WaitFor(kPatience, [&] { return transport->sent > 3; }));
  EXPECT_EQ((*node)->WaitForLeader(0ms).code(), Code::kDeadlineExceeded);
  EXPECT_TRUE((*node)->Close().ok());
  EXPECT_NE(Said().find("by the transport"), std::string::npos) << Said();
}

class BlockingCalls : public HostCode {
 protected:
  /// Of every call that waits for something.
  std::vector<Code> Ask() {
    std::vector<Code> codes;
    for (KV* kv : {&node_->kv(), &client_->kv()}) {
      codes.push_back(kv->Put("k", "v").code());
      codes.push_back(kv->Delete("k").code());
      codes.push_back(kv->DeleteRange(KeyRange::Prefix("k")).code());
      codes.push_back(kv->CompareAndSwap("k", {}, "v").code());
      codes.push_back(kv->Increment("n", 1).code());
      codes.push_back(kv->Write(Batch().Put("k", "v")).code());
      codes.push_back(kv->Get("k").code());
      codes.push_back(kv->Scan(KeyRange::Prefix("")).code());
    }
    Cluster& cluster = client_->cluster();
    codes.push_back(cluster.Members().code());
    codes.push_back(cluster.AddMember("n2", "127.0.0.1:1", false).code());
    codes.push_back(cluster.PromoteMember("n2").code());
    codes.push_back(cluster.RemoveMember("n2").code());
    codes.push_back(cluster.MoveLeader("n1").code());
    codes.push_back(client_->Status(node_->listen_address(), kPatience, false).code());
    codes.push_back(client_->Backup(folder_ / "b1", {}).code());
    codes.push_back(node_->Backup(folder_ / "b2", {}).code());
    codes.push_back(ReadBackup(folder_ / "b3").code());
    codes.push_back(Restore({}).code());
    codes.push_back(Node::Open(Options("n2")).code());
    codes.push_back(node_->WaitForLeader(kPatience).code());
    codes.push_back(node_->WaitForFailure(kPatience).code());
    codes.push_back(node_->Close().code());
    LogOptions other;
    other.dir = folder_ / "other";
    codes.push_back(Log::Open(other).code());
    codes.push_back(log_->Append("x").code());
    codes.push_back(log_->AppendBatch({"x"}).code());
    codes.push_back(log_->TrimPrefix(1).code());
    codes.push_back(log_->TrimSuffix(1).code());
    codes.push_back(log_->Sync().code());
    codes.push_back(log_->Begin().Append("x").Commit().code());
    codes.push_back(log_->Iterate(1)->Next(kPatience).code());
    codes.push_back(log_->Close().code());
    return codes;
  }
};

TEST_F(BlockingCalls, AreRefusedInEveryCallback) {
  OpenNode();
  OpenClient();
  OpenLog();
  std::vector<std::promise<std::vector<Code>>> asked(5);
  const auto ask = [&](int i) { asked[i].set_value(Ask()); };
  node_->kv().PutAsync("k", "v", {kPatience}, [&](const auto&) { ask(0); });
  client_->kv().PutAsync("k", "v", {kPatience}, [&](const auto&) { ask(1); });
  log_->AppendAsync("x", {kPatience}, [&](const auto&) { ask(2); });
  node_->kv().PutAsync("", "", {}, [&](const auto&) { ask(3); });  // at once, on this thread
  client_->cluster().MembersAsync(kPatience, [&](const auto&) { ask(4); });
  for (auto& answer : asked) {
    auto future = answer.get_future();
    ASSERT_EQ(future.wait_for(kPatience), std::future_status::ready);
    const std::vector<Code> codes = future.get();
    for (std::size_t i = 0; i < codes.size(); ++i) EXPECT_EQ(codes[i], Code::kInvalidArgument) << i;
  }
  EXPECT_TRUE(node_->kv().Put("k", "v").ok());
  EXPECT_TRUE(log_->Append("x").ok());
}

TEST_F(BlockingCalls, AreRefusedInSinksAndProgress) {
  std::atomic<KV*> kv{nullptr};
  std::promise<Code> in_sink;
  NodeOptions options = Options();
  options.log_level = LogLevel::kDebug;
  options.log_sink = [&](LogLevel, std::string_view) {
    if (KV* const asked = kv.exchange(nullptr)) in_sink.set_value(asked->Get("k").code());
  };
  auto node = Node::Open(options);
  ASSERT_TRUE(node.ok()) << node.status().ToString();
  ASSERT_TRUE((*node)->WaitForLeader(kPatience).ok());
  Code in_progress = Code::kOk;
  BackupOptions backup;
  backup.progress = [&](const BackupProgress&) {
    in_progress = (*node)->kv().Get("k").code();
    return true;
  };
  EXPECT_TRUE((*node)->Backup(folder_ / "backup", backup).ok());
  EXPECT_EQ(in_progress, Code::kInvalidArgument);
  EXPECT_EQ((*node)->kv().Get("k").code(), Code::kNotFound);
  kv = &(*node)->kv();
  (*node)->kv().GetAsync("k", {kPatience}, [](const auto&) { throw std::runtime_error("said"); });
  auto future = in_sink.get_future();
  ASSERT_EQ(future.wait_for(kPatience), std::future_status::ready);
  EXPECT_EQ(future.get(), Code::kInvalidArgument);
}

/// Each waits for the other's loop, if anything waits at all.
TEST_F(HostCode, CallbacksMayAskOtherMembersHowTheyAre) {
  std::vector<std::unique_ptr<Node>> nodes;
  for (const char* name : {"n1", "n2"}) {
    auto node = Node::Open(Options(name));
    ASSERT_TRUE(node.ok()) << node.status().ToString();
    nodes.push_back(*std::move(node));
    ASSERT_TRUE(nodes.back()->WaitForLeader(kPatience).ok());
  }
  constexpr int kRounds = 200;
  std::atomic<int> asked{0};
  std::atomic<int> right{0};
  std::function<void(int, int)> ask = [&](int i, int left) {
    nodes[i]->kv().GetAsync("k", {kPatience}, [&, i, left](const auto&) {
      const NodeStatus status = nodes[1 - i]->status();
      if (status.role == Role::kLeader && status.name == "n" + std::to_string(2 - i)) ++right;
      ++asked;
      if (left > 1) ask(i, left - 1);
    });
  };
  ask(0, kRounds);
  ask(1, kRounds);
  EXPECT_TRUE(WaitFor(kPatience, [&] { return asked == 2 * kRounds; })) << asked;
  EXPECT_EQ(right, 2 * kRounds);
  for (const auto& node : nodes) EXPECT_TRUE(node->Close().ok());
}

TEST_F(HostCode, WhatIsDestroyedInsideItsOwnCallbackGoesAway) {
  OpenNode();
  OpenClient();
  OpenLog();
  std::atomic<int> gone{0};
  log_->AppendAsync("x", {kPatience}, [&](const auto&) {
    log_.reset();
    ++gone;
  });
  client_->kv().GetAsync("k", {kPatience}, [&](const auto&) {
    client_.reset();
    ++gone;
  });
  ASSERT_TRUE(WaitFor(kPatience, [&] { return gone == 2; }));
  node_->kv().PutAsync("k", "v", {kPatience}, [&](const auto&) {
    node_.reset();
    ++gone;
  });
  ASSERT_TRUE(WaitFor(kPatience, [&] { return gone == 3; }));
  EXPECT_TRUE(Opens([&] { return Node::Open(Options()); }));
  LogOptions log;
  log.dir = folder_ / "log";
  EXPECT_TRUE(Opens([&] { return Log::Open(log); }));
}

TEST_F(HostCode, AllOthersGetTheirAnswersWhenOneLetsGo) {
  OpenNode();
  OpenClient();
  OpenLog();
  constexpr int kCalls = 50;
  std::atomic<int> answered{0};
  const auto count = [&](const auto&) { ++answered; };
  for (int i = 0; i < kCalls; ++i) {
    client_->kv().PutAsync("k", "v", {kPatience}, count);
    log_->AppendAsync("x", {kPatience}, count);
  }
  client_->kv().GetAsync("k", {kPatience}, [&](const auto&) {
    ++answered;
    client_.reset();
    throw std::runtime_error("and then");
  });
  log_->AppendAsync("x", {kPatience}, [&](const auto&) {
    ++answered;
    log_.reset();
    throw std::runtime_error("and then");
  });
  ASSERT_TRUE(WaitFor(kPatience, [&] { return answered == 2 * kCalls + 2; })) << answered;
  for (int i = 0; i < kCalls; ++i) node_->kv().PutAsync("k", "v", {kPatience}, count);
  node_->kv().PutAsync("", "v", {kPatience}, [&](const auto&) {  // refused at once, on this thread
    ++answered;
    node_.reset();
    throw std::runtime_error("and then");
  });
  EXPECT_TRUE(WaitFor(kPatience, [&] { return answered == 3 * kCalls + 3; })) << answered;
  EXPECT_TRUE(Opens([&] { return Node::Open(Options()); }));
}

TEST_F(HostCode, ACallbackMayHoldTheLastReference) {
  OpenNode();
  OpenClient();
  std::promise<void> called;
  {
    std::shared_ptr<Client> client = std::move(client_);
    std::shared_ptr<Node> node = std::move(node_);
    KV& kv = client->kv();
    kv.PutAsync("k", "v", {kPatience},
                [&called, client = std::move(client), node = std::move(node)](const auto&) {
                  called.set_value();
                });
  }
  EXPECT_EQ(called.get_future().wait_for(kPatience), std::future_status::ready);
  EXPECT_TRUE(Opens([&] { return Node::Open(Options()); }));
}

TEST_F(HostCode, CallsAfterCloseAreCancelled) {
  OpenNode();
  OpenLog();
  KV& kv = node_->kv();
  auto waits = std::async(std::launch::async, [&] { return node_->WaitForFailure(kPatience); });
  std::vector<std::thread> closers;
  for (int i = 0; i < 3; ++i) {
    closers.emplace_back([&] {
      EXPECT_TRUE(node_->Close().ok());
      EXPECT_TRUE(log_->Close().ok());
    });
  }
  for (std::thread& closer : closers) closer.join();
  EXPECT_EQ(waits.get().code(), Code::kCancelled);
  EXPECT_EQ(kv.Put("k", "v").code(), Code::kCancelled);
  EXPECT_EQ(node_->kv().Get("k").code(), Code::kCancelled);
  EXPECT_EQ(node_->WaitForLeader(kPatience).code(), Code::kCancelled);
  EXPECT_EQ(node_->WaitForFailure(kPatience).code(), Code::kCancelled);
  EXPECT_EQ(node_->Backup(folder_ / "backup", {}).code(), Code::kCancelled);
  EXPECT_EQ(node_->status().name, "n1");
  EXPECT_EQ(log_->Append("x").code(), Code::kCancelled);
  EXPECT_EQ(log_->Read(1).code(), Code::kCancelled);
  EXPECT_EQ(log_->Iterate(1)->Next(kPatience).code(), Code::kCancelled);
  EXPECT_EQ(log_->Head(), 1U);
}

}  // namespace
}  // namespace raftkv::test
