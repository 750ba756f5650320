// What did one log entry change, for whoever is to be told of it?
//
// In memory right after the apply, with values (EntryChanges); and in the engine, without them, for
// whoever comes later (change sets, written with the entry). A value that was put at revision R is
// read at its key at R, and what was there before at R - 1.
//
// A key has one change in a revision, the last one: what a batch puts and then deletes was deleted.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <raftkv/status.h>

#include "lib/base/bytes.h"
#include "lib/kv/arena.h"
#include "lib/kv/engine.h"
#include "lib/kv/record.h"

namespace raftkv::kv {

/// The numbers are part of the format of change sets.
enum class ChangeKind : std::uint8_t { kPut = 0, kDelete = 1 };

struct Change {
  std::uint64_t revision = 0;
  ChangeKind kind = ChangeKind::kPut;
  std::string_view key = {};
  std::string_view value = {};  ///< kPut
  Counts counts = {};           ///< kPut: what the key has from then on
};

/// What one entry changed, in order of revisions and, within one, of operations. Immutable once it
/// is handed out; it borrows the entry's payload, which it keeps alive, where the bytes are from
/// there.
class EntryChanges {
 public:
  explicit EntryChanges(Bytes payload) : payload_(std::move(payload)) {}
  EntryChanges(const EntryChanges&) = delete;
  EntryChanges& operator=(const EntryChanges&) = delete;

  /// What is not in the payload is copied.
  void Put(std::uint64_t revision, std::string_view key, std::string_view value,
           const Counts& counts);
  void Delete(std::uint64_t revision, std::string_view key);
  /// Nothing is added any more: leaves one change a key and revision.
  void Finish();

  [[nodiscard]] const std::vector<Change>& changes() const { return changes_; }
  /// About what it adds to the past that is kept on the disk: the change set, and what was there
  /// before, taken to be as large as what came after it.
  [[nodiscard]] std::size_t PastBytes() const;
  /// What it takes in memory.
  [[nodiscard]] std::size_t size_bytes() const;

 private:
  std::string_view Keep(std::string_view bytes);

  const Bytes payload_;
  std::vector<Change> changes_;
  Arena copies_;
};
/// Null where nothing was changed.
using ChangesPtr = std::shared_ptr<const EntryChanges>;

/// A row of the engine. Its key has the revision of its *last* change, and then which of the rows
/// that end in this revision it is, from 0: so whoever reads from revision R on begins at 'c' R,
/// and a row is below a bound if its key is.
struct ChangeSetRow {
  std::string key;
  std::string value;
};
/// Rows are of about this many bytes, however much an entry changes.
inline constexpr std::size_t kChangeSetBytes = 1 << 20;
/// Of what is finished and not empty.
std::vector<ChangeSetRow> EncodeChangeSets(const EntryChanges& changes,
                                           std::size_t max_bytes = kChangeSetBytes);

struct LoggedChange {
  std::uint64_t revision = 0;
  ChangeKind kind = ChangeKind::kPut;
  std::string_view key;  ///< borrows the row
  friend bool operator==(const LoggedChange&, const LoggedChange&) = default;
};
/// Corruption: it is no such row.
Result<std::vector<LoggedChange>> DecodeChangeSet(std::string_view engine_key,
                                                  std::string_view value);
/// The revision of the last change of a row, of its key; 0: it is no such key.
std::uint64_t LastRevisionOfChangeSet(std::string_view engine_key);
/// Where the rows begin that have changes of `revision` and above, and where all rows end.
std::string ChangeSetsFrom(std::uint64_t revision);
std::string EndOfChangeSets();

/// A page of the change log.
struct ChangePage {
  struct Item {
    std::uint64_t revision = 0;
    ChangeKind kind = ChangeKind::kPut;
    std::string key;
  };
  std::vector<Item> changes;
  /// Revisions up to this one are in it completely; the next page begins after it.
  std::uint64_t through = 0;
};
/// Changes of the revisions from `from` to `last`, which is what `view` reflects, in order: whole
/// revisions, as many as fit `max_bytes`, at least one. Compacted: changes at `from` may be gone.
Result<ChangePage> ReadChanges(View& view, std::uint64_t from, std::uint64_t last,
                               std::size_t max_bytes);

}  // namespace raftkv::kv
