// How is an order found, or shown not to exist, without trying all of them?
//
// A configuration is (which operations have taken effect, state), where a pair that nobody asks for
// any more is as good as any other, and a doubtful write that could only set such pairs as good as
// used up. From each the search tries what may take effect next, depth first, and never enters a
// configuration twice: they are remembered by 128-bit hashes, and a collision, should one ever
// happen, can only hide an order, not invent one.
// What is not tried is what cannot be needed. Take any order that works from here on; then
//  1. an answered operation that only demands, may take effect now, and finds what it demands, can
//     be moved to the front: it changes nothing. It is taken at once and for good.
//  2. let x be the operation that returns first. What stands before x and has no chain of common
//     keys to it can be moved behind x (it returns later). So only what is so connected is tried.
//  3. a doubtful write of one key can be moved back over all that does not touch its key. If the
//     next that does writes it blindly, or finds what it demands without it, then it can be left
//     out, or moved behind that as well. So it is tried only right before an operation that without
//     it does not find what it demands ("chains"; one doubtful write may be there for another).
//     A doubtful write of several keys is a step of its own, as only some of its keys may be
//     overwritten; it is tried only if someone still asks for a pair that it would bring about.
//  4. a pair that is overwritten while someone still demands it must be set by another one again;
//     if nobody is left to do so, there is no order from here.
//  5. what can be reached from a configuration can be reached as well from one with the same state
//     and fewer doubtful writes used up. If that was entered before, this need not be.
// A worked order that 5 (or the memory of configurations) rejects has a twin that uses fewer
// doubtful writes (or as many, and was tried earlier), so some order is rejected by neither.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "tests/support/linearizability/hash_set.h"
#include "tests/support/linearizability/linearizability.h"
#include "tests/support/linearizability/linearizability_problem.h"

namespace raftkv::test::linear {

class Search {
 public:
  /// `problem` outlives the search; its counts are in use while it runs.
  explicit Search(Problem& problem);

  /// Without `look_ahead` rule 4 is not used: slower, but the best order ends where a reader would
  /// expect it to.
  Verdict Run(std::uint64_t step_budget, bool look_ahead = true);
  [[nodiscard]] std::uint64_t steps() const { return steps_; }

  /// How far the best order got; of use after a violation.
  struct Best {
    std::vector<History::Id> order;
    std::vector<Pair> state;
    /// What had returned next, and could not take effect.
    History::Id blocked = 0;
    std::vector<History::Id> pending;  ///< others that might have taken effect next
    bool nobody_sets_it = false;       ///< a value that no operation could have brought about
  };
  [[nodiscard]] const Best& best() const { return best_; }

 private:
  struct Step {
    bool doubtful = false;
    std::uint32_t index = 0;
  };
  struct Change {
    Slot slot = 0;
    Pair before = 0;
  };
  struct Mark {
    std::size_t steps = 0;
    std::size_t changes = 0;
    std::size_t first_return = 0;
    HashSet::Key answered_hash;
  };
  struct Choice {
    enum class Kind : std::uint8_t {
      kAnswered,    ///< after doubtful writes (a piece of chain_steps_) that it needs
      kFindChains,  ///< is replaced by what AddChains() finds for it
      kMany,        ///< a doubtful write of several keys
    };
    Kind kind = Kind::kAnswered;
    std::uint32_t index = 0;
    Span chain;
  };
  struct Node {
    Mark mark;
    std::size_t choices_begin = 0;
    std::size_t chain_steps_begin = 0;
    std::size_t next = 0;
    std::size_t end = 0;
  };

  bool FindUnsettable();
  bool IsNew();
  HashSet::Key Configuration() const;
  bool MattersStill(Pair pair) const;
  bool MattersStill(const Doubtful& write) const;
  bool IsWorthSetting(Pair pair) const;
  bool AllDone() const { return first_return_ == by_return_.size(); }
  const Answered& first() const { return problem_.answered[by_return_[first_return_]]; }
  std::uint32_t FirstPending() const { return next_[0]; }
  bool MayTakeEffect(std::uint32_t pending) const;

  bool Finds(const Answered& op) const;
  bool Finds(const Demand& demand) const;
  /// How many keys too few there are for what was counted; negative: too many.
  std::int64_t CountMissing(const Answered& op) const;
  bool IsAbsent(Slot slot) const { return state_[slot] == problem_.slots[slot].absent; }

  void PushNode();
  bool CannotBeSettled(const Answered& op) const;
  std::uint64_t ConnectedToFirst() const;
  bool IsUsable(std::uint32_t doubtful) const;
  bool IsWorthSetting(const Doubtful& many) const;
  void AddChains(std::uint32_t index);
  void ExtendChain(std::uint32_t index, std::vector<std::uint32_t>& chain, HashSet& seen);
  void ExtendForDemand(std::uint32_t index, const Demand& demand, std::vector<std::uint32_t>& chain,
                       HashSet& seen);
  void ExtendForCount(std::uint32_t index, std::vector<std::uint32_t>& chain, HashSet& seen);
  void TryInChain(std::uint32_t index, std::uint32_t write, Pair outcome,
                  std::vector<std::uint32_t>& chain, HashSet& seen);
  std::optional<Pair> Outcome(const Doubtful& write);

  bool Take(const Choice& choice);
  bool TakeAnswered(std::uint32_t index);
  bool TakeDoubtful(std::uint32_t index, Pair outcome);
  bool TakeMany(std::uint32_t index);
  void TakeWhatOnlyDemands();
  bool Set(Pair pair);
  void CountSettersOf(const Doubtful& write, std::uint32_t change);
  Mark MarkHere() const { return {order_.size(), changes_.size(), first_return_, answered_hash_}; }
  void UndoTo(const Mark& mark);
  void KeepIfBest();

  Problem& problem_;
  std::vector<std::uint32_t> by_return_;  ///< answered operations
  /// A doubly linked list of the answered operations that have not taken effect, by call; operation
  /// i is element i + 1, element 0 both ends.
  std::vector<std::uint32_t> next_;
  std::vector<std::uint32_t> previous_;
  std::vector<bool> taken_;            ///< answered
  std::vector<bool> used_;             ///< doubtful
  std::vector<std::uint32_t> in_use_;  ///< those, in the order of their use
  std::vector<Pair> state_;
  std::vector<Step> order_;
  std::vector<Change> changes_;
  std::size_t first_return_ = 0;  ///< into by_return_: the first that has not taken effect
  HashSet::Key answered_hash_;    ///< of those that have taken effect
  HashSet seen_;
  std::vector<Node> nodes_;
  std::vector<Choice> choices_;
  std::vector<std::uint32_t> chain_steps_;
  std::uint64_t steps_ = 0;
  std::uint64_t budget_ = 0;
  bool look_ahead_ = true;
  bool has_best_ = false;
  std::size_t best_first_return_ = 0;
  Best best_;
};

}  // namespace raftkv::test::linear
