#include "tests/sim/program/shrink.h"

#include <algorithm>
#include <set>
#include <utility>

namespace raftkv::sim {

namespace {

/// More are not worth their time.
constexpr std::uint64_t kMostRuns = 3000;

class Shrinker {
 public:
  Shrinker(std::uint64_t seed, const Overrides& overrides, const std::string& mutant)
      : mutant_(mutant), seed_(seed) {
    story_.overrides = overrides;
  }

  /// False: it does not fail.
  bool Begin() {
    const RunResult result = Run(story_.overrides);
    if (!result.failure) return false;
    story_.failure = *result.failure;
    Note(result);
    story_.faults_before = story_.faults;
    story_.operations_before = story_.operations;
    return true;
  }

  void ShortenTime() {
    Nanos most = DrawPlan(seed_, story_.overrides).safety_time;
    for (Nanos step = most / 2; step > 50 * kMillisecond; step /= 2) {
      Overrides shorter = story_.overrides;
      shorter.safety_time = most - step;
      if (Try(std::move(shorter))) most -= step;
    }
  }
  void LeaveOutKinds() {
    for (const auto without : {&Overrides::without_watchers, &Overrides::without_leased}) {
      Overrides less = story_.overrides;
      if (!std::exchange(less.*without, true)) Try(std::move(less));
    }
    for (std::size_t i = 0; i < kFaultKinds; ++i) {
      if (story_.overrides.Without(static_cast<Fault>(i))) continue;
      Overrides without = story_.overrides;
      without.without |= std::uint64_t{1} << i;
      Try(std::move(without));
    }
  }
  /// Halves, quarters and so on, down to single ones.
  void LeaveOut(std::set<std::uint64_t> Overrides::*skipped, std::uint64_t all) {
    for (std::uint64_t size = std::max<std::uint64_t>(1, all / 2); size > 0; size /= 2) {
      for (std::uint64_t first = 1; first <= all; first += size) {
        Overrides less = story_.overrides;
        for (std::uint64_t i = first; i < first + size && i <= all; ++i) (less.*skipped).insert(i);
        if (less.*skipped != story_.overrides.*skipped) Try(std::move(less));
      }
    }
  }

  [[nodiscard]] const Story& story() const { return story_; }
  /// Of the last run that failed.
  [[nodiscard]] std::uint64_t fault_steps() const { return fault_steps_; }
  [[nodiscard]] std::uint64_t operation_steps() const { return operation_steps_; }

 private:
  RunResult Run(const Overrides& overrides) {
    ++story_.runs;
    RunPlan plan;
    plan.first_seed = seed_;
    plan.seeds = 1;
    plan.overrides = overrides;
    plan.mutant = mutant_;
    return RunSeeds(plan);
  }
  bool Try(Overrides overrides) {
    if (story_.runs >= kMostRuns) return false;
    const RunResult result = Run(overrides);
    if (!result.failure || result.failure->checker != story_.failure.checker) return false;
    story_.failure = *result.failure;
    story_.overrides = std::move(overrides);
    Note(result);
    return true;
  }
  /// A broken invariant ends its process before it can tell: then what was known stays.
  void Note(const RunResult& result) {
    const auto left = [](std::uint64_t steps, const std::set<std::uint64_t>& skipped) {
      return steps -
             static_cast<std::uint64_t>(std::distance(skipped.begin(), skipped.upper_bound(steps)));
    };
    if (result.stats.operation_steps != 0) {
      fault_steps_ = result.stats.fault_steps;
      operation_steps_ = result.stats.operation_steps;
    }
    if (operation_steps_ == 0) {
      fault_steps_ = 200;
      operation_steps_ = 2000;
    }
    story_.faults = left(fault_steps_, story_.overrides.skipped_faults);
    story_.operations = left(operation_steps_, story_.overrides.skipped_operations);
  }

  const std::string mutant_;
  const std::uint64_t seed_;
  Story story_;
  std::uint64_t fault_steps_ = 0;
  std::uint64_t operation_steps_ = 0;
};

}  // namespace

std::optional<Story> Shrink(std::uint64_t seed, const Overrides& overrides,
                            const std::string& mutant,
                            const std::function<void(const std::string&)>& told) {
  Shrinker shrinker(seed, overrides, mutant);
  if (!shrinker.Begin()) return std::nullopt;
  told("it fails: " + shrinker.story().failure.checker);
  shrinker.ShortenTime();
  for (std::uint64_t before = UINT64_MAX;;) {
    shrinker.LeaveOutKinds();
    shrinker.LeaveOut(&Overrides::skipped_faults, shrinker.fault_steps());
    shrinker.LeaveOut(&Overrides::skipped_operations, shrinker.operation_steps());
    const Story& story = shrinker.story();
    told(Describe(story));
    if (story.faults + story.operations >= before) return story;
    before = story.faults + story.operations;
  }
}

std::string Describe(const Story& story) {
  const auto of = [](std::uint64_t left, std::uint64_t all, const char* what) {
    return std::to_string(left) + " of " + std::to_string(all) + what;
  };
  return of(story.faults, story.faults_before, " faults and ") +
         of(story.operations, story.operations_before, " operations are left after ") +
         std::to_string(story.runs) + " runs: " + story.failure.checker + ": " +
         story.failure.message;
}

}  // namespace raftkv::sim
