// What does the state machine's storage look like in tests? An ordered map whose every past state
// can be looked at, after each write and at each revision, and that fails when it is told to.
#pragma once

#include <algorithm>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/kv/engine.h"
#include "lib/kv/revisions.h"

namespace raftkv::test {

class FakeEngine : public kv::Engine {
 public:
  using Content = std::map<std::string, std::string>;

  FakeEngine() : FakeEngine(Content()) {}
  /// As after a restart: `content` is there.
  explicit FakeEngine(Content content)
      : content_(std::make_shared<const Content>(std::move(content))) {
    history_.push_back(content_);
  }

  std::unique_ptr<kv::View> NewView(kv::ReadTier tier) override {
    const bool misses = tier == kv::ReadTier::kMemory && !in_memory_;
    ++views_;
    return std::make_unique<FakeView>(
        *this, misses ? Status(Code::kUnavailable, "not in memory") : read_failure_);
  }

  Status Write(const std::vector<kv::Mutation>& mutations) override {
    if (writes_until_failure_.has_value() && (*writes_until_failure_)-- == 0) {
      return {Code::kIOError, "the disk failed"};
    }
    Content next = *content_;
    for (const kv::Mutation& mutation : mutations) {
      const std::string key(mutation.key);
      const bool is_put = mutation.kind == kv::Mutation::Kind::kPut;
      if (mutation.revision > 0) {
        auto& versions = (*past_)[key];
        if (versions.empty() && next.count(key) > 0) versions.emplace(0, next[key]);
        versions[mutation.revision] =
            is_put ? std::optional<std::string>(mutation.value) : std::nullopt;
      }
      if (is_put) {
        next[key] = std::string(mutation.value);
      } else {
        next.erase(key);
      }
    }
    content_ = std::make_shared<const Content>(std::move(next));
    history_.push_back(content_);
    return Status::Ok();
  }

  [[nodiscard]] const Content& content() const { return *content_; }
  /// After each write; the first one is from before all writes.
  [[nodiscard]] const std::vector<std::shared_ptr<const Content>>& history() const {
    return history_;
  }
  [[nodiscard]] std::size_t writes() const { return history_.size() - 1; }
  [[nodiscard]] std::size_t views() const { return views_; }

  /// What was overwritten before `revision` goes: the least of it that must be refused.
  void RaiseLowestRevision(std::uint64_t revision) { lowest_ = std::max(lowest_, revision); }

  /// `writes` more succeed.
  void FailWritesAfter(std::size_t writes) { writes_until_failure_ = writes; }
  /// Of views made from now on.
  void FailReads(Status failure) { read_failure_ = std::move(failure); }
  void SetInMemory(bool in_memory) { in_memory_ = in_memory; }

 private:
  /// What a key was from each revision on; only ever added to.
  using Past = std::map<std::string, std::map<std::uint64_t, std::optional<std::string>>>;

  class FakeView : public kv::View {
   public:
    FakeView(FakeEngine& engine, Status failure)
        : engine_(engine), content_(engine.content_), failure_(std::move(failure)) {}

    Result<std::optional<std::string>> GetAt(std::string_view key,
                                             std::uint64_t revision) override {
      if (!failure_.ok()) return failure_;
      if (revision < engine_.lowest_) return kv::CompactedStatus(revision, engine_.lowest_);
      const auto at = At(revision);
      const auto found = at->find(std::string(key));
      if (found == at->end()) return std::optional<std::string>();
      return std::optional<std::string>(found->second);
    }

    Status ScanAt(std::string_view begin, std::string_view end, std::uint64_t revision,
                  const Visit& visit) override {
      if (!failure_.ok()) return failure_;
      if (revision < engine_.lowest_) return kv::CompactedStatus(revision, engine_.lowest_);
      const auto at = At(revision);
      for (auto it = at->lower_bound(std::string(begin)); it != at->end(); ++it) {
        if (!end.empty() && it->first >= end) break;
        if (!visit(it->first, it->second)) break;
      }
      return Status::Ok();
    }

    Status ScanReverseAt(std::string_view begin, std::string_view end, std::uint64_t revision,
                         const Visit& visit) override {
      std::vector<std::pair<std::string, std::string>> pairs;
      Status status =
          ScanAt(begin, end, revision, [&](std::string_view key, std::string_view value) {
            pairs.emplace_back(key, value);
            return true;
          });
      for (auto it = pairs.rbegin(); it != pairs.rend() && visit(it->first, it->second); ++it) {
      }
      return status;
    }

    [[nodiscard]] std::uint64_t LowestRevision() const override { return engine_.lowest_; }

   private:
    [[nodiscard]] std::shared_ptr<const Content> At(std::uint64_t revision) const {
      if (revision == kv::kLatestRevision) return content_;
      auto content = std::make_shared<Content>(*content_);
      for (const auto& [key, versions] : *engine_.past_) {
        const auto after = versions.upper_bound(revision);
        const bool is_there = after != versions.begin() && std::prev(after)->second.has_value();
        if (is_there) {
          (*content)[key] = *std::prev(after)->second;
        } else {
          content->erase(key);
        }
      }
      return content;
    }

    const FakeEngine& engine_;
    const std::shared_ptr<const Content> content_;
    const Status failure_;
  };

  std::shared_ptr<const Content> content_;
  std::vector<std::shared_ptr<const Content>> history_;
  std::size_t views_ = 0;
  std::shared_ptr<Past> past_ = std::make_shared<Past>();
  std::uint64_t lowest_ = 0;
  std::optional<std::size_t> writes_until_failure_;
  Status read_failure_;
  bool in_memory_ = true;
};

}  // namespace raftkv::test
