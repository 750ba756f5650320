// How is the log of events read, for watchers that are behind what is in memory?
#include <string>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/mutants.h"
#include "lib/kv/layout.h"
#include "lib/kv/revisions.h"
#include "lib/kv/watch.h"

namespace raftkv::kv {
namespace {

/// Reads the values that the rows do not have, while it goes over them: so what it holds is one
/// page, however much one revision has changed.
class LogReader {
 public:
  LogReader(View& view, const WatchOp& op, std::uint64_t last, std::size_t max_visited_bytes)
      : view_(view), op_(op), last_(last), max_visited_bytes_(max_visited_bytes), page_(op) {}

  Status Run() {
    const std::uint64_t from = op_.position.next;
    const Status scanned = view_.Scan(
        ChangeSetsFrom(from), EndOfChangeSets(),
        [this](std::string_view key, std::string_view value) { return Row(key, value); });
    // After the read: what was dropped while it went on may be missing in it.
    const std::uint64_t lowest = view_.LowestRevision();
    if (from < lowest && !RAFTKV_MUTANT(kCompactedWhileRead)) return CompactedStatus(from, lowest);
    if (!scanned.ok()) return scanned;
    if (failure_.ok() && !stopped_) page_.CompleteThrough(last_);
    return failure_;
  }

  [[nodiscard]] const WatchPageBuilder& page() const { return page_; }

 private:
  /// False: no further rows.
  bool Row(std::string_view row_key, std::string_view row_value) {
    const auto row = DecodeChangeSet(row_key, row_value);
    if (!row.ok()) {
      failure_ = row.status();
      return false;
    }
    for (const LoggedChange& change : *row) {
      if (change.revision < op_.position.next) continue;
      if (change.revision > last_) return false;
      if (change.revision > page_.position().next && MayStop()) {
        // Between two revisions: everything before this one was looked at.
        page_.CompleteThrough(change.revision - 1);
        stopped_ = true;
        return false;
      }
      visited_bytes_ += change.key.size() + sizeof(LoggedChange);
      if (!page_.Wants(change.revision, change.kind, change.key)) continue;
      if (!AddEvent(change)) return false;
    }
    return true;
  }

  [[nodiscard]] bool MayStop() const { return visited_bytes_ > max_visited_bytes_; }

  bool AddEvent(const LoggedChange& change) {
    WatchEventView event;
    event.revision = change.revision;
    event.kind = change.kind;
    event.key = bytes_.Copy(change.key);
    if (change.kind == ChangeKind::kPut && !ReadValue(event)) return false;
    if (op_.previous && !ReadPrevious(event)) return false;
    stopped_ = !page_.Add(event);
    return !stopped_;
  }

  bool ReadValue(WatchEventView& event) {
    const auto record = view_.GetAt(DataKey(event.key), event.revision);
    if (!record.ok()) return Fail(record.status());
    if (!record->has_value()) return Fail(Missing(event));
    const auto data = DecodeDataRecord(**record);
    if (!data.ok()) return Fail(data.status());
    if (data->counts.mod_revision != event.revision) return Fail(Missing(event));
    event.value = bytes_.Copy(data->value);
    event.counts = data->counts;
    visited_bytes_ += data->value.size();
    return true;
  }

  /// What was compacted is left out: the event itself, at the lowest revision, can be had.
  bool ReadPrevious(WatchEventView& event) {
    const auto record = view_.GetAt(DataKey(event.key), event.revision - 1);
    if (record.code() == Code::kCompacted) return true;
    if (!record.ok()) return Fail(record.status());
    if (!record->has_value()) return true;
    const auto data = DecodeDataRecord(**record);
    if (!data.ok()) return Fail(data.status());
    event.previous = {.value = bytes_.Copy(data->value), .counts = data->counts};
    visited_bytes_ += data->value.size();
    return true;
  }

  [[nodiscard]] Status Missing(const WatchEventView& event) const {
    if (const std::uint64_t lowest = view_.LowestRevision(); event.revision < lowest) {
      return CompactedStatus(event.revision, lowest);
    }
    return {Code::kCorruption, "the value of the change at revision " +
                                   std::to_string(event.revision) + " is not there"};
  }

  bool Fail(Status status) {
    failure_ = std::move(status);
    return false;
  }

  View& view_;
  const WatchOp& op_;
  const std::uint64_t last_;
  const std::size_t max_visited_bytes_;
  WatchPageBuilder page_;
  Arena bytes_;
  std::size_t visited_bytes_ = 0;
  bool stopped_ = false;  ///< before `last_`
  Status failure_;
};

}  // namespace

Result<WatchLogPage> ReadWatchLog(Engine& engine, const WatchOp& op, std::uint64_t last,
                                  std::size_t max_visited_bytes) {
  RAFTKV_CHECK(op.position.next > 0);
  const std::unique_ptr<View> view = engine.NewView(ReadTier::kAll);
  LogReader reader(*view, op, last, max_visited_bytes);
  if (Status status = reader.Run(); !status.ok()) return status;
  WatchLogPage page{.response = {}, .position = reader.page().position()};
  if (!reader.page().empty()) page.response = reader.page().Encode(last);
  return page;
}

}  // namespace raftkv::kv
