// lin-kv: is there an order of all reads, writes and swaps that explains every answer?
//
// Some keys are in use at a time, each for a number of requests, and of these only some of unknown
// fate: such a one must be tried at every later place. Half of the requests are for few keys, where
// they meet; the others for many, where what is lost is not soon written over. Nearly every value
// is written once, so that a read tells which write it has seen.
#include <algorithm>
#include <deque>
#include <utility>

#include "lib/base/check.h"
#include "tests/support/linearizability/linearizability.h"
#include "tests/support/maelstrom/maelstrom_workload.h"

namespace raftkv::test::maelstrom {
namespace {

constexpr std::size_t kKeysInUse = 64;
constexpr std::size_t kHotKeys = 4;
constexpr int kRequestsAKey = 80;
constexpr int kDoubtfulAKey = 6;

class LinKv : public Workload {
 public:
  LinKv() {
    for (std::size_t i = 0; i < kKeysInUse; ++i) UseNewKey(i);
  }

  Json Draw(Random& random) override {
    const std::size_t place = random.Below(random.Below(2) == 0 ? kHotKeys : kKeysInUse);
    if (--in_use_[place].left == 0 || in_use_[place].doubtful >= kDoubtfulAKey) UseNewKey(place);
    const Register& used = in_use_[place];
    const std::uint64_t drawn = random.Below(100);
    const std::uint64_t reads = used.last.is_null() ? 10 : 45;
    if (drawn < reads) return {{"type", "read"}, {"key", used.key}};
    Json value = DistinctValue(next_value_++);
    if (drawn < 80 || used.last.is_null()) {
      return {{"type", "write"}, {"key", used.key}, {"value", std::move(value)}};
    }
    // Also values that it had before.
    const Json& from = drawn < 98 ? used.last : used.earlier;
    return {{"type", "cas"}, {"key", used.key}, {"from", from}, {"to", std::move(value)}};
  }

  std::vector<Json> FinalRequests() override {
    std::vector<Json> requests;
    for (const Register& each : in_use_) requests.push_back({{"type", "read"}, {"key", each.key}});
    for (const Json& key : done_) requests.push_back({{"type", "read"}, {"key", key}});
    return requests;
  }

 private:
  struct Register {
    Json key;
    Json last;  ///< that anybody was told of; null before the first
    Json earlier;
    int left = kRequestsAKey;
    int doubtful = 0;
  };

  void UseNewKey(std::size_t place) {
    constexpr std::size_t kMostDone = 8;
    in_use_.resize(kKeysInUse);
    if (!in_use_[place].key.is_null()) done_.push_back(in_use_[place].key);
    if (done_.size() > kMostDone) done_.pop_front();
    in_use_[place] = {DistinctValue(next_key_++), {}, {}};
  }

  void OnAsk(std::uint64_t request, std::uint32_t client) override {
    const Json& asked = body(request);
    const std::string key = asked.at("key").dump();
    history_.set_time_ms(now_ms());
    History::Id id = 0;
    if (Is(request, "read")) {
      id = history_.Invoke(client, ClientOp::Get(key));
    } else if (Is(request, "write")) {
      id = history_.Invoke(client, ClientOp::Put(key, asked.at("value").dump()));
    } else {
      id = history_.Invoke(
          client, ClientOp::CompareAndSwap(key, asked.at("from").dump(), asked.at("to").dump()));
    }
    RAFTKV_CHECK(id == request, id, request);  // both count from 0
  }

  void OnOk(std::uint64_t request, const Json& answer) override {
    if (Is(request, "write")) {
      Ok(request, ClientAnswer::Done());
      Note(request, body(request).at("value"));
    } else if (Is(request, "cas")) {
      Ok(request, ClientAnswer::Done());
      Note(request, body(request).at("to"));
    } else if (answer.contains("value")) {
      Ok(request, ClientAnswer::Value(answer["value"].dump()));
      Note(request, answer["value"]);
    } else {
      Report("read_ok without a value: " + answer.dump());
    }
  }

  Outcome OnError(std::uint64_t request, std::int64_t code, Outcome outcome) override {
    constexpr std::int64_t kNoSuchKey = 20;
    constexpr std::int64_t kOtherValue = 22;
    if (code == kNoSuchKey && !Is(request, "write")) {
      Ok(request, Is(request, "read") ? ClientAnswer::Value({}) : ClientAnswer::Found({}));
      return Outcome::kRefused;
    }
    if (code == kOtherValue && Is(request, "cas")) {
      Ok(request, ClientAnswer::Refused());
      return Outcome::kRefused;
    }
    if (code == kNoSuchKey || code == kOtherValue) {
      Report("error " + std::to_string(code) + " for " + body(request).dump());
    }
    history_.set_time_ms(now_ms());
    if (outcome == Outcome::kFailed) {
      history_.Fail(Id(request));
    } else {
      OnGiveUp(request);
    }
    return outcome;
  }

  void OnGiveUp(std::uint64_t request) override {
    history_.set_time_ms(now_ms());
    if (Is(request, "read")) return history_.Fail(Id(request));  // it changes nothing
    history_.Unknown(Id(request));
    for (Register& each : in_use_) {
      if (each.key == body(request).at("key")) ++each.doubtful;
    }
  }

  void OnJudge() override {
    constexpr std::uint64_t kMostSteps = 20'000'000;
    const CheckResult result = CheckLinearizability(history_, kMostSteps);
    if (result.verdict != Verdict::kLinearizable) Report(result.explanation);
  }

  void Ok(std::uint64_t request, ClientAnswer answer) {
    history_.set_time_ms(now_ms());
    history_.Ok(Id(request), std::move(answer));
  }

  void Note(std::uint64_t request, const Json& value) {
    for (Register& each : in_use_) {
      if (each.key != body(request).at("key") || each.last == value) continue;
      each.earlier = each.last;
      each.last = value;
    }
  }

  static History::Id Id(std::uint64_t request) { return static_cast<History::Id>(request); }

  std::vector<Register> in_use_;
  std::deque<Json> done_;
  std::uint64_t next_key_ = 0;
  std::uint64_t next_value_ = 0;
  History history_;
};

}  // namespace

std::unique_ptr<Workload> NewLinKv() { return std::make_unique<LinKv>(); }

}  // namespace raftkv::test::maelstrom
