#include "lib/kv/change_set.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>

#include "lib/base/check.h"
#include "lib/kv/layout.h"
#include "lib/kv/varint.h"

namespace raftkv::kv {
namespace {

Status Damaged() { return {Code::kCorruption, "a change set is damaged"}; }

}  // namespace

std::string_view EntryChanges::Keep(std::string_view bytes) {
  const std::string_view payload = payload_.view();
  const std::less_equal<> before;
  const bool is_payload = before(payload.data(), bytes.data()) &&
                          before(bytes.data() + bytes.size(), payload.data() + payload.size());
  return is_payload ? bytes : copies_.Copy(bytes);
}

void EntryChanges::Put(std::uint64_t revision, std::string_view key, std::string_view value,
                       const Counts& counts) {
  changes_.push_back({.revision = revision,
                      .kind = ChangeKind::kPut,
                      .key = Keep(key),
                      .value = Keep(value),
                      .counts = counts});
}

void EntryChanges::Delete(std::uint64_t revision, std::string_view key) {
  changes_.push_back({.revision = revision, .kind = ChangeKind::kDelete, .key = Keep(key)});
}

void EntryChanges::Finish() {
  // Nearly always each revision has one change, and nothing is to be done.
  const auto same_revision = [](const Change& a, const Change& b) {
    return a.revision == b.revision;
  };
  if (std::adjacent_find(changes_.begin(), changes_.end(), same_revision) == changes_.end()) return;
  std::vector<std::size_t> order(changes_.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  const auto name = [&](std::size_t i) { return std::pair(changes_[i].revision, changes_[i].key); };
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return name(a) < name(b); });
  std::vector<bool> gone(changes_.size());
  for (std::size_t i = 1; i < order.size(); ++i) {
    gone[order[i - 1]] = name(order[i - 1]) == name(order[i]);
  }
  std::size_t kept = 0;
  for (std::size_t i = 0; i < changes_.size(); ++i) {
    if (!gone[i]) changes_[kept++] = changes_[i];
  }
  changes_.resize(kept);
}

std::size_t EntryChanges::PastBytes() const {
  constexpr std::size_t kOverheadBytes = 32;
  std::size_t bytes = 0;
  for (const Change& change : changes_) {
    bytes += change.key.size() + kOverheadBytes;
    const bool is_new = change.kind == ChangeKind::kPut && change.counts.version == 1;
    if (!is_new) bytes += change.key.size() + change.value.size() + kOverheadBytes;
  }
  return bytes;
}

std::size_t EntryChanges::size_bytes() const {
  return sizeof(*this) + payload_.size() + copies_.used_bytes() +
         changes_.capacity() * sizeof(Change);
}

std::vector<ChangeSetRow> EncodeChangeSets(const EntryChanges& entry, std::size_t max_bytes) {
  const std::vector<Change>& changes = entry.changes();
  RAFTKV_CHECK(!changes.empty());
  std::vector<ChangeSetRow> rows;
  std::uint32_t part = 0;
  for (std::size_t first = 0; first < changes.size();) {
    std::size_t end = first;
    std::size_t bytes = 0;
    do {
      bytes += changes[end].key.size() + 2 * kMaxVarintBytes;
      ++end;
    } while (end < changes.size() && bytes < max_bytes);
    const std::uint64_t last = changes[end - 1].revision;
    const bool is_next_part = first > 0 && changes[first - 1].revision == last;
    part = is_next_part ? part + 1 : 0;
    ChangeSetRow& row = rows.emplace_back();
    row.key = ChangeSetsFrom(last);
    AppendBigEndian32(row.key, part);
    row.value.reserve(bytes);
    row.value.push_back(static_cast<char>(kRecordFormatVersion));
    AppendVarint(row.value, last - changes[first].revision);
    std::uint64_t revision = changes[first].revision;
    for (; first < end; ++first) {
      const Change& change = changes[first];
      RAFTKV_CHECK(change.revision >= revision, change.revision, revision);
      const std::uint64_t step = change.revision - std::exchange(revision, change.revision);
      AppendVarint(row.value, step << 1 | static_cast<std::uint64_t>(change.kind));
      AppendVarint(row.value, change.key.size());
      row.value += change.key;
    }
  }
  return rows;
}

Result<std::vector<LoggedChange>> DecodeChangeSet(std::string_view engine_key,
                                                  std::string_view value) {
  const std::uint64_t last = LastRevisionOfChangeSet(engine_key);
  if (last == 0) return Damaged();
  if (Status status = TakeFormatVersion(value, "a change set"); !status.ok()) return status;
  std::uint64_t span = 0;
  if (!TakeVarint(value, span) || span >= last || value.empty()) return Damaged();
  std::uint64_t revision = last - span;
  std::vector<LoggedChange> changes;
  while (!value.empty()) {
    std::uint64_t head = 0;
    std::uint64_t key_bytes = 0;
    if (!TakeVarint(value, head) || !TakeVarint(value, key_bytes)) return Damaged();
    if (head >> 1 > last - revision || key_bytes > value.size()) return Damaged();
    revision += head >> 1;
    changes.push_back({revision, static_cast<ChangeKind>(head & 1), value.substr(0, key_bytes)});
    value.remove_prefix(key_bytes);
  }
  if (revision != last) return Damaged();
  return changes;
}

std::uint64_t LastRevisionOfChangeSet(std::string_view engine_key) {
  if (engine_key.empty() || engine_key.front() != kChangeSetPrefix) return 0;
  engine_key.remove_prefix(1);
  const auto last = TakeBigEndian64(engine_key);
  const auto part = TakeBigEndian32(engine_key);
  return last.has_value() && part.has_value() && engine_key.empty() ? *last : 0;
}

std::string ChangeSetsFrom(std::uint64_t revision) {
  std::string key(1, kChangeSetPrefix);
  AppendBigEndian64(key, revision);
  return key;
}

std::string EndOfChangeSets() { return std::string(1, kChangeSetPrefix + 1); }

Result<ChangePage> ReadChanges(View& view, std::uint64_t from, std::uint64_t last,
                               std::size_t max_bytes) {
  ChangePage page;
  std::size_t bytes = 0;
  std::size_t whole = 0;  // so many changes are of revisions that are in it completely
  bool full = false;
  Status damage;
  const Status scanned =
      view.Scan(ChangeSetsFrom(from), EndOfChangeSets(), [&](auto row_key, auto value) {
        const auto row = DecodeChangeSet(row_key, value);
        if (!row.ok()) damage = row.status();
        if (!row.ok()) return false;
        for (const LoggedChange& change : *row) {
          if (change.revision < from) continue;
          const bool begins =
              page.changes.empty() || change.revision != page.changes.back().revision;
          if (begins) whole = page.changes.size();
          full = begins && bytes >= max_bytes;
          if (full || change.revision > last) return false;
          bytes += sizeof(ChangePage::Item) + change.key.size();
          page.changes.push_back({change.revision, change.kind, std::string(change.key)});
        }
        return true;
      });
  if (!scanned.ok()) return scanned;
  if (!damage.ok()) return damage;
  // After the read: what was dropped while it went on may be missing in it.
  if (const std::uint64_t lowest = view.LowestRevision(); from < lowest) {
    return CompactedStatus(from, lowest);
  }
  page.through = last;
  if (full) {
    page.changes.resize(whole);
    page.through = page.changes.back().revision;
  }
  return page;
}

}  // namespace raftkv::kv
