// How does a test write log entries with requests in them, and apply them?
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "lib/kv/request.h"
#include "lib/kv/store.h"
#include "tests/support/node/fake_engine.h"

namespace raftkv::test {

inline raft::Entry CommandEntry(std::uint64_t index, std::uint64_t time_ms, Bytes request,
                                std::uint64_t clock_ms = 0) {
  return {Index(index), Term(1), raft::EntryKind::kCommand, time_ms, std::move(request), clock_ms};
}

inline raft::Entry NoopEntry(std::uint64_t index, std::uint64_t time_ms) {
  return {Index(index), Term(1), raft::EntryKind::kNoop, time_ms, {}};
}

inline std::unique_ptr<kv::Store> OpenStore(kv::Engine& engine, kv::StoreOptions options = {}) {
  auto store = kv::Store::Open(engine, options);
  EXPECT_TRUE(store.ok()) << store.status().ToString();
  return *std::move(store);
}

/// A store and the next entry of its log.
class AppliedLog {
 public:
  explicit AppliedLog(kv::StoreOptions options = {})
      : options_(options), store_(OpenStore(engine_, options)) {}

  /// Applies one entry with `operations`; the sequence is new unless `header` says otherwise.
  kv::Response Apply(const std::vector<kv::Operation>& operations) {
    header_.sequence = next_sequence_++;
    return Apply(header_, operations);
  }
  kv::Response Apply(const kv::RequestHeader& header,
                     const std::vector<kv::Operation>& operations) {
    return Apply(kv::EncodeRequest(header, operations), operations.size());
  }
  kv::Response Apply(const Bytes& request, std::size_t operations) {
    if (!ApplyCommand(request)) return {};
    const auto response = kv::DecodeResponse(last_answer_.view(), operations);
    EXPECT_TRUE(response.ok()) << response.status().ToString();
    return response.ok() ? *response : kv::Response();
  }

  /// Ends the leases that are over by the cluster clock, as the leader does.
  void ApplyExpire() {
    ApplyCommand(kv::EncodeExpire());
    EXPECT_TRUE(last_answer_.empty()) << "nobody waits for an answer";
  }

  /// The value of `key`, or "(none)".
  std::string Get(const std::string& key) {
    const Bytes request = kv::EncodeReadRequest({{kv::Range::Single(key), 0, false, false}});
    const auto answer = kv::Read(engine_, kv::ReadTier::kAll, request.view(), 1 << 20);
    EXPECT_TRUE(answer.ok()) << answer.status().ToString();
    const auto results = kv::DecodeReadResponse(answer->view());
    EXPECT_TRUE(results.ok()) << results.status().ToString();
    return results->front().kvs.empty() ? "(none)" : results->front().kvs.front().value;
  }

  /// As after a restart.
  void Reopen() { store_ = OpenStore(engine_, options_); }

  void AdvanceMs(std::uint64_t ms) { now_ms_ += ms; }
  [[nodiscard]] std::uint64_t now_ms() const { return now_ms_; }
  /// The cluster clock, which entries are stamped with; it has nothing to do with the other.
  void AdvanceClockMs(std::uint64_t ms) { clock_ms_ += ms; }
  void SetClockMs(std::uint64_t ms) { clock_ms_ = ms; }
  [[nodiscard]] std::uint64_t clock_ms() const { return clock_ms_; }

  FakeEngine& engine() { return engine_; }
  kv::Store& store() { return *store_; }
  [[nodiscard]] const std::vector<raft::Entry>& entries() const { return entries_; }
  [[nodiscard]] const Bytes& last_answer() const { return last_answer_; }
  /// Null: it changed nothing.
  [[nodiscard]] const kv::ChangesPtr& last_changes() const { return last_changes_; }

  static constexpr std::uint64_t kStartMs = 1'000'000;

 private:
  bool ApplyCommand(const Bytes& request) {
    entries_.push_back(CommandEntry(store_->applied().value + 1, now_ms_, request, clock_ms_));
    const auto applied = store_->Apply({entries_.back()});
    EXPECT_TRUE(applied.ok()) << applied.status().ToString();
    if (!applied.ok()) return false;
    last_answer_ = applied->front().response;
    last_changes_ = applied->front().changes;
    return true;
  }

  const kv::StoreOptions options_;
  FakeEngine engine_;
  std::unique_ptr<kv::Store> store_;
  std::vector<raft::Entry> entries_;
  Bytes last_answer_;
  kv::ChangesPtr last_changes_;
  std::uint64_t now_ms_ = kStartMs;
  std::uint64_t clock_ms_ = 0;
  kv::RequestHeader header_{
      .session = 7, .opened_at_ms = kStartMs, .sequence = 0, .acknowledged_below = 0};
  std::uint64_t next_sequence_ = 1;
};

}  // namespace raftkv::test
