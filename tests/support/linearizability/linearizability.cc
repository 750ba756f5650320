#include "tests/support/linearizability/linearizability.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <sstream>
#include <vector>

#include "tests/support/linearizability/linearizability_problem.h"
#include "tests/support/linearizability/linearizability_search.h"

namespace raftkv::test {
namespace {

/// Keys that operations join, and these operations.
struct Component {
  std::vector<std::uint32_t> keys;
  std::vector<History::Id> ids;
};

std::vector<Component> Split(const linear::KeyTable& table) {
  std::vector<std::uint32_t> parent(table.names.size());
  std::iota(parent.begin(), parent.end(), 0U);
  const auto root = [&parent](std::uint32_t key) {
    while (parent[key] != key) key = parent[key] = parent[parent[key]];
    return key;
  };
  for (const auto& keys : table.touched) {
    for (const std::uint32_t key : keys) parent[root(key)] = root(keys[0]);
  }
  std::vector<Component> components;
  std::vector<std::size_t> place(parent.size(), SIZE_MAX);
  for (std::uint32_t key = 0; key < parent.size(); ++key) {
    std::size_t& at = place[root(key)];
    if (at == SIZE_MAX) {
      at = components.size();
      components.emplace_back();
    }
    components[at].keys.push_back(key);
  }
  for (History::Id id = 0; id < table.touched.size(); ++id) {
    const auto& keys = table.touched[id];
    if (!keys.empty()) components[place[root(keys[0])]].ids.push_back(id);
  }
  return components;
}

class Checker {
 public:
  Checker(const History& history, std::uint64_t step_budget)
      : history_(history), table_(history), budget_(step_budget) {}

  CheckResult Run() {
    if (FindImpossibleCount()) return result_;
    // A short try decides nearly all, and a hard one must not eat up what the others need.
    std::vector<Component> undecided;
    const std::vector<Component> components = Split(table_);
    for (const Component& component : components) {
      const std::uint64_t share = budget_ / components.size();
      const std::uint64_t quick = std::min(share, 1000 + component.ids.size() * 20);
      const Verdict verdict = Search(component.keys, component.ids, quick);
      if (verdict == Verdict::kNotLinearizable) return FoundIn(component);
      if (verdict == Verdict::kGaveUp) undecided.push_back(component);
    }
    std::string given_up;
    for (const Component& component : undecided) {
      if (FindInSomeKeys(component)) return result_;
      const Verdict verdict = Search(component.keys, component.ids, budget_);
      if (verdict == Verdict::kNotLinearizable) return FoundIn(component);
      if (verdict == Verdict::kGaveUp) given_up += result_.explanation;
    }
    result_.verdict = given_up.empty() ? Verdict::kLinearizable : Verdict::kGaveUp;
    result_.explanation = given_up;
    return result_;
  }

 private:
  /// A count of keys that nobody ever named joins no component.
  bool FindImpossibleCount() {
    for (History::Id id = 0; id < table_.touched.size(); ++id) {
      const History::Record& record = history_.records()[id];
      if (record.outcome != History::Outcome::kOk || !table_.touched[id].empty()) continue;
      if (record.answer.number.value_or(0) == 0) continue;
      result_.verdict = Verdict::kNotLinearizable;
      result_.explanation = "not linearizable: nobody ever wrote a key of this range\n  " +
                            history_.Describe(id) + "\n";
      return true;
    }
    return false;
  }

  /// A violation; that of fewer keys, should there be one, explains it better.
  CheckResult FoundIn(const Component& component) {
    const std::string whole = result_.explanation;
    if (!FindInSomeKeys(component)) {
      result_.verdict = Verdict::kNotLinearizable;
      result_.explanation = whole;
    }
    return result_;
  }

  /// Whether one or two of the joined keys have no order even by themselves: soon found, where a
  /// search of the whole may take long.
  bool FindInSomeKeys(const Component& component) {
    constexpr std::size_t kMostKeysForPairs = 12;
    const std::vector<std::uint32_t>& keys = component.keys;
    if (keys.size() < 2) return false;
    for (const std::uint32_t key : keys) {
      if (FindIn({key}, component.ids)) return true;
    }
    if (keys.size() < 3 || keys.size() > kMostKeysForPairs) return false;
    for (std::size_t i = 0; i < keys.size(); ++i) {
      for (std::size_t j = i + 1; j < keys.size(); ++j) {
        if (FindIn({keys[i], keys[j]}, component.ids)) return true;
      }
    }
    return false;
  }

  bool FindIn(const std::vector<std::uint32_t>& keys, const std::vector<History::Id>& ids) {
    constexpr std::uint64_t kMostSteps = 20'000;
    if (Search(keys, ids, std::min(budget_ / 2, kMostSteps)) != Verdict::kNotLinearizable) {
      return false;
    }
    result_.verdict = Verdict::kNotLinearizable;
    return true;
  }

  Verdict Search(const std::vector<std::uint32_t>& keys, const std::vector<History::Id>& ids,
                 std::uint64_t most_steps) {
    linear::Problem problem = MakeProblem(history_, table_, values_, keys, ids);
    linear::Search search(problem);
    const Verdict verdict = search.Run(std::min(most_steps, budget_));
    result_.steps += search.steps();
    budget_ -= std::min(budget_, search.steps());
    if (verdict == Verdict::kNotLinearizable) {
      constexpr std::uint64_t kMostStepsToExplain = 20'000;
      linear::Problem again = MakeProblem(history_, table_, values_, keys, ids);
      linear::Search plain(again);
      const bool ends = plain.Run(kMostStepsToExplain, false) == Verdict::kNotLinearizable;
      Explain(again, ends ? plain.best() : search.best(), ends);
    }
    if (verdict == Verdict::kGaveUp) {
      result_.explanation = "undecided after " + std::to_string(result_.steps) +
                            " steps: " + Describe(problem) + "\n";
    }
    return verdict;
  }

  static std::string Describe(const linear::Problem& problem) {
    constexpr std::size_t kMostKeys = 8;
    std::ostringstream out;
    out << problem.answered.size() << " answered and " << problem.doubtful.size()
        << " doubtful operations on " << problem.slots.size() << " keys:";
    for (std::size_t i = 0; i < std::min(kMostKeys, problem.slots.size()); ++i) {
      out << " \"" << problem.slots[i].key << "\"";
    }
    if (problem.slots.size() > kMostKeys) out << " ..";
    return out.str();
  }

  void Explain(const linear::Problem& problem, const linear::Search::Best& best, bool is_plain) {
    constexpr std::size_t kMostSteps = 8;
    constexpr std::size_t kMostPending = 8;
    std::ostringstream out;
    out << "not linearizable: " << Describe(problem) << "\n";
    if (best.nobody_sets_it) {
      out << "nobody wrote what this found:\n  " << history_.Describe(best.blocked) << "\n";
      result_.explanation = out.str();
      return;
    }
    const std::size_t shown = std::min(kMostSteps, best.order.size());
    out << "the order that gets furthest has " << best.order.size() << " operations, and ends:\n";
    for (std::size_t i = best.order.size() - shown; i < best.order.size(); ++i) {
      out << "  " << history_.Describe(best.order[i]) << "\n";
    }
    out << "then the state is\n ";
    for (const linear::Pair pair : best.state) {
      const linear::PairInfo& info = problem.pairs[pair];
      const std::string value = info.value == 0 ? "absent" : problem.values.text(info.value);
      out << " \"" << problem.slots[info.slot].key << "\" = " << value.substr(0, 32) << ";";
    }
    out << "\nand this, which returned next, cannot take effect before it did"
        << (is_plain ? "" : " (or a later answer has no order)") << ":\n  "
        << history_.Describe(best.blocked) << "\n";
    if (!best.pending.empty()) out << "under way at that time:\n";
    for (std::size_t i = 0; i < std::min(kMostPending, best.pending.size()); ++i) {
      out << "  " << history_.Describe(best.pending[i]) << "\n";
    }
    result_.explanation = out.str();
  }

  const History& history_;
  const linear::KeyTable table_;
  linear::Values values_;
  std::uint64_t budget_;
  CheckResult result_;
};

}  // namespace

CheckResult CheckLinearizability(const History& history, std::uint64_t step_budget) {
  CheckResult result = Checker(history, step_budget).Run();
  if (result.verdict == Verdict::kLinearizable) result.explanation.clear();
  return result;
}

}  // namespace raftkv::test
