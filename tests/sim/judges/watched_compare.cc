// Are these the events that a watcher had to be told?
#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "tests/sim/judges/model.h"
#include "tests/sim/judges/watched.h"

namespace raftkv::sim {

namespace {

struct Expected {
  std::uint64_t revision = 0;
  const Model::Event* event = nullptr;
};

bool IsIn(const KeyRange& range, const std::string& key) {
  return key >= range.begin && (range.end.empty() || key < range.end);
}

bool Same(const KeyValue& a, const KeyValue& b) {
  return a.key == b.key && a.value == b.value && a.mod_revision == b.mod_revision &&
         a.create_revision == b.create_revision && a.version == b.version && a.lease == b.lease;
}

std::string Text(const KeyValue& kv) {
  return "'" + kv.value + "' of revision " + std::to_string(kv.mod_revision) + ", created at " +
         std::to_string(kv.create_revision) + ", version " + std::to_string(kv.version) +
         ", lease " + std::to_string(kv.lease);
}

std::string Text(std::uint64_t revision, const std::string& key) {
  return "the change of '" + key + "' at revision " + std::to_string(revision);
}

std::size_t BytesOf(const WatchResponse& response) {
  std::size_t bytes = 0;
  const auto add = [&bytes](const KeyValue& kv) {
    bytes += sizeof(KeyValue) + kv.key.size() + kv.value.size();
  };
  for (const WatchEvent& event : response.events) {
    add(event.kv);
    if (event.previous.has_value()) add(*event.previous);
  }
  return bytes;
}

/// Goes through what a watch was told, beside what it had to be told.
class Comparison {
 public:
  Comparison(const Model& model, const WatchTold& told) : model_(model), told_(told) {
    for (const auto& [revision, events] : model.events()) {
      if (revision < told.start) continue;
      for (const Model::Event& event : events) {
        const bool passes = event.put.has_value() ? told.puts : told.deletes;
        if (passes && IsIn(told.range, event.key)) expected_.push_back({revision, &event});
      }
    }
  }

  std::optional<WatchFault> Run() {
    for (const WatchTold::Response& each : told_.responses) {
      auto fault = each.response.is_progress() ? Progress(each.response.revision) : Events(each);
      if (fault) return fault;
    }
    if (!AllBelow(told_.position.next)) {
      return Missing("is beyond it, at revision " + std::to_string(told_.position.next));
    }
    return std::nullopt;
  }

 private:
  [[nodiscard]] bool AtEnd() const { return next_ == expected_.size(); }
  [[nodiscard]] bool AllBelow(std::uint64_t revision) const {
    return AtEnd() || expected_[next_].revision >= revision;
  }

  [[nodiscard]] WatchFault Missing(const std::string& where) const {
    const Expected& missed = expected_[next_];
    return {"watched events",
            "is not told " + Text(missed.revision, missed.event->key) + " and " + where};
  }

  [[nodiscard]] std::optional<WatchFault> Progress(std::uint64_t revision) const {
    if (AllBelow(revision + 1)) return std::nullopt;
    const Expected& missed = expected_[next_];
    return WatchFault{"progress notices", "is told that it has everything up to " +
                                              std::to_string(revision) + ", without " +
                                              Text(missed.revision, missed.event->key)};
  }

  std::optional<WatchFault> Events(const WatchTold::Response& told) {
    const WatchResponse& response = told.response;
    for (const WatchEvent& event : response.events) {
      if (event.kv.mod_revision != response.revision) {
        return WatchFault{"watched events", "is told " + Text(event.kv.mod_revision, event.kv.key) +
                                                " with those of " +
                                                std::to_string(response.revision)};
      }
      if (auto fault = Event(event, told.compacted)) return fault;
    }
    const bool follow = !AtEnd() && expected_[next_].revision == response.revision;
    if (response.more && BytesOf(response) < told_.max_response_bytes) {
      return WatchFault{"whole revisions", "is told revision " + std::to_string(response.revision) +
                                               " in parts that are too small"};
    }
    if (response.more != follow) {
      return WatchFault{"whole revisions", "is told " +
                                               std::string(response.more ? "a part" : "the whole") +
                                               " of revision " + std::to_string(response.revision) +
                                               (follow ? ", and more follows" : ", and all was")};
    }
    return std::nullopt;
  }

  std::optional<WatchFault> Event(const WatchEvent& told, std::uint64_t compacted) {
    const std::uint64_t revision = told.kv.mod_revision;
    if (!AllBelow(revision)) return Missing("goes on with " + Text(revision, told.kv.key));
    if (AtEnd() || expected_[next_].revision != revision ||
        expected_[next_].event->key != told.kv.key) {
      const bool again =
          next_ > 0 &&
          std::any_of(expected_.begin(), expected_.begin() + static_cast<std::ptrdiff_t>(next_),
                      [&](const Expected& each) {
                        return each.revision == revision && each.event->key == told.kv.key;
                      });
      return WatchFault{"watched events", "is told " + Text(revision, told.kv.key) +
                                              (again ? " again" : ", which it should not be now")};
    }
    const Model::Event& event = *expected_[next_++].event;
    const bool is_put = told.kind == WatchEvent::Kind::kPut;
    KeyValue of_delete{.key = told.kv.key, .value = {}, .mod_revision = revision};
    const KeyValue& should_be = event.put.has_value() ? *event.put : of_delete;
    if (is_put != event.put.has_value() || !Same(told.kv, should_be)) {
      return WatchFault{"watched events", "is told " + Text(revision, told.kv.key) + " as " +
                                              (is_put ? "a put of " : "a delete, ") +
                                              Text(told.kv) + " instead of " + Text(should_be)};
    }
    return Previous(told, compacted);
  }

  [[nodiscard]] std::optional<WatchFault> Previous(const WatchEvent& told,
                                                   std::uint64_t compacted) const {
    const std::uint64_t revision = told.kv.mod_revision;
    const auto before = told_.previous ? model_.ValueAt(told.kv.key, revision - 1) : std::nullopt;
    const bool may_be_left_out = revision - 1 < compacted;
    const bool right = told.previous.has_value()
                           ? before.has_value() && Same(*told.previous, *before)
                           : !before.has_value() || may_be_left_out;
    if (right) return std::nullopt;
    const std::string what = "before " + Text(revision, told.kv.key) + " there was ";
    return WatchFault{"previous values",
                      "is told that " + what +
                          (told.previous.has_value() ? Text(*told.previous) : "nothing") +
                          " instead of " + (before.has_value() ? Text(*before) : "nothing")};
  }

  const Model& model_;
  const WatchTold& told_;
  std::vector<Expected> expected_;
  std::size_t next_ = 0;
};

}  // namespace

std::optional<WatchFault> CompareWatch(const Model& model, const WatchTold& told) {
  if (told.start == 0) return std::nullopt;  // it never began
  return Comparison(model, told).Run();
}

}  // namespace raftkv::sim
