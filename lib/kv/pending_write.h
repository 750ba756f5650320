// What is decided but not written yet, and what does a key hold given that?
//
// Gathers the mutations of several entries into one Engine::Write. A put only appends; the first
// operation that reads sorts what was gathered, so that puts do not pay for it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <raftkv/status.h>

#include "lib/kv/arena.h"
#include "lib/kv/engine.h"
#include "lib/kv/parse.h"

namespace raftkv::kv {

class PendingWrite {
 public:
  explicit PendingWrite(Engine& engine) : engine_(engine) {}

  void PutData(std::string_view key, std::uint64_t mod_revision, std::string_view value);
  void DeleteData(std::string_view key);
  /// A record of the store itself, under its whole key.
  void PutRecord(std::string_view engine_key, std::string_view record);
  void DeleteRecord(std::string_view engine_key);

  /// The value of `key` as if everything so far were written.
  Result<std::optional<std::string>> GetData(std::string_view key);
  /// The keys in `range` as if everything so far were written. They stay until Write().
  Result<std::vector<std::string_view>> DataKeys(const RangeView& range);

  [[nodiscard]] std::size_t size_bytes() const { return arena_.used_bytes(); }
  /// All in one Engine::Write; afterwards nothing is pending.
  Status Write();

 private:
  void Sort();
  View& view();

  Engine& engine_;
  Arena arena_;
  std::vector<Mutation> mutations_;
  /// The latest of mutations_[0, sorted_count_) a key.
  std::map<std::string_view, std::size_t> latest_;
  std::size_t sorted_count_ = 0;
  /// The engine as it was before these mutations; made with the first read.
  std::unique_ptr<View> view_;
};

}  // namespace raftkv::kv
