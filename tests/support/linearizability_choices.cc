// What may take effect next? (linearizability_search.h says why this is enough)
#include <optional>

#include "tests/support/linearizability_search.h"

namespace raftkv::test::linear {

void Search::PushNode() {
  Node node;
  node.mark = MarkHere();
  node.choices_begin = node.next = choices_.size();
  node.chain_steps_begin = chain_steps_.size();
  const std::uint32_t first_index = by_return_[first_return_];
  if (!CannotBeSettled(first())) {
    const std::uint64_t connected = ConnectedToFirst();
    AddChoice(first_index);
    for (std::uint32_t at = FirstPending(); at != 0 && MayTakeEffect(at - 1); at = next_[at]) {
      const bool touches = (problem_.answered[at - 1].touches & connected) != 0;
      if (touches && at - 1 != first_index) AddChoice(at - 1);
    }
    for (const std::uint32_t index : problem_.many) {
      const Doubtful& write = problem_.doubtful[index];
      if ((write.touches & connected) == 0 || !IsUsable(index) || !IsWorthSetting(write)) continue;
      choices_.push_back({true, index, {}});
    }
  }
  node.end = choices_.size();
  nodes_.push_back(node);
}

void Search::AddChoice(std::uint32_t index) {
  if (Finds(problem_.answered[index])) {
    choices_.push_back({false, index, {}});
  } else {
    AddChains(index);
  }
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
    const PairInfo& info = problem_.pairs[pair];
    if (state_[info.slot] == pair) continue;
    const SlotInfo& slot = problem_.slots[info.slot];
    if (info.demanded > 0 || slot.asked_otherwise || slot.has_swaps_or_adds) return true;
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
    if (!Finds(demand)) return TryInChain(index, demand.slot, &demand, chain, seen);
  }
  if (!CountFits(op)) {
    for (std::uint32_t i = op.counted.begin; i < op.counted.end; ++i) {
      TryInChain(index, problem_.counted[i], nullptr, chain, seen);
    }
    return;
  }
  Choice choice{false, index, {}};
  choice.chain.begin = static_cast<std::uint32_t>(chain_steps_.size());
  chain_steps_.insert(chain_steps_.end(), chain.begin(), chain.end());
  choice.chain.end = static_cast<std::uint32_t>(chain_steps_.size());
  choices_.push_back(choice);
}

void Search::TryInChain(std::uint32_t index, Slot slot, const Demand* demand,
                        std::vector<std::uint32_t>& chain, HashSet& seen) {
  const SlotInfo& info = problem_.slots[slot];
  const bool is_pair = demand != nullptr && demand->kind == Demand::Kind::kIs;
  for (const std::uint32_t write : info.doubtful) {
    if (!IsUsable(write)) continue;
    const std::optional<Pair> outcome = Outcome(problem_.doubtful[write]);
    if (!outcome.has_value()) continue;
    // Any other pair helps only where a further write makes something of it.
    if (is_pair && *outcome != demand->pair && !info.has_swaps_or_adds) continue;
    // The budget ends the search as a whole before what is missing here could be missed.
    if (++steps_ > budget_) return;
    const Mark mark = MarkHere();
    chain.push_back(write);
    if (TakeDoubtful(write, *outcome) && seen.Insert(hash_)) ExtendChain(index, chain, seen);
    chain.pop_back();
    UndoTo(mark);
  }
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
