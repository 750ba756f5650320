#include "tests/support/linearizability/linearizability_problem.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "lib/base/check.h"

namespace raftkv::test::linear {
namespace {

using Kind = ClientOp::Kind;
using Outcome = History::Outcome;

std::optional<std::int64_t> ParseNumber(std::string_view text) {
  std::int64_t number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) return std::nullopt;
  return number;
}

/// Writes the operations of a history into a problem, one after the other.
class Writer {
 public:
  Writer(const KeyTable& table, const std::vector<std::uint32_t>& keys, Problem& problem)
      : table_(table), keys_(keys), problem_(problem) {
    for (const std::uint32_t key : keys) problem.AddSlot(table.names[key]);
    value_of_.resize(keys.size());
  }

  void Add(History::Id id, const History::Record& record) {
    slots_.clear();
    for (const std::uint32_t key : table_.touched[id]) {
      const auto at = std::lower_bound(keys_.begin(), keys_.end(), key);
      if (at == keys_.end() || *at != key) continue;
      slots_.push_back(static_cast<Slot>(at - keys_.begin()));
    }
    if (slots_.empty()) return;
    whole_ = slots_.size() == table_.touched[id].size();
    touches_ = 0;
    for (const Slot slot : slots_) touches_ |= std::uint64_t{1} << (slot % 64);
    if (record.outcome == Outcome::kOk) {
      AddAnswered(id, record);
    } else {
      AddDoubtful(id, record);
    }
  }

 private:
  void AddAnswered(History::Id id, const History::Record& record) {
    Answered op;
    op.id = id;
    op.called = record.called;
    op.returned = record.returned;
    op.touches = touches_;
    op.demands.begin = static_cast<std::uint32_t>(problem_.demands.size());
    op.counted.begin = op.counted.end = static_cast<std::uint32_t>(problem_.counted.size());
    AddDemands(record, op);
    op.demands.end = static_cast<std::uint32_t>(problem_.demands.size());
    op.sets = AddSets(record);
    problem_.answered.push_back(op);
  }

  void AddDemands(const History::Record& record, Answered& op) {
    const ClientAnswer& answer = record.answer;
    switch (record.op.kind) {
      case Kind::kPut:
      case Kind::kBatch: return;
      case Kind::kGet: return DemandIs(slots_[0], problem_.values.OfMaybe(answer.value));
      case Kind::kDelete:
      case Kind::kDeleteRange: return DemandCount(answer, op);
      case Kind::kCompareAndSwap: return DemandOfSwap(record);
      case Kind::kIncrement: return DemandSum(record);
      case Kind::kScan:
        if (answer.number.has_value()) return DemandCount(answer, op);
        return DemandPairs(answer);
      case Kind::kMultiGet: return DemandPairs(answer);
      case Kind::kTxn: return DemandOfTxn(record);
    }
  }

  void DemandIs(Slot slot, std::uint32_t value) {
    const Pair pair = problem_.PairOf(slot, value);
    ++problem_.pairs[pair].demanded;
    problem_.demands.push_back({Demand::Kind::kIs, slot, pair, 0, 0});
  }

  void DemandIsNot(Slot slot, std::uint32_t value) {
    const Pair pair = problem_.PairOf(slot, value);
    problem_.pairs[pair].named = true;
    problem_.slots[slot].asked_not = true;
    problem_.demands.push_back({Demand::Kind::kIsNot, slot, pair, 0, 0});
  }

  void DemandCount(const ClientAnswer& answer, Answered& op) {
    if (!answer.number.has_value() || !whole_) return;
    if (*answer.number == 0) {
      for (const Slot slot : slots_) DemandIs(slot, 0);
      return;
    }
    op.count = *answer.number;
    for (const Slot slot : slots_) {
      problem_.slots[slot].asked_not = true;
      problem_.pairs[problem_.slots[slot].absent].named = true;
      problem_.counted.push_back(slot);
    }
    op.counted.end = static_cast<std::uint32_t>(problem_.counted.size());
  }

  void DemandOfSwap(const History::Record& record) {
    const std::uint32_t expected = problem_.values.OfMaybe(record.op.expected);
    const ClientAnswer& answer = record.answer;
    if (!answer.refused) return DemandIs(slots_[0], expected);
    if (answer.has_value) DemandIs(slots_[0], problem_.values.OfMaybe(answer.value));
    if (!answer.has_value || answer.value == record.op.expected) DemandIsNot(slots_[0], expected);
  }

  void DemandOfTxn(const History::Record& record) {
    const ClientAnswer& answer = record.answer;
    bool differs = false;
    for (const auto& [key, value] : record.op.all_expected) {
      const Slot slot = SlotOf(key);
      const std::uint32_t expected = problem_.values.OfMaybe(value);
      if (slot == kNoSlot) {
        differs = true;  // perhaps
      } else if (!answer.refused) {
        DemandIs(slot, expected);
      } else {
        const auto found = std::find_if(answer.pairs.begin(), answer.pairs.end(),
                                        [&k = key](const auto& pair) { return pair.first == k; });
        const std::uint32_t is =
            found == answer.pairs.end() ? 0 : problem_.values.Of(found->second);
        DemandIs(slot, is);
        differs = differs || is != expected;
      }
    }
    // It was refused though everything was as expected: nothing fits.
    if (!answer.refused || differs) return;
    const auto& [key, value] = record.op.all_expected.front();
    DemandIsNot(SlotOf(key), problem_.values.OfMaybe(value));
  }

  static constexpr Slot kNoSlot = UINT32_MAX;
  /// Of the problem, if the key belongs to it.
  [[nodiscard]] Slot SlotOf(const std::string& key) const {
    const auto at = std::lower_bound(keys_.begin(), keys_.end(), key,
                                     [this](std::uint32_t index, const std::string& name) {
                                       return table_.names[index] < name;
                                     });
    if (at == keys_.end() || table_.names[*at] != key) return kNoSlot;
    return static_cast<Slot>(at - keys_.begin());
  }

  void DemandSum(const History::Record& record) {
    const std::int64_t delta = record.op.delta;
    std::int64_t before = 0;
    const bool refused = record.answer.refused;
    const std::int64_t sum = record.answer.number.value_or(0);
    const bool fits = !__builtin_sub_overflow(sum, delta, &before);
    if (!refused && fits && before != 0 && !table_.odd_numbers) {
      return DemandIs(slots_[0], problem_.values.Of(std::to_string(before)));
    }
    if (refused || !fits || table_.odd_numbers) {
      problem_.slots[slots_[0]].asked_otherwise = true;
    } else {  // 0, which absence stands for too
      problem_.pairs[problem_.PairOf(slots_[0], problem_.values.Of("0"))].named = true;
      problem_.pairs[problem_.slots[slots_[0]].absent].named = true;
    }
    const auto kind = refused ? Demand::Kind::kNoSum : Demand::Kind::kSumIs;
    problem_.demands.push_back({kind, slots_[0], 0, delta, sum});
  }

  void DemandPairs(const ClientAnswer& answer) {
    for (const Slot slot : slots_) value_of_[slot] = 0;
    for (const auto& [key, value] : answer.pairs) {
      if (const Slot slot = SlotOf(key); slot != kNoSlot) {
        value_of_[slot] = problem_.values.Of(value);
      }
    }
    for (const Slot slot : slots_) DemandIs(slot, value_of_[slot]);
  }

  Span AddSets(const History::Record& record) {
    Span span;
    span.begin = static_cast<std::uint32_t>(problem_.sets.size());
    const auto add = [this](Slot slot, std::uint32_t value) {
      const Pair pair = problem_.PairOf(slot, value);
      ++problem_.pairs[pair].set_by;
      problem_.sets.push_back(pair);
    };
    const ClientOp& op = record.op;
    if (!record.answer.refused) {
      if (op.kind == Kind::kPut || op.kind == Kind::kCompareAndSwap) {
        add(slots_[0], problem_.values.Of(op.value));
      } else if (op.kind == Kind::kIncrement) {
        add(slots_[0], problem_.values.Of(std::to_string(record.answer.number.value_or(0))));
      } else if (op.kind == Kind::kDelete || op.kind == Kind::kDeleteRange) {
        for (const Slot slot : slots_) add(slot, 0);
      } else if (op.kind == Kind::kBatch || op.kind == Kind::kTxn) {
        for (const Slot slot : slots_) {
          // A transaction may read a key that it does not write.
          if (const auto value = LastValue(op, problem_.slots[slot].key)) add(slot, *value);
        }
      }
    }
    span.end = static_cast<std::uint32_t>(problem_.sets.size());
    return span;
  }

  std::optional<std::uint32_t> LastValue(const ClientOp& op, std::string_view key) {
    std::optional<std::uint32_t> value;
    for (const Batch::Operation& part : op.batch) {
      if (part.key == key) value = part.is_delete ? 0 : problem_.values.Of(part.value);
    }
    return value;
  }

  void AddDoubtful(History::Id id, const History::Record& record) {
    Doubtful write;
    write.id = id;
    write.called = record.called;
    write.slot = slots_[0];
    write.touches = touches_;
    SlotInfo& slot = problem_.slots[write.slot];
    if (record.op.kind == Kind::kIncrement) {
      write.kind = Doubtful::Kind::kAdd;
      write.delta = record.op.delta;
      slot.has_adds = slot.has_swaps_or_adds = true;
    } else {
      write.sets = AddSets(record);
      write.desired = problem_.sets[write.sets.begin];
      write.kind = slots_.size() > 1 ? Doubtful::Kind::kSetMany : Doubtful::Kind::kSet;
    }
    if (record.op.kind == Kind::kCompareAndSwap) {
      write.kind = Doubtful::Kind::kSwap;
      write.expected = problem_.PairOf(write.slot, problem_.values.OfMaybe(record.op.expected));
      problem_.pairs[write.expected].named = true;
      slot.has_swaps_or_adds = true;
    }
    const auto index = static_cast<std::uint32_t>(problem_.doubtful.size());
    write.same_before = SameBefore(write, index);
    if (write.kind == Doubtful::Kind::kSetMany) {
      problem_.many.push_back(index);
    } else {
      slot.doubtful.push_back(index);
    }
    problem_.doubtful.push_back(write);
  }

  std::uint32_t SameBefore(const Doubtful& write, std::uint32_t index) {
    std::vector<std::uint64_t> effect = {static_cast<std::uint64_t>(write.kind), write.slot,
                                         write.expected, static_cast<std::uint64_t>(write.delta)};
    for (std::uint32_t i = write.sets.begin; i < write.sets.end; ++i) {
      effect.push_back(problem_.sets[i]);
    }
    const auto [at, is_new] = latest_.try_emplace(std::move(effect), index);
    return is_new ? Doubtful::kNone : std::exchange(at->second, index);
  }

  const KeyTable& table_;
  const std::vector<std::uint32_t>& keys_;
  Problem& problem_;
  /// Of the operation at hand: what it touches of the problem, and whether that is all.
  std::vector<Slot> slots_;
  bool whole_ = false;
  std::uint64_t touches_ = 0;
  std::vector<std::uint32_t> value_of_;
  std::map<std::vector<std::uint64_t>, std::uint32_t> latest_;
};

}  // namespace

Values::Values() {
  texts_.emplace_back();
  numbers_.emplace_back(0);
}

std::uint32_t Values::Of(std::string_view text) {
  const auto found = ids_.find(text);
  if (found != ids_.end()) return found->second;
  const auto id = static_cast<std::uint32_t>(texts_.size());
  texts_.emplace_back(text);
  numbers_.push_back(ParseNumber(text));
  ids_.emplace(texts_.back(), id);
  return id;
}

Slot Problem::AddSlot(std::string_view key) {
  const auto slot = static_cast<Slot>(slots.size());
  slots.emplace_back().key = key;
  slots[slot].absent = PairOf(slot, 0);
  return slot;
}

Pair Problem::PairOf(Slot slot, std::uint32_t value) {
  const std::uint64_t id = (std::uint64_t{slot} << 32) | value;
  const auto [at, is_new] = pair_ids_.try_emplace(id, static_cast<Pair>(pairs.size()));
  if (is_new) pairs.push_back({slot, value, 0, 0});
  return at->second;
}

Problem MakeProblem(const History& history, const KeyTable& table, Values& values,
                    const std::vector<std::uint32_t>& keys, const std::vector<History::Id>& ids) {
  Problem problem(values);
  problem.answered.reserve(ids.size());
  Writer writer(table, keys, problem);
  for (const History::Id id : ids) writer.Add(id, history.records()[id]);
  return problem;
}

}  // namespace raftkv::test::linear
