// Does Range answer as etcd does, however large the range is? (What is expected was recorded from
// etcd.)
#include <algorithm>
#include <string>
#include <vector>

#include "lib/base/random.h"
#include "tests/rpc/etcd/service_fixture.h"

namespace raftkv::etcd {
namespace {

const std::string kFromKey(1, '\0');

class EtcdRange : public ServiceTest {
 protected:
  /// a=4 (create 2, mod 6, version 2), b=2 (3), c=1 (4), d=0 (5).
  void Fill() {
    PutPair("a", "3");
    PutPair("b", "2");
    PutPair("c", "1");
    PutPair("d", "0");
    PutPair("a", "4");
  }
  RangeResponse Shown(const RangeRequest& request) {
    const auto answer = Range(request);
    EXPECT_EQ(answer.outcome, Outcome());
    return answer.response;
  }
  /// "KEYS count more"
  std::string Told(const RangeRequest& request) {
    const RangeResponse response = Shown(request);
    return Keys(response) + " " + std::to_string(response.count) + (response.more ? " more" : "");
  }
  static RangeRequest Sorted(SortTargetNames::Value target, SortOrderNames::Value order,
                             std::int64_t limit = 0) {
    RangeRequest request = Of("a", "z");
    request.sort_target = target;
    request.sort_order = order;
    request.limit = limit;
    return request;
  }
};

TEST_F(EtcdRange, OfOneKeyShowsIt) {
  Fill();
  const RangeResponse response = Shown(Of("a"));
  const KeyValue a{.key = "a", .create_revision = 2, .mod_revision = 6, .version = 2, .value = "4"};
  EXPECT_EQ(response.header, HeaderAt(6));
  EXPECT_EQ(response.kvs, std::vector<KeyValue>{a});
  EXPECT_EQ(response.count, 1);
  EXPECT_FALSE(response.more);
  const RangeResponse missing = Shown(Of("e"));
  EXPECT_EQ(missing.header, HeaderAt(6));
  EXPECT_EQ(missing.count, 0);
}

TEST_F(EtcdRange, AnEmptyValueIsAValue) {
  PutPair("k", "");
  const RangeResponse response = Shown(Of("k"));
  ASSERT_EQ(response.kvs.size(), 1U);
  EXPECT_EQ(response.kvs[0].value, "");
}

TEST_F(EtcdRange, GoesFromItsKeyToItsEnd) {
  Fill();
  EXPECT_EQ(Told(Of("a", "z")), "a b c d 4");
  EXPECT_EQ(Told(Of("b", "d")), "b c 2");
  EXPECT_EQ(Told(Of("b", kFromKey)), "b c d 3");
  EXPECT_EQ(Told(Of(kFromKey, kFromKey)), "a b c d 4");
  EXPECT_EQ(Told(Of("z", "a")), " 0") << "its end is not behind its key";
  EXPECT_EQ(Told(Of("a", "a")), " 0");
  EXPECT_EQ(Shown(Of("z", "a")).header, HeaderAt(6));
}

TEST_F(EtcdRange, ThatMakesNoSenseIsRefused) {
  EXPECT_EQ(Range(Of("")).outcome, kEmptyKey);
  EXPECT_EQ(Range(Of("", kFromKey)).outcome, kEmptyKey);
  RangeRequest request = Of("a", "z");
  request.sort_target.value = 9;
  EXPECT_EQ(Range(request).outcome, kInvalidSortOption);
  request.sort_target.value = 0;
  request.sort_order.value = 7;
  EXPECT_EQ(Range(request).outcome, kInvalidSortOption);
  request.sort_order.value = -1;
  EXPECT_EQ(Range(request).outcome, kInvalidSortOption);
}

TEST_F(EtcdRange, ALimitLeavesTheCountAsItIs) {
  Fill();
  RangeRequest request = Of("a", "z");
  request.limit = 2;
  EXPECT_EQ(Told(request), "a b 4 more");
  request.limit = 4;
  EXPECT_EQ(Told(request), "a b c d 4");
  request.limit = -2;
  EXPECT_EQ(Told(request), "a b c d 4") << "it is none";
}

TEST_F(EtcdRange, ShowsKeysOrTheCountAlone) {
  Fill();
  RangeRequest request = Of("a", "z");
  request.keys_only = true;
  const RangeResponse keys = Shown(request);
  ASSERT_EQ(keys.kvs.size(), 4U);
  EXPECT_EQ(keys.kvs[0].value, "");
  EXPECT_EQ(keys.kvs[0].version, 2);
  request.count_only = true;
  request.limit = 1;
  EXPECT_EQ(Told(request), " 4");
  request = Of("a");
  request.count_only = true;
  EXPECT_EQ(Told(request), " 1");
  request = Of("a");
  request.keys_only = true;
  EXPECT_EQ(Shown(request).kvs.at(0).value, "");
}

TEST_F(EtcdRange, AtARevisionTheHeaderIsThatOfTheStore) {
  Fill();
  RangeRequest request = Of("a", "z");
  request.revision = 2;
  EXPECT_EQ(Told(request), "a 1");
  EXPECT_EQ(Shown(request).kvs.at(0).value, "3");
  EXPECT_EQ(Shown(request).header, HeaderAt(6));
  request.revision = 7;
  EXPECT_EQ(Range(request).outcome, kFutureRevision);
  request.revision = -2;
  EXPECT_EQ(Told(request), "a b c d 4") << "it is the latest";
  request = Of("a");
  request.revision = 5;
  EXPECT_EQ(Shown(request).kvs.at(0).value, "3");
  EXPECT_EQ(Shown(request).header, HeaderAt(6));
}

TEST_F(EtcdRange, IsReadAsTheRequestSays) {
  Fill();
  RangeRequest request = Of("a", "z");
  Shown(request);
  OnLoop([&] { EXPECT_EQ(channel_->last_policy.consistency, Consistency::kLinearizable); });
  request.serializable = true;
  EXPECT_EQ(Told(request), "a b c d 4");
  OnLoop([&] { EXPECT_EQ(channel_->last_policy.consistency, Consistency::kLocal); });
  request.range_end.clear();
  EXPECT_EQ(Told(request), "a 1");
  OnLoop([&] { EXPECT_EQ(channel_->last_policy.consistency, Consistency::kLocal); });
}

TEST_F(EtcdRange, TakesTheLimitAfterTheBounds) {
  Fill();
  RangeRequest request = Of("a", "z");
  request.limit = 1;
  request.min_mod_revision = 4;
  EXPECT_EQ(Told(request), "a 4 more");
  request.max_mod_revision = 4;
  EXPECT_EQ(Told(request), "c 4") << "nothing more lies within the bounds";
  request = Of("a", "z");
  request.min_create_revision = 3;
  request.max_create_revision = 4;
  EXPECT_EQ(Told(request), "b c 4");
  request.limit = 2;
  EXPECT_EQ(Told(request), "b c 4");
  request = Of("a");
  request.max_mod_revision = 1;
  EXPECT_EQ(Told(request), " 1") << "it counts though it is not shown";
}

TEST_F(EtcdRange, ABoundBelowZeroIsABound) {
  Fill();
  RangeRequest request = Of("a", "z");
  request.max_mod_revision = -2;
  EXPECT_EQ(Told(request), " 4");
  request = Of("a", "z");
  request.min_mod_revision = -2;
  request.limit = 1;
  EXPECT_EQ(Told(request), "a 4 more");
}

TEST_F(EtcdRange, IsSortedByWhateverItSays) {
  Fill();
  using Target = SortTargetNames;
  using Order = SortOrderNames;
  EXPECT_EQ(Told(Sorted(Target::kKey, Order::kDescend)), "d c b a 4");
  EXPECT_EQ(Told(Sorted(Target::kKey, Order::kDescend, 3)), "d c b 4 more");
  EXPECT_EQ(Told(Sorted(Target::kValue, Order::kAscend)), "d c b a 4");
  EXPECT_EQ(Told(Sorted(Target::kValue, Order::kAscend, 2)), "d c 4 more");
  EXPECT_EQ(Told(Sorted(Target::kMod, Order::kAscend)), "b c d a 4");
  EXPECT_EQ(Told(Sorted(Target::kMod, Order::kDescend, 4)), "a d c b 4");
  EXPECT_EQ(Told(Sorted(Target::kCreate, Order::kDescend, 1)), "d 4 more");
  EXPECT_EQ(Told(Sorted(Target::kVersion, Order::kDescend)), "a b c d 4");
  EXPECT_EQ(Told(Sorted(Target::kVersion, Order::kAscend)), "b c d a 4");
  RangeRequest keys = Sorted(Target::kValue, Order::kAscend);
  keys.keys_only = true;
  EXPECT_EQ(Told(keys), "d c b a 4");
  EXPECT_EQ(Shown(keys).kvs.at(0).value, "");
}

TEST_F(EtcdRange, WithATargetAndNoOrderSortsTheFirstOnesByKey) {
  Fill();
  using Target = SortTargetNames;
  using Order = SortOrderNames;
  EXPECT_EQ(Told(Sorted(Target::kValue, Order::kNone)), "d c b a 4");
  EXPECT_EQ(Told(Sorted(Target::kValue, Order::kNone, 2)), "c b 4 more") << "of a, b and c";
  EXPECT_EQ(Told(Sorted(Target::kMod, Order::kNone, 3)), "b c d 4 more");
  EXPECT_EQ(Told(Sorted(Target::kKey, Order::kNone, 2)), "a b 4 more");
  RangeRequest bounded = Sorted(Target::kValue, Order::kNone, 2);
  bounded.min_mod_revision = 1;
  EXPECT_EQ(Told(bounded), "d c 4 more") << "with a bound all of them are sorted";
  RangeRequest keys = Sorted(Target::kValue, Order::kNone, 2);
  keys.keys_only = true;
  EXPECT_EQ(Told(keys), "c b 4 more");
  EXPECT_EQ(Shown(keys).kvs.at(0).value, "");
}

TEST_F(EtcdRange, ThatCannotBeReadEndsAsEtcdsDoes) {
  OnLoop([&] { channel_->read_failure = {Code::kUnavailable, "no leader is known"}; });
  const auto range = [&] {
    return Call<RangeResponse>("/etcdserverpb.KV/Range", Of("a"), std::chrono::milliseconds(100));
  };
  EXPECT_EQ(range().outcome, kTimeout);
  OnLoop([&] { channel_->read_failure = {Code::kCorruption, "damaged"}; });
  EXPECT_EQ(range().outcome, kCorrupt);
}

/// Of many pages.
class EtcdLargeRange : public EtcdRange {
 protected:
  static constexpr std::size_t kKeys = 300;
  static constexpr std::size_t kValueBytes = 100;

  EtcdLargeRange() {
    OnLoop([&] { channel_->max_answer_bytes = 4 << 10; });
  }

  static std::string KeyOf(std::size_t i) { return "k" + std::to_string(1000 + i); }

  void FillMany() {
    std::vector<kv::Operation> puts;
    Random dice(7);
    for (std::size_t i = 0; i < kKeys; ++i) {
      std::string value = std::to_string(dice.Below(1000));
      value.resize(kValueBytes, 'v');
      puts.emplace_back(kv::PutOp{KeyOf(i), value});
    }
    OnLoop([&] { channel_->log.Apply(puts); });
  }
  static RangeRequest All() { return Of("k", "l"); }
  /// What `request` would show of all pairs, if the store were asked in one go.
  RangeResponse InOneAnswer(const RangeRequest& request) {
    OnLoop([&] { channel_->max_answer_bytes = 4 << 20; });
    const RangeResponse whole = Shown(request);
    OnLoop([&] { channel_->max_answer_bytes = 4 << 10; });
    return whole;
  }
};

TEST_F(EtcdLargeRange, IsAnsweredWholeInEveryOrder) {
  FillMany();
  for (const auto order :
       {SortOrderNames::kNone, SortOrderNames::kAscend, SortOrderNames::kDescend}) {
    for (std::int32_t target = 0; target < 5; ++target) {
      for (const std::int64_t limit : {0, 1, 150, 299, 300, 301}) {
        for (const bool bounded : {false, true}) {
          RangeRequest request = All();
          request.sort_order = order;
          request.sort_target.value = target;
          request.limit = limit;
          request.keys_only = limit == 150 && bounded;
          if (bounded) request.min_create_revision = 20;
          const RangeResponse whole = InOneAnswer(request);
          EXPECT_EQ(Shown(request), whole) << order << target << ' ' << limit << bounded;
        }
      }
    }
  }
}

TEST_F(EtcdLargeRange, IsOfOneRevision) {
  FillMany();
  int reads = 0;
  OnLoop([&] {
    channel_->before_read = [&] {
      if (++reads > 1) channel_->log.Apply({kv::PutOp{KeyOf(kKeys - 1), "newer"}});
    };
  });
  const RangeResponse response = Shown(All());
  OnLoop([&] { channel_->before_read = nullptr; });
  EXPECT_GT(reads, 2);
  ASSERT_EQ(response.kvs.size(), kKeys);
  EXPECT_EQ(response.header, HeaderAt(kKeys + 1)) << "of the first page";
  EXPECT_NE(response.kvs.back().value, "newer");
  EXPECT_EQ(response.count, static_cast<std::int64_t>(kKeys));
}

TEST_F(EtcdLargeRange, BeginsAgainWhereItsStateIsCompactedMeanwhile) {
  FillMany();
  int reads = 0;
  OnLoop([&] {
    channel_->before_read = [&] {
      if (++reads != 2) return;
      channel_->log.Apply({kv::PutOp{"k2", "newer"}});
      channel_->log.Apply({kv::CompactOp{kKeys + 2}});
    };
  });
  const RangeResponse response = Shown(All());
  EXPECT_EQ(response.kvs.size(), kKeys + 1);
  EXPECT_EQ(response.header, HeaderAt(kKeys + 2));
  RangeRequest named = All();
  named.revision = kKeys + 2;
  OnLoop([&] {
    reads = 0;
    channel_->before_read = [&] {
      if (++reads != 2) return;
      channel_->log.Apply({kv::PutOp{"k2", "newest"}});
      channel_->log.Apply({kv::CompactOp{kKeys + 3}});
    };
  });
  EXPECT_EQ(Range(named).outcome, kCompacted) << "there is no other state to begin with";
}

TEST_F(EtcdLargeRange, IsRefusedWhereItIsTooLargeForAnAnswer) {
  FillMany();
  const auto read = [&](const RangeRequest& request, std::size_t max_bytes, std::size_t budget) {
    std::promise<Outcome> done;
    auto outcome = done.get_future();
    const auto held = std::make_shared<node::CallBudget>(budget);
    const ServiceLife life;
    OnLoop([&] {
      ReadRange({*backend_, life, held, max_bytes}, request,
                loop_->Now() + std::chrono::seconds(10),
                [&](Outcome how, const RangeResponse&) { done.set_value(std::move(how)); });
    });
    EXPECT_EQ(outcome.wait_for(kPatience), std::future_status::ready);
    OnLoop([] {});  // the read is gone by then
    EXPECT_TRUE(held->Take(budget)) << "all of it was given back";
    return outcome.get();
  };
  constexpr std::size_t kEnough = 1 << 20;
  RangeRequest sorted = All();
  sorted.sort_target = SortTargetNames::kValue;
  sorted.sort_order = SortOrderNames::kDescend;
  EXPECT_EQ(read(All(), kEnough, kEnough), Outcome());
  EXPECT_EQ(read(sorted, kEnough, kEnough), Outcome());
  for (const RangeRequest& request : {All(), sorted}) {
    const Outcome too_large = read(request, 20'000, kEnough);
    EXPECT_EQ(too_large.code, GrpcCode::kResourceExhausted);
    EXPECT_NE(too_large.message.find("larger than 20000 bytes"), std::string::npos);
    EXPECT_EQ(read(request, kEnough, 20'000), kTooManyRequests);
  }
  sorted.limit = 100;
  EXPECT_EQ(read(sorted, 20'000, kEnough), Outcome()) << "what is shown fits";
}

}  // namespace
}  // namespace raftkv::etcd
