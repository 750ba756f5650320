// How is a part of a history written down for the search: in numbers, with what each operation
// demands and changes?
//
// A *pair* is one value (or absence) of one key; the state of the store is one pair a key. Every
// operation that was answered demands pairs and sets pairs that its answer fixes: an increment that
// returned 5 sets "5", whatever the search has done before.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tests/support/linearizability/history.h"
#include "tests/support/linearizability/linearizability_keys.h"

namespace raftkv::test::linear {

using Slot = std::uint32_t;  ///< a key of the problem
using Pair = std::uint32_t;

/// Numbers for the values of a whole history; 0 is absence.
class Values {
 public:
  Values();
  std::uint32_t Of(std::string_view text);
  std::uint32_t OfMaybe(const std::optional<std::string>& text) { return text ? Of(*text) : 0; }
  /// Absence counts as 0.
  [[nodiscard]] const std::optional<std::int64_t>& number(std::uint32_t value) const {
    return numbers_[value];
  }
  [[nodiscard]] const std::string& text(std::uint32_t value) const { return texts_[value]; }

 private:
  std::deque<std::string> texts_;
  std::vector<std::optional<std::int64_t>> numbers_;
  std::unordered_map<std::string_view, std::uint32_t> ids_;
};

/// What an answer says of the state right before its operation.
struct Demand {
  enum class Kind : std::uint8_t { kIs, kIsNot, kSumIs, kNoSum };
  Kind kind = Kind::kIs;
  Slot slot = 0;
  Pair pair = 0;
  std::int64_t delta = 0;
  std::int64_t sum = 0;
};

struct Span {
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
  [[nodiscard]] bool empty() const { return begin == end; }
};

/// An operation that was answered.
struct Answered {
  History::Id id = 0;
  std::uint32_t called = 0;
  std::uint32_t returned = 0;
  /// The bit slot % 64 of every key touched: two operations without a common bit commute.
  std::uint64_t touches = 0;
  Span demands;
  Span sets;
  /// If not empty: `count` of these slots hold a value.
  Span counted;
  std::int64_t count = 0;
};

/// A write of unknown outcome (reads of unknown outcome say nothing and are left out).
struct Doubtful {
  enum class Kind : std::uint8_t { kSet, kSwap, kAdd, kSetMany };
  static constexpr std::uint32_t kNone = UINT32_MAX;
  History::Id id = 0;
  std::uint32_t called = 0;
  Kind kind = Kind::kSet;
  Slot slot = 0;
  Pair expected = 0;  ///< of a swap
  Pair desired = 0;   ///< of a set or swap
  std::int64_t delta = 0;
  std::uint64_t touches = 0;
  Span sets;  ///< of many
  /// The latest earlier one with the very same effect. Whenever this can be used, so can that: they
  /// are used in order, and the search need not tell them apart.
  std::uint32_t same_before = kNone;
};

struct PairInfo {
  Slot slot = 0;
  std::uint32_t value = 0;
  std::uint32_t demanded = 0;  ///< by so many kIs
  std::uint32_t set_by = 0;    ///< operations, doubtful ones too
  bool named = false;          ///< by anything else that asks whether it is this one
};

struct SlotInfo {
  std::string_view key;
  Pair absent = 0;
  /// Something is asked that any pair but a named one answers ("is not", "there is a value").
  bool asked_not = false;
  /// Something is asked for which each pair counts.
  bool asked_otherwise = false;
  bool has_swaps_or_adds = false;  ///< doubtful ones
  bool has_adds = false;           ///< doubtful ones: pairs that nothing here names may come up
  std::vector<std::uint32_t> doubtful;  ///< of this slot alone
};

struct Problem {
  explicit Problem(Values& all_values) : values(all_values) {}

  Slot AddSlot(std::string_view key);
  Pair PairOf(Slot slot, std::uint32_t value);

  Values& values;
  std::vector<SlotInfo> slots;
  std::vector<PairInfo> pairs;
  std::vector<Answered> answered;   ///< in the order of their calls
  std::vector<Doubtful> doubtful;   ///< in the order of their calls
  std::vector<std::uint32_t> many;  ///< which doubtful ones set more than one slot
  std::vector<Demand> demands;
  std::vector<Pair> sets;
  std::vector<Slot> counted;

 private:
  std::unordered_map<std::uint64_t, Pair> pair_ids_;
};

/// `ids` in ascending order; of each only what concerns `keys`, so a problem with some of the
/// joined keys is weaker than the whole: if it has no solution, nor has the whole.
Problem MakeProblem(const History& history, const KeyTable& table, Values& values,
                    const std::vector<std::uint32_t>& keys, const std::vector<History::Id>& ids);

}  // namespace raftkv::test::linear
