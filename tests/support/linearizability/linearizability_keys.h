// Which keys does a history name, and which of them does each operation touch?
#pragma once

#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tests/support/linearizability/history.h"

namespace raftkv::test::linear {

/// The history outlives it.
struct KeyTable {
  explicit KeyTable(const History& history);
  std::vector<std::string_view> names;  ///< ascending
  /// Indices into `names`, without repeats; empty for what need not be looked at.
  std::vector<std::vector<std::uint32_t>> touched;
  /// Two values may stand for one number ("7" and "07"), as absence and "0" always do.
  bool odd_numbers = false;

 private:
  void AddNames(const History::Record& record);
  void AddTouched(const History::Record& record, std::vector<std::uint32_t>& touched) const;
  void AddRange(const History::Record& record, std::vector<std::uint32_t>& touched) const;

  std::unordered_map<std::string_view, std::uint32_t> ids_;
};

}  // namespace raftkv::test::linear
