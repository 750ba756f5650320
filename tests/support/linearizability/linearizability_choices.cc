// What may take effect next? (linearizability_search.h says why this is enough)
#include <optional>

#include "tests/support/linearizability/linearizability_search.h"

namespace raftkv::test::linear {

void Search::PushNode() {
  Node node;
  node.mark = MarkHere();
  node.choices_begin = node.next = choices_.size();
  node.chain_steps_begin = chain_steps_.size();
  const std::uint32_t first_index = by_return_[first_return_];
  if (!CannotBeSettled(first())) {
    const std::uint64_t connected = ConnectedToFirst();
    if (Finds(first())) {
      choices_.push_back({Choice::Kind::kAnswered, first_index, {}});
    } else {
      AddChains(first_index);
    }
    std::size_t without_chains = choices_.size();
    for (std::uint32_t at = FirstPending(); at != 0 && MayTakeEffect(at - 1); at = next_[at]) {
      const Answered& op = problem_.answered[at - 1];
      if ((op.touches & connected) == 0 || at - 1 == first_index) continue;
      const bool finds = Finds(op);
      choices_.push_back({finds ? Choice::Kind::kAnswered : Choice::Kind::kFindChains, at - 1, {}});
      if (finds) std::swap(choices_.back(), choices_[without_chains++]);
    }
    for (const std::uint32_t index : problem_.many) {
      const Doubtful& write = problem_.doubtful[index];
      if ((write.touches & connected) == 0 || !IsUsable(index) || !IsWorthSetting(write)) continue;
      choices_.push_back({Choice::Kind::kMany, index, {}});
    }
  }
  node.end = choices_.size();
  nodes_.push_back(node);
}

/// Whether `op` demands a pair that nothing which may take effect before it can bring about.
bool Search::CannotBeSettled(const Answered& op) const {
  for (std::uint32_t i = op.demands.begin; i < op.demands.end; ++i) {
    const Demand& demand = problem_.demands[i];
    if (demand.kind != Demand::Kind::kIs || Finds(demand)) continue;
    bool possible = problem_.slots[demand.slot].has_adds;
    const auto sets_it = [&](Span sets) {
      for (std::uint32_t j = sets.begin; j < sets.end && !possible; ++j) {
        possible = problem_.sets[j] == demand.pair;
      }
    };
    for (std::uint32_t at = FirstPending(); at != 0 && MayTakeEffect(at - 1); at = next_[at]) {
      if (&problem_.answered[at - 1] != &op) sets_it(problem_.answered[at - 1].sets);
    }
    for (const std::uint32_t index : problem_.slots[demand.slot].doubtful) {
      if (IsUsable(index)) sets_it(problem_.doubtful[index].sets);
    }
    for (const std::uint32_t index : problem_.many) {
      if (IsUsable(index)) sets_it(problem_.doubtful[index].sets);
    }
    if (!possible) return true;
  }
  return false;
}

/// Rule 2: the keys that a chain of operations which may take effect now joins to the first's.
std::uint64_t Search::ConnectedToFirst() const {
  std::uint64_t connected = first().touches;
  if (problem_.slots.size() == 1) return connected;
  for (std::uint64_t before = 0; before != connected;) {
    before = connected;
    for (std::uint32_t at = FirstPending(); at != 0 && MayTakeEffect(at - 1); at = next_[at]) {
      const std::uint64_t touches = problem_.answered[at - 1].touches;
      if ((touches & connected) != 0) connected |= touches;
    }
    for (const std::uint32_t index : problem_.many) {
      const std::uint64_t touches = problem_.doubtful[index].touches;
      if ((touches & connected) != 0 && IsUsable(index)) connected |= touches;
    }
  }
  return connected;
}

bool Search::IsUsable(std::uint32_t doubtful) const {
  const Doubtful& write = problem_.doubtful[doubtful];
  if (used_[doubtful] || write.called > first().returned) return false;
  return write.same_before == Doubtful::kNone || used_[write.same_before];
}

/// Otherwise nobody would see it, and it can be left out.
bool Search::IsWorthSetting(const Doubtful& many) const {
  for (std::uint32_t i = many.sets.begin; i < many.sets.end; ++i) {
    const Pair pair = problem_.sets[i];
    if (state_[problem_.pairs[pair].slot] != pair && IsWorthSetting(pair)) return true;
  }
  return false;
}

/// Every shortest row of doubtful writes after which the operation finds what it demands (rule 3).
void Search::AddChains(std::uint32_t index) {
  if (problem_.doubtful.size() == problem_.many.size()) return;
  std::vector<std::uint32_t> chain;
  HashSet seen;
  ExtendChain(index, chain, seen);
}

void Search::ExtendChain(std::uint32_t index, std::vector<std::uint32_t>& chain, HashSet& seen) {
  const Answered& op = problem_.answered[index];
  for (std::uint32_t i = op.demands.begin; i < op.demands.end; ++i) {
    const Demand& demand = problem_.demands[i];
    if (!Finds(demand)) return ExtendForDemand(index, demand, chain, seen);
  }
  if (CountMissing(op) != 0) return ExtendForCount(index, chain, seen);
  Choice choice{Choice::Kind::kAnswered, index, {}};
  choice.chain.begin = static_cast<std::uint32_t>(chain_steps_.size());
  chain_steps_.insert(chain_steps_.end(), chain.begin(), chain.end());
  choice.chain.end = static_cast<std::uint32_t>(chain_steps_.size());
  choices_.push_back(choice);
}

void Search::ExtendForDemand(std::uint32_t index, const Demand& demand,
                             std::vector<std::uint32_t>& chain, HashSet& seen) {
  const SlotInfo& slot = problem_.slots[demand.slot];
  for (const std::uint32_t write : slot.doubtful) {
    if (!IsUsable(write)) continue;
    const std::optional<Pair> outcome = Outcome(problem_.doubtful[write]);
    if (!outcome.has_value()) continue;
    // Any other pair helps only where a further write makes something of it.
    const bool helps = demand.kind != Demand::Kind::kIs || *outcome == demand.pair;
    if (helps || slot.has_swaps_or_adds) TryInChain(index, write, *outcome, chain, seen);
  }
}

/// One write for each key that is to come or go, in the order of the keys: what brings others, or
/// takes others away, can as well do so behind the operation, or is overwritten by it.
void Search::ExtendForCount(std::uint32_t index, std::vector<std::uint32_t>& chain, HashSet& seen) {
  const Answered& op = problem_.answered[index];
  const bool too_few = CountMissing(op) > 0;
  const Slot begin = chain.empty() ? 0 : problem_.doubtful[chain.back()].slot + 1;
  for (std::uint32_t i = op.counted.begin; i < op.counted.end; ++i) {
    const Slot slot = problem_.counted[i];
    if (slot < begin || IsAbsent(slot) != too_few) continue;
    for (const std::uint32_t write : problem_.slots[slot].doubtful) {
      if (!IsUsable(write)) continue;
      const std::optional<Pair> outcome = Outcome(problem_.doubtful[write]);
      if (!outcome.has_value()) continue;
      const bool will_be_absent = *outcome == problem_.slots[slot].absent;
      if (will_be_absent != too_few) TryInChain(index, write, *outcome, chain, seen);
    }
  }
}

void Search::TryInChain(std::uint32_t index, std::uint32_t write, Pair outcome,
                        std::vector<std::uint32_t>& chain, HashSet& seen) {
  // The budget ends the search as a whole before what is left out here could be missed.
  if (++steps_ > budget_) return;
  const Mark mark = MarkHere();
  chain.push_back(write);
  if (TakeDoubtful(write, outcome) && seen.Insert(Configuration())) ExtendChain(index, chain, seen);
  chain.pop_back();
  UndoTo(mark);
}

/// Nothing if it changes nothing.
std::optional<Pair> Search::Outcome(const Doubtful& write) {
  const Pair now = state_[write.slot];
  Pair outcome = write.desired;
  if (write.kind == Doubtful::Kind::kSwap && now != write.expected) return std::nullopt;
  if (write.kind == Doubtful::Kind::kAdd) {
    const auto& number = problem_.values.number(problem_.pairs[now].value);
    std::int64_t sum = 0;
    if (!number.has_value() || __builtin_add_overflow(*number, write.delta, &sum)) {
      return std::nullopt;
    }
    outcome = problem_.PairOf(write.slot, problem_.values.Of(std::to_string(sum)));
  }
  return outcome == now ? std::nullopt : std::optional<Pair>(outcome);
}

}  // namespace raftkv::test::linear
