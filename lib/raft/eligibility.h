// Which members may campaign, vote, take over the leadership, or be counted?
//
// Everything that can prevent it, in one table with the reasons; the rest of the core asks here.
//
//   trait          stand   vote    take over  count   because
//   no vote        no      yes*    no         -       the configuration gives it none
//   suspect        no      no      no         no      its disk lost something
//   installing     no      no      -          yes     its log is about to be replaced
//   promised       later   no      -          yes     a leader may hold a lease by its promise
//   unheard        -       -       no         later   it may be down
//   disk hangs     no      yes**   no         yes     nothing becomes durable there
//   full           later   yes     later      yes     a member with space leads better
//
//   *   A member votes if it is asked, whatever it believes its role to be (thesis §4.2.1).
//   **  Its answer waits for the disk.
//   -   Cannot be known there, or cannot happen.
//
// A member that is alone in the configuration has no one to hand over to, and no one who could rely
// on a promise: neither "promised" nor "disk hangs" applies to it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace raftkv::raft {

enum class Trait : std::uint8_t {
  kNoVote,
  kSuspect,
  kInstalling,
  kPromised,
  kUnheard,
  kDiskHangs,
  kFull,
};
inline constexpr std::size_t kTraits = 7;

enum class Duty : std::uint8_t {
  kStand,     ///< for election, by itself or because the leader asks it to
  kVote,      ///< for another, in a pre-vote or in an election
  kTakeOver,  ///< the leadership, from a leader that looks for a successor
  kCount,     ///< for commit, read rounds and leases; "later": not for check-quorum
};

/// In the order of strictness. Later: if no other member can, or once the reason has passed.
enum class Verdict : std::uint8_t { kYes, kLater, kNo };

class Traits {
 public:
  constexpr void Add(Trait trait) { bits_ |= Bit(trait); }
  constexpr void Remove(Trait trait) { bits_ &= ~Bit(trait); }
  [[nodiscard]] constexpr bool Has(Trait trait) const { return (bits_ & Bit(trait)) != 0; }

 private:
  static constexpr unsigned Bit(Trait trait) { return 1U << static_cast<unsigned>(trait); }
  unsigned bits_ = 0;
};

/// The strictest that any of `traits` says of `duty`.
[[nodiscard]] Verdict Judge(Traits traits, Duty duty);
/// The reason of the trait that decides so, as the end of "the member cannot take over: "; null if
/// nothing is in the way.
[[nodiscard]] const char* WhyNot(Traits traits, Duty duty);

}  // namespace raftkv::raft
