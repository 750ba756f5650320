#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "rpc/etcd/health_service.h"
#include "tests/rpc/etcd/call_record.h"
#include "tests/rpc/server/rpc_fixture.h"
#include "tests/support/node/idle_kv.h"

namespace raftkv::etcd {
namespace {

constexpr char kCheck[] = "/grpc.health.v1.Health/Check";
constexpr char kWatch[] = "/grpc.health.v1.Health/Watch";

/// On the loop, as all of it.
class HealthTest : public testing::Test {
 protected:
  HealthTest() {
    OnLoop([this] {
      member_ = std::make_unique<rpc::FakeMember>(*loop_, "n1", NodeId(11), ClusterId(7));
      backend_ = std::make_unique<Backend>(Backend{.loop = *loop_,
                                                   .kv = kv_,
                                                   .service = *member_,
                                                   .status =
                                                       [this] {
                                                         NodeStatus status;
                                                         status.leader = leader_;
                                                         return status;
                                                       },
                                                   .limits = {},
                                                   .log_sink = {}});
      service_ = std::make_unique<HealthService>(*backend_, std::chrono::milliseconds(5));
      service_->Register(methods_);
    });
  }
  ~HealthTest() override {
    OnLoop([this] {
      watch_ = {};
      service_.reset();
      backend_.reset();
      member_.reset();
    });
  }

  void OnLoop(const std::function<void()>& work) { ASSERT_TRUE(loop_->Call(work)); }

  Outcome Check(const std::string& service, Enum<ServingStatusNames>* status = nullptr) {
    const OpenedCall call = OpenCall(methods_, kCheck);
    call.Ask(HealthCheckRequest{.service = service});
    call.handler->OnHalfClose();
    EXPECT_TRUE(call.record->outcome.has_value());
    if (status != nullptr) *status = call.Answer<HealthCheckResponse>().status;
    return call.record->outcome.value_or(Outcome{});
  }

  void Watch(const std::string& service) {
    watch_ = OpenCall(methods_, kWatch);
    watch_.Ask(HealthCheckRequest{.service = service});
    watch_.handler->OnHalfClose();
  }
  /// Waits until the watch has heard `count` states, and gives the last one.
  Enum<ServingStatusNames> Heard(std::size_t count) {
    Enum<ServingStatusNames> last;
    EXPECT_TRUE(rpc::WaitFor([&] {
      std::size_t heard = 0;
      OnLoop([&] { heard = watch_.record->sent.size(); });
      return heard >= count;
    }));
    OnLoop([&] {
      EXPECT_EQ(watch_.record->sent.size(), count);
      last = watch_.Answer<HealthCheckResponse>(count - 1).status;
    });
    return last;
  }

  const std::unique_ptr<rpc::EventLoop> loop_ = rpc::StartLoop();
  test::IdleKv kv_;
  std::unique_ptr<rpc::FakeMember> member_;
  std::unique_ptr<Backend> backend_;
  std::string leader_ = "n1";
  Methods methods_;
  std::unique_ptr<HealthService> service_;
  OpenedCall watch_;
};

TEST_F(HealthTest, IsServingWhileALeaderIsKnown) {
  OnLoop([this] {
    for (const char* const service : {"", "grpc.health.v1.Health"}) {
      Enum<ServingStatusNames> status;
      leader_ = "n2";
      EXPECT_EQ(Check(service, &status), Outcome{});
      EXPECT_EQ(status, ServingStatusNames::kServing);
      leader_.clear();
      EXPECT_EQ(Check(service, &status), Outcome{});
      EXPECT_EQ(status, ServingStatusNames::kNotServing);
    }
  });
}

TEST_F(HealthTest, DoesNotKnowOtherServices) {
  OnLoop([this] {
    EXPECT_EQ(Check("etcdserverpb.KV"), (Outcome{GrpcCode::kNotFound, "unknown service"}));
    Watch("etcdserverpb.KV");
  });
  // A stream stays open: the service might come.
  EXPECT_EQ(Heard(1), ServingStatusNames::kServiceUnknown);
  OnLoop([this] { EXPECT_FALSE(watch_.record->outcome.has_value()); });
}

TEST_F(HealthTest, TellsAWatchOfEachChangeOnce) {
  OnLoop([this] { Watch(""); });
  EXPECT_EQ(Heard(1), ServingStatusNames::kServing);
  OnLoop([this] { leader_.clear(); });
  EXPECT_EQ(Heard(2), ServingStatusNames::kNotServing);
  OnLoop([this] { leader_ = "n3"; });
  EXPECT_EQ(Heard(3), ServingStatusNames::kServing);
}

TEST_F(HealthTest, TellsAWatchThatDidNotReadTheLastStateOnly) {
  OnLoop([this] { Watch(""); });
  EXPECT_EQ(Heard(1), ServingStatusNames::kServing);
  OnLoop([this] {
    watch_.record->queued = Sink::kMaxQueuedBytes;
    leader_.clear();
  });
  // Another one that reads shows when the change was seen.
  OpenedCall other;
  OnLoop([&] {
    leader_ = "n1";
    other = OpenCall(methods_, kWatch);
    other.Ask(HealthCheckRequest{});
    leader_.clear();
  });
  EXPECT_TRUE(rpc::WaitFor([&] {
    std::size_t heard = 0;
    OnLoop([&] { heard = other.record->sent.size(); });
    return heard == 2;
  }));
  EXPECT_EQ(Heard(1), ServingStatusNames::kServing);
  OnLoop([&] { watch_.record->queued = 0; });
  EXPECT_EQ(Heard(2), ServingStatusNames::kNotServing);
  OnLoop([&] { other = {}; });
}

TEST_F(HealthTest, RefusesAWatchWithoutItsOneRequest) {
  OnLoop([this] {
    const OpenedCall none = OpenCall(methods_, kWatch);
    none.handler->OnHalfClose();
    ASSERT_TRUE(none.record->outcome.has_value());
    EXPECT_EQ(none.record->outcome->code, GrpcCode::kInternal);
    const OpenedCall two = OpenCall(methods_, kWatch);
    two.Ask(HealthCheckRequest{});
    two.Ask(HealthCheckRequest{});
    ASSERT_TRUE(two.record->outcome.has_value());
    EXPECT_EQ(two.record->outcome->code, GrpcCode::kInternal);
  });
}

TEST_F(HealthTest, AnswersUnavailableOnceTheServiceIsGone) {
  OnLoop([this] {
    const OpenedCall early = OpenCall(methods_, kWatch);
    service_.reset();
    backend_.reset();
    early.Ask(HealthCheckRequest{});
    ASSERT_TRUE(early.record->outcome.has_value());
    EXPECT_EQ(early.record->outcome->code, GrpcCode::kUnavailable);
    EXPECT_EQ(Check("").code, GrpcCode::kUnavailable);
  });
}

}  // namespace
}  // namespace raftkv::etcd
