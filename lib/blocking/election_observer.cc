// Who leads an election, from one revision to the next?
//
// All candidates are kept, each with its value: when the leader goes, the next one is known without
// a question that would show a later state.
#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include <raftkv/lock.h>
#include <raftkv/watch.h>

#include "lib/base/host_code.h"
#include "lib/base/time.h"
#include "lib/blocking/session_state.h"

namespace raftkv {

using std::chrono::milliseconds;

struct ElectionObserver::State {
  State(KV& asked, const std::string& name) : kv(asked), range(KeyRange::Prefix(name + "/")) {}

  /// Reads who is there, and watches what comes after that.
  Status Begin(milliseconds timeout) {
    ScanOptions options;
    options.timeout = timeout;
    const Result<ScanResult> all = kv.ScanAll(range, options);
    if (!all.ok()) return all.status();
    begun = true;
    candidates.clear();
    for (const KeyValue& kv_read : all->kvs) candidates[kv_read.key] = kv_read;
    WatchOptions watch;
    watch.revision = all->revision + 1;
    watcher = kv.Watch(range, watch);
    return Status::Ok();
  }

  void Take(WatchResponse response) {
    for (WatchEvent& event : response.events) {
      if (event.kind == WatchEvent::Kind::kDelete) {
        candidates.erase(event.kv.key);
      } else {
        candidates[event.kv.key] = std::move(event.kv);
      }
    }
  }

  /// The leader, unless it is the one that was shown last, with the same value.
  std::optional<KeyValue> News() {
    const auto leader =
        std::min_element(candidates.begin(), candidates.end(), [](const auto& a, const auto& b) {
          return a.second.create_revision < b.second.create_revision;
        });
    if (leader == candidates.end()) return std::nullopt;
    const KeyValue& kv_now = leader->second;
    if (kv_now.key == shown_key && kv_now.mod_revision == shown_revision) return std::nullopt;
    shown_key = kv_now.key;
    shown_revision = kv_now.mod_revision;
    return kv_now;
  }

  KV& kv;
  const KeyRange range;
  std::map<std::string, KeyValue> candidates;
  std::optional<Watcher> watcher;
  bool begun = false;
  std::string shown_key;
  std::uint64_t shown_revision = 0;
};

ElectionObserver::ElectionObserver(KV& kv, const std::string& name)
    : state_(std::make_unique<State>(kv, name)) {}
ElectionObserver::ElectionObserver(ElectionObserver&& other) noexcept = default;
ElectionObserver& ElectionObserver::operator=(ElectionObserver&& other) noexcept = default;
ElectionObserver::~ElectionObserver() = default;

bool ElectionObserver::begun() const { return state_->begun; }

Result<KeyValue> ElectionObserver::Next(milliseconds timeout) {
  if (Status may = MayBlock("the wait for a leader"); !may.ok()) return may;
  const auto deadline = std::chrono::steady_clock::now() + BoundedTimeout(timeout);
  while (true) {
    const auto left =
        std::max(std::chrono::ceil<milliseconds>(deadline - std::chrono::steady_clock::now()),
                 milliseconds(0));
    if (!state_->watcher.has_value()) {
      const Status read = state_->Begin(left);
      if (IsWorthRepeating(read.code())) return Status(Code::kDeadlineExceeded, read.message());
      if (!read.ok()) return read;
    } else {
      Result<WatchResponse> response = state_->watcher->Next(left);
      if (response.code() == Code::kCompacted) {
        state_->watcher.reset();
        continue;
      }
      if (!response.ok()) return response.status();
      const bool more = response->more;
      state_->Take(*std::move(response));
      if (more) continue;
    }
    if (auto leader = state_->News(); leader.has_value()) return *std::move(leader);
  }
}

}  // namespace raftkv
