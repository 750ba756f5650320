// How is an order found, or shown not to exist, without trying all of them?
//
// A configuration is (which operations have taken effect, state). From each the search tries what
// may take effect next, depth first, and never enters a configuration twice: they are remembered by
// 128-bit hashes, and a collision, should one ever happen, can only hide an order, not invent one.
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
#pragma once

#include <cstdint>
#include <vector>

#include "tests/support/linearizability.h"
#include "tests/support/linearizability_problem.h"

namespace raftkv::test::linear {

/// Open addressing; 128 bits a key.
class HashSet {
 public:
  struct Key {
    std::uint64_t a = 0;
    std::uint64_t b = 0;
    bool operator==(const Key&) const = default;
    Key operator^(const Key& other) const { return {a ^ other.a, b ^ other.b}; }
  };
  HashSet() : cells_(256) {}
  /// False if it was there.
  bool Insert(Key key);

 private:
  void Grow();
  std::vector<Key> cells_;
  std::size_t size_ = 0;
};

class Search {
 public:
  /// `problem` outlives the search; its counts are in use while it runs.
  explicit Search(Problem& problem);

  Verdict Run(std::uint64_t step_budget);
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
    HashSet::Key hash;
  };
  /// Doubtful writes (a piece of chain_steps_), then an answered operation; or one of many keys.
  struct Choice {
    bool many = false;
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
  bool AllDone() const { return first_return_ == by_return_.size(); }
  const Answered& first() const { return problem_.answered[by_return_[first_return_]]; }
  std::uint32_t FirstPending() const { return next_[0]; }
  bool MayTakeEffect(std::uint32_t pending) const;

  bool Finds(const Answered& op) const;
  bool Finds(const Demand& demand) const;
  bool CountFits(const Answered& op) const;

  void PushNode();
  void AddChoice(std::uint32_t index);
  bool CannotBeSettled(const Answered& op) const;
  std::uint64_t ConnectedToFirst() const;
  bool IsUsable(std::uint32_t doubtful) const;
  bool IsWorthSetting(const Doubtful& many) const;
  void AddChains(std::uint32_t index);
  void ExtendChain(std::uint32_t index, std::vector<std::uint32_t>& chain, HashSet& seen);
  void TryInChain(std::uint32_t index, Slot slot, const Demand* demand,
                  std::vector<std::uint32_t>& chain, HashSet& seen);
  std::optional<Pair> Outcome(const Doubtful& write);

  bool Take(const Choice& choice);
  bool TakeAnswered(std::uint32_t index);
  bool TakeDoubtful(std::uint32_t index, Pair outcome);
  bool TakeMany(std::uint32_t index);
  void TakeWhatOnlyDemands();
  bool Set(Pair pair);
  void CountSettersOf(const Doubtful& write, std::uint32_t change);
  Mark MarkHere() const { return {order_.size(), changes_.size(), first_return_, hash_}; }
  void UndoTo(const Mark& mark);
  void KeepIfBest();

  Problem& problem_;
  std::vector<std::uint32_t> by_return_;  ///< answered operations
  /// A doubly linked list of the answered operations that have not taken effect, by call; operation
  /// i is element i + 1, element 0 both ends.
  std::vector<std::uint32_t> next_;
  std::vector<std::uint32_t> previous_;
  std::vector<bool> taken_;  ///< answered
  std::vector<bool> used_;   ///< doubtful
  std::vector<Pair> state_;
  std::vector<Step> order_;
  std::vector<Change> changes_;
  std::size_t first_return_ = 0;  ///< into by_return_: the first that has not taken effect
  HashSet::Key hash_;
  HashSet seen_;
  std::vector<Node> nodes_;
  std::vector<Choice> choices_;
  std::vector<std::uint32_t> chain_steps_;
  std::uint64_t steps_ = 0;
  std::uint64_t budget_ = 0;
  bool has_best_ = false;
  std::size_t best_first_return_ = 0;
  Best best_;
};

}  // namespace raftkv::test::linear
