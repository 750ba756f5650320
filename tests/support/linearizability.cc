#include "tests/support/linearizability.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <sstream>
#include <vector>

#include "tests/support/linearizability_problem.h"
#include "tests/support/linearizability_search.h"

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
    std::vector<Component> components = Split(table_);
    // Small ones first: they are decided at once, and explain best.
    std::stable_sort(components.begin(), components.end(),
                     [](const auto& a, const auto& b) { return a.ids.size() < b.ids.size(); });
    if (FindImpossibleCount()) return result_;
    for (const Component& component : components) {
      if (Check(component)) return result_;
    }
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

  /// True if a violation was found.
  bool Check(const Component& component) {
    // A short try decides nearly all. Then each joined key by itself, where a violation is quickly
    // found and easy to explain, before the whole is searched to the end.
    const bool joined = component.keys.size() > 1;
    const std::uint64_t quick = joined ? 1000 + component.ids.size() * 20 : budget_;
    Verdict verdict = Search(component.keys, component.ids, quick);
    if (verdict == Verdict::kLinearizable) return false;
    if (joined) {
      const std::string whole = result_.explanation;
      for (const std::uint32_t key : component.keys) {
        if (Search({key}, component.ids, kStepsOfOneKey) == Verdict::kNotLinearizable) {
          return Found();
        }
      }
      result_.explanation = whole;
      if (verdict == Verdict::kGaveUp) {
        verdict = Search(component.keys, component.ids, budget_);
      }
    }
    if (verdict == Verdict::kNotLinearizable) return Found();
    if (verdict == Verdict::kGaveUp) {
      result_.verdict = Verdict::kGaveUp;
      given_up_ = result_.explanation;
    }
    if (result_.verdict == Verdict::kGaveUp) result_.explanation = given_up_;
    return false;
  }

  bool Found() {
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
    if (verdict == Verdict::kNotLinearizable) Explain(problem, search.best());
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

  void Explain(const linear::Problem& problem, const linear::Search::Best& best) {
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
    out << "\nand this, which returned next, cannot take effect before it did:\n  "
        << history_.Describe(best.blocked) << "\n";
    if (!best.pending.empty()) out << "under way at that time:\n";
    for (std::size_t i = 0; i < std::min(kMostPending, best.pending.size()); ++i) {
      out << "  " << history_.Describe(best.pending[i]) << "\n";
    }
    result_.explanation = out.str();
  }

  static constexpr std::uint64_t kStepsOfOneKey = 100'000;

  const History& history_;
  const linear::KeyTable table_;
  linear::Values values_;
  std::uint64_t budget_;
  std::string given_up_;
  CheckResult result_;
};

}  // namespace

CheckResult CheckLinearizability(const History& history, std::uint64_t step_budget) {
  CheckResult result = Checker(history, step_budget).Run();
  if (result.verdict == Verdict::kLinearizable) result.explanation.clear();
  return result;
}

}  // namespace raftkv::test
