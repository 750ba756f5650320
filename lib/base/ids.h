// Which number is this: a term, an index, a member? Strong types, so that none is mistaken for
// another.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>

namespace raftkv {

template <class Tag>
struct StrongId {
  std::uint64_t value = 0;

  constexpr StrongId() = default;
  constexpr explicit StrongId(std::uint64_t v) : value(v) {}

  friend constexpr auto operator<=>(StrongId, StrongId) = default;
};

/// A counted number: it has a successor and distances.
template <class Tag>
struct StrongCount : StrongId<Tag> {
  using StrongId<Tag>::StrongId;

  constexpr StrongCount Next() const { return StrongCount(this->value + 1); }
  /// The previous one; 0 stays 0.
  constexpr StrongCount Previous() const { return StrongCount(this->value ? this->value - 1 : 0); }
  constexpr StrongCount& operator++() {
    ++this->value;
    return *this;
  }
  friend constexpr StrongCount operator+(StrongCount a, std::uint64_t n) {
    return StrongCount(a.value + n);
  }
  friend constexpr std::uint64_t operator-(StrongCount a, StrongCount b) {
    return a.value - b.value;
  }
  friend constexpr auto operator<=>(StrongCount, StrongCount) = default;
};

/// A member's random 64-bit id; 0 is kNobody.
using NodeId = StrongId<struct NodeIdTag>;
/// A cluster's random 64-bit id; 0 is a cluster that has not formed yet.
using ClusterId = StrongId<struct ClusterIdTag>;
using Term = StrongCount<struct TermTag>;
/// A position in the log; the first entry has 1, 0 is before it.
using Index = StrongCount<struct IndexTag>;

inline constexpr NodeId kNobody{};

}  // namespace raftkv

template <class Tag>
struct std::hash<raftkv::StrongId<Tag>> {
  std::size_t operator()(raftkv::StrongId<Tag> id) const noexcept {
    return std::hash<std::uint64_t>{}(id.value);
  }
};
template <class Tag>
struct std::hash<raftkv::StrongCount<Tag>> {
  std::size_t operator()(raftkv::StrongCount<Tag> id) const noexcept {
    return std::hash<std::uint64_t>{}(id.value);
  }
};
