#include "tests/support/linearizability/linearizability_search.h"

#include <algorithm>
#include <numeric>

#include "lib/base/check.h"

namespace raftkv::test::linear {
namespace {

std::uint64_t Mix(std::uint64_t z) {
  z += 0x9e3779b97f4a7c15ULL;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

/// What the hash of a configuration is a sum of.
enum class Part : std::uint64_t { kAnswered = 1, kDoubtful = 2, kPair = 3 };

HashSet::Key KeyOf(Part part, std::uint32_t index) {
  const std::uint64_t id = (static_cast<std::uint64_t>(part) << 32) | index;
  return {Mix(id), Mix(id ^ 0x5bf03635d1f8a9c7ULL)};
}

}  // namespace

Search::Search(Problem& problem) : problem_(problem) {
  const std::size_t count = problem.answered.size();
  by_return_.resize(count);
  std::iota(by_return_.begin(), by_return_.end(), 0U);
  std::sort(by_return_.begin(), by_return_.end(), [&](std::uint32_t a, std::uint32_t b) {
    return problem.answered[a].returned < problem.answered[b].returned;
  });
  next_.resize(count + 1);
  previous_.resize(count + 1);
  for (std::uint32_t i = 0; i <= count; ++i) {
    next_[i] = i == count ? 0 : i + 1;
    previous_[i] = i == 0 ? static_cast<std::uint32_t>(count) : i - 1;
  }
  taken_.resize(count);
  used_.resize(problem.doubtful.size());
  for (const SlotInfo& slot : problem.slots) state_.push_back(slot.absent);
}

Verdict Search::Run(std::uint64_t step_budget, bool look_ahead) {
  budget_ = step_budget;
  look_ahead_ = look_ahead;
  if (FindUnsettable()) return Verdict::kNotLinearizable;
  TakeWhatOnlyDemands();
  if (AllDone()) return Verdict::kLinearizable;
  PushNode();
  while (!nodes_.empty()) {
    if (++steps_ > budget_) return Verdict::kGaveUp;
    Node& node = nodes_.back();
    UndoTo(node.mark);
    if (node.next == node.end) {
      KeepIfBest();
      choices_.resize(node.choices_begin);
      chain_steps_.resize(node.chain_steps_begin);
      nodes_.pop_back();
      continue;
    }
    const Choice choice = choices_[node.next++];
    if (choice.kind == Choice::Kind::kFindChains) {
      AddChains(choice.index);
      node.end = choices_.size();
      continue;
    }
    if (!Take(choice)) continue;
    TakeWhatOnlyDemands();
    if (AllDone()) return Verdict::kLinearizable;
    if (IsNew()) PushNode();
  }
  return Verdict::kNotLinearizable;
}

bool Search::MattersStill(Pair pair) const {
  const PairInfo& info = problem_.pairs[pair];
  const SlotInfo& slot = problem_.slots[info.slot];
  return info.demanded > 0 || info.named || slot.asked_otherwise || slot.has_adds;
}

/// A pair that is as good as any other may still be wanted in the place of a named one.
bool Search::IsWorthSetting(Pair pair) const {
  return MattersStill(pair) || problem_.slots[problem_.pairs[pair].slot].asked_not;
}

bool Search::MattersStill(const Doubtful& write) const {
  if (write.kind == Doubtful::Kind::kAdd) return true;
  for (std::uint32_t i = write.sets.begin; i < write.sets.end; ++i) {
    if (IsWorthSetting(problem_.sets[i])) return true;
  }
  return false;
}

HashSet::Key Search::Configuration() const {
  HashSet::Key key = answered_hash_;
  for (const Pair pair : state_) {
    if (MattersStill(pair)) key = key ^ KeyOf(Part::kPair, pair);
  }
  for (const std::uint32_t index : in_use_) {
    if (MattersStill(problem_.doubtful[index])) key = key ^ KeyOf(Part::kDoubtful, index);
  }
  return key;
}

/// Remembers the configuration; false if it, or one that is as good, was entered before.
bool Search::IsNew() {
  const HashSet::Key here = Configuration();
  if (!seen_.Insert(here)) return false;
  // Rule 5 costs a look for each write in use: not before the search has lost its way.
  if (steps_ < 2 * problem_.answered.size()) return true;
  return std::none_of(in_use_.begin(), in_use_.end(), [&](std::uint32_t index) {
    return MattersStill(problem_.doubtful[index]) &&
           seen_.Contains(here ^ KeyOf(Part::kDoubtful, index));
  });
}

bool Search::FindUnsettable() {
  for (const std::uint32_t index : by_return_) {
    const Answered& op = problem_.answered[index];
    for (std::uint32_t i = op.demands.begin; i < op.demands.end; ++i) {
      const Demand& demand = problem_.demands[i];
      const SlotInfo& slot = problem_.slots[demand.slot];
      if (demand.kind != Demand::Kind::kIs || demand.pair == slot.absent) continue;
      if (slot.has_adds || problem_.pairs[demand.pair].set_by > 0) continue;
      best_.blocked = op.id;
      best_.nobody_sets_it = true;
      best_.state = state_;
      return true;
    }
  }
  return false;
}

bool Search::MayTakeEffect(std::uint32_t pending) const {
  return problem_.answered[pending].called < first().returned;
}

bool Search::Finds(const Demand& demand) const {
  const Pair now = state_[demand.slot];
  if (demand.kind == Demand::Kind::kIs) return now == demand.pair;
  if (demand.kind == Demand::Kind::kIsNot) return now != demand.pair;
  const auto& number = problem_.values.number(problem_.pairs[now].value);
  std::int64_t sum = 0;
  const bool fits = number.has_value() && !__builtin_add_overflow(*number, demand.delta, &sum);
  if (demand.kind == Demand::Kind::kNoSum) return !fits;
  return fits && sum == demand.sum;
}

std::int64_t Search::CountMissing(const Answered& op) const {
  if (op.counted.empty()) return 0;
  std::int64_t count = 0;
  for (std::uint32_t i = op.counted.begin; i < op.counted.end; ++i) {
    if (!IsAbsent(problem_.counted[i])) ++count;
  }
  return op.count - count;
}

bool Search::Finds(const Answered& op) const {
  for (std::uint32_t i = op.demands.begin; i < op.demands.end; ++i) {
    if (!Finds(problem_.demands[i])) return false;
  }
  return CountMissing(op) == 0;
}

/// Rule 1 of the header. One pass is enough: nothing changes.
void Search::TakeWhatOnlyDemands() {
  for (std::uint32_t at = FirstPending(); at != 0 && !AllDone(); at = next_[at]) {
    const std::uint32_t index = at - 1;
    if (!MayTakeEffect(index)) return;
    const Answered& op = problem_.answered[index];
    if (op.sets.empty() && Finds(op)) TakeAnswered(index);
  }
}

bool Search::Take(const Choice& choice) {
  if (choice.kind == Choice::Kind::kMany) return TakeMany(choice.index);
  for (std::uint32_t i = choice.chain.begin; i < choice.chain.end; ++i) {
    const std::uint32_t index = chain_steps_[i];
    const std::optional<Pair> outcome = Outcome(problem_.doubtful[index]);
    RAFTKV_CHECK(outcome.has_value(), index);
    if (!TakeDoubtful(index, *outcome)) return false;
  }
  return TakeAnswered(choice.index);
}

bool Search::TakeAnswered(std::uint32_t index) {
  const Answered& op = problem_.answered[index];
  RAFTKV_CHECK(!taken_[index], op.id);
  RAFTKV_CHECK(Finds(op), op.id);
  order_.push_back({false, index});
  next_[previous_[index + 1]] = next_[index + 1];
  previous_[next_[index + 1]] = previous_[index + 1];
  taken_[index] = true;
  answered_hash_ = answered_hash_ ^ KeyOf(Part::kAnswered, index);
  for (std::uint32_t i = op.demands.begin; i < op.demands.end; ++i) {
    const Demand& demand = problem_.demands[i];
    if (demand.kind == Demand::Kind::kIs) --problem_.pairs[demand.pair].demanded;
  }
  for (std::uint32_t i = op.sets.begin; i < op.sets.end; ++i) {
    --problem_.pairs[problem_.sets[i]].set_by;
  }
  bool alive = true;
  for (std::uint32_t i = op.sets.begin; i < op.sets.end; ++i) {
    alive = Set(problem_.sets[i]) && alive;
  }
  while (!AllDone() && taken_[by_return_[first_return_]]) ++first_return_;
  return alive;
}

void Search::CountSettersOf(const Doubtful& write, std::uint32_t change) {
  for (std::uint32_t i = write.sets.begin; i < write.sets.end; ++i) {
    problem_.pairs[problem_.sets[i]].set_by += change;
  }
}

bool Search::TakeDoubtful(std::uint32_t index, Pair outcome) {
  order_.push_back({true, index});
  used_[index] = true;
  in_use_.push_back(index);
  CountSettersOf(problem_.doubtful[index], static_cast<std::uint32_t>(-1));
  return Set(outcome);
}

bool Search::TakeMany(std::uint32_t index) {
  const Doubtful& write = problem_.doubtful[index];
  order_.push_back({true, index});
  used_[index] = true;
  in_use_.push_back(index);
  CountSettersOf(write, static_cast<std::uint32_t>(-1));
  bool alive = true;
  for (std::uint32_t i = write.sets.begin; i < write.sets.end; ++i) {
    alive = Set(problem_.sets[i]) && alive;
  }
  return alive;
}

/// False if there is no order from here (rule 4).
bool Search::Set(Pair pair) {
  const Slot slot = problem_.pairs[pair].slot;
  const Pair before = state_[slot];
  if (before == pair) return true;
  changes_.push_back({slot, before});
  state_[slot] = pair;
  if (!look_ahead_) return true;
  const PairInfo& lost = problem_.pairs[before];
  return lost.demanded == 0 || lost.set_by > 0 || problem_.slots[slot].has_adds;
}

void Search::UndoTo(const Mark& mark) {
  while (order_.size() > mark.steps) {
    const Step step = order_.back();
    order_.pop_back();
    if (step.doubtful) {
      used_[step.index] = false;
      in_use_.pop_back();
      CountSettersOf(problem_.doubtful[step.index], 1);
      continue;
    }
    const Answered& op = problem_.answered[step.index];
    taken_[step.index] = false;
    next_[previous_[step.index + 1]] = step.index + 1;
    previous_[next_[step.index + 1]] = step.index + 1;
    for (std::uint32_t i = op.demands.begin; i < op.demands.end; ++i) {
      const Demand& demand = problem_.demands[i];
      if (demand.kind == Demand::Kind::kIs) ++problem_.pairs[demand.pair].demanded;
    }
    for (std::uint32_t i = op.sets.begin; i < op.sets.end; ++i) {
      ++problem_.pairs[problem_.sets[i]].set_by;
    }
  }
  for (; changes_.size() > mark.changes; changes_.pop_back()) {
    state_[changes_.back().slot] = changes_.back().before;
  }
  first_return_ = mark.first_return;
  answered_hash_ = mark.answered_hash;
}

void Search::KeepIfBest() {
  if (has_best_ && first_return_ < best_first_return_) return;
  if (has_best_ && first_return_ == best_first_return_ && order_.size() <= best_.order.size()) {
    return;
  }
  has_best_ = true;
  best_first_return_ = first_return_;
  best_.order.clear();
  for (const Step& step : order_) {
    best_.order.push_back(step.doubtful ? problem_.doubtful[step.index].id
                                        : problem_.answered[step.index].id);
  }
  best_.state = state_;
  best_.blocked = first().id;
  best_.pending.clear();
  for (std::uint32_t at = FirstPending(); at != 0 && MayTakeEffect(at - 1); at = next_[at]) {
    const History::Id id = problem_.answered[at - 1].id;
    if (id != best_.blocked) best_.pending.push_back(id);
  }
}

}  // namespace raftkv::test::linear
