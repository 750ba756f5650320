// What is decided but not written yet, and what does a key hold given that?
//
// Gathers the mutations of several entries into one Engine::Write. A put whose key's counts are in
// memory only appends; the first operation that reads sorts what was gathered, so that puts do not
// pay for it. A range is deleted key by key, since each of them has a past and an event.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <raftkv/status.h>

#include "lib/kv/arena.h"
#include "lib/kv/change_set.h"
#include "lib/kv/counts_cache.h"
#include "lib/kv/engine.h"
#include "lib/kv/lease_table.h"
#include "lib/kv/parse.h"
#include "lib/kv/record.h"

namespace raftkv::kv {

class PendingWrite {
 public:
  PendingWrite(Engine& engine, std::size_t counts_cache_bytes)
      : engine_(engine), counts_(counts_cache_bytes) {}

  /// What changes data from now on is told to `changes`; null: to nobody.
  void ReportTo(EntryChanges* changes) { changes_ = changes; }

  /// Attaches the key to `lease`, which there is; 0: to none.
  Status PutData(std::string_view key, std::uint64_t revision, std::string_view value,
                 std::uint64_t lease = 0);
  /// Whether there was such a key, as if everything so far were written.
  Result<bool> DeleteData(std::string_view key, std::uint64_t revision);
  /// A record of the store itself, under its whole key.
  void PutRecord(std::string_view engine_key, std::string_view record);
  void DeleteRecord(std::string_view engine_key);

  /// The value of `key` as if everything so far were written.
  Result<std::optional<std::string>> GetData(std::string_view key);
  /// Its counts alone, from memory where they are.
  Result<Counts> CountsOf(std::string_view key);
  /// Calls `visit` for each key of `range` that is there, in order, until it returns false, as if
  /// everything so far were written. Nothing may be put or deleted meanwhile.
  using DataVisit = std::function<bool(std::string_view key, const DataRecord& record)>;
  Status VisitData(const RangeView& range, const DataVisit& visit);
  /// Deletes the keys in `range`; how many there were, as if everything so far were written.
  Result<std::uint64_t> DeleteDataRange(const RangeView& range, std::uint64_t revision);

  /// As if everything so far were written; what is changed in it is written by whoever does that.
  LeaseTable& leases() { return leases_; }
  /// The keys that are attached to `lease`, in order.
  Result<std::vector<std::string>> KeysAttachedTo(std::uint64_t lease);

  /// Whether the counts of `key` are in memory, perhaps only now; nothing is pending. `memory`: the
  /// engine's memory as it is now, made here where it is needed.
  bool HasCountsInMemory(std::string_view key, std::unique_ptr<View>& memory);

  [[nodiscard]] std::size_t size_bytes() const { return arena_.used_bytes(); }
  /// Keys that went as part of a range, since the beginning.
  [[nodiscard]] std::uint64_t range_deleted_keys() const { return range_deleted_keys_; }
  /// All in one Engine::Write; afterwards nothing is pending.
  Status Write();

 private:
  void Sort();
  /// The engine's rows from `bounds` as if everything so far were written, in order, until `visit`
  /// returns false.
  Status VisitRows(const EngineRange& bounds, const View::Visit& visit);
  /// Moves `key` from the lease that it was attached to, to `lease`.
  void Attach(std::string_view key, std::uint64_t before, std::uint64_t lease);
  /// The record of `key` as if everything so far were written, valid until the next call; notes its
  /// counts.
  Result<std::optional<DataRecord>> Find(std::string_view key);
  /// What is not in counts_.
  Result<Counts> StoredCounts(std::string_view key);
  View& view();

  Engine& engine_;
  Arena arena_;
  std::vector<Mutation> mutations_;
  /// Of mutations_[0, sorted_count_): the latest of each key.
  std::map<std::string_view, std::size_t> latest_;
  std::size_t sorted_count_ = 0;
  std::uint64_t range_deleted_keys_ = 0;
  /// The engine as it was before these mutations; made with the first read.
  std::unique_ptr<View> view_;
  /// As if everything so far were written.
  CountsCache counts_;
  std::string found_;  ///< by Find in the engine
  EntryChanges* changes_ = nullptr;
  LeaseTable leases_;
};

}  // namespace raftkv::kv
