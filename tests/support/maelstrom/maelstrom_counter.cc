// g-counter and pn-counter: does each node in the end read the sum of all that was added?
//
// An addition of unknown fate may be in it or not.
#include <algorithm>
#include <set>
#include <utility>

#include "tests/support/maelstrom/maelstrom_workload.h"

namespace raftkv::test::maelstrom {
namespace {

class Counter : public Workload {
 public:
  explicit Counter(bool may_shrink) : may_shrink_(may_shrink) {}

  Json Draw(Random& random) override {
    constexpr std::uint64_t kReadPercent = 40;
    constexpr std::int64_t kMost = 5;
    if (random.Below(100) < kReadPercent) return {{"type", "read"}};
    const std::int64_t least = may_shrink_ ? -kMost : 0;
    const auto span = static_cast<std::uint64_t>(kMost - least + 1);
    return {{"type", "add"}, {"delta", least + static_cast<std::int64_t>(random.Below(span))}};
  }

  std::vector<Json> FinalRequests() override {
    final_ = true;
    return {{{"type", "read"}}};
  }

 private:
  void OnOk(std::uint64_t request, const Json& answer) override {
    if (Is(request, "add")) {
      added_ += Delta(request);
      return;
    }
    if (!answer.contains("value") || !answer["value"].is_number_integer()) {
      return Report("a counter was read as " + answer.dump());
    }
    if (final_) read_.insert(answer["value"].get<std::int64_t>());
  }

  Outcome OnError(std::uint64_t request, std::int64_t, Outcome outcome) override {
    if (outcome == Outcome::kUnknown) OnGiveUp(request);
    return outcome;
  }

  void OnGiveUp(std::uint64_t request) override {
    if (Is(request, "add")) doubtful_.push_back(Delta(request));
  }

  void OnJudge() override {
    std::set<std::int64_t> sums = {added_};
    for (const std::int64_t delta : doubtful_) {
      const std::set<std::int64_t> without = sums;
      for (const std::int64_t sum : without) sums.insert(sum + delta);
    }
    for (const std::int64_t value : read_) {
      if (sums.count(value) != 0) continue;
      Report("the counter was read as " + std::to_string(value) + " in the end, but " +
             std::to_string(added_) + " was added, and " + std::to_string(doubtful_.size()) +
             " additions of unknown fate may make that " + std::to_string(*sums.begin()) + " to " +
             std::to_string(*sums.rbegin()));
    }
  }

  [[nodiscard]] std::int64_t Delta(std::uint64_t request) const {
    return body(request).at("delta").get<std::int64_t>();
  }

  const bool may_shrink_;
  bool final_ = false;
  std::int64_t added_ = 0;
  std::vector<std::int64_t> doubtful_;
  std::set<std::int64_t> read_;
};

}  // namespace

std::unique_ptr<Workload> NewCounter(bool may_shrink) {
  return std::make_unique<Counter>(may_shrink);
}

}  // namespace raftkv::test::maelstrom
