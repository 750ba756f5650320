// What does the state machine's storage look like in tests? An ordered map whose every past state
// can be looked at, and that fails when it is told to.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/kv/engine.h"

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
        content_, misses ? Status(Code::kUnavailable, "not in memory") : read_failure_);
  }

  Status Write(const std::vector<kv::Mutation>& mutations) override {
    if (writes_until_failure_.has_value() && (*writes_until_failure_)-- == 0) {
      return {Code::kIOError, "the disk failed"};
    }
    Content next = *content_;
    for (const kv::Mutation& mutation : mutations) {
      const std::string key(mutation.key);
      switch (mutation.kind) {
        case kv::Mutation::Kind::kPut: next[key] = std::string(mutation.value); break;
        case kv::Mutation::Kind::kDelete: next.erase(key); break;
        case kv::Mutation::Kind::kDeleteRange:
          next.erase(next.lower_bound(key), next.lower_bound(std::string(mutation.end)));
          break;
      }
      most_mutations_ = std::max(most_mutations_, mutations.size());
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
  /// Of the write that had the most.
  [[nodiscard]] std::size_t most_mutations() const { return most_mutations_; }
  void ForgetMostMutations() { most_mutations_ = 0; }

  /// `writes` more succeed.
  void FailWritesAfter(std::size_t writes) { writes_until_failure_ = writes; }
  /// Of views made from now on.
  void FailReads(Status failure) { read_failure_ = std::move(failure); }
  void SetInMemory(bool in_memory) { in_memory_ = in_memory; }

 private:
  class FakeView : public kv::View {
   public:
    FakeView(std::shared_ptr<const Content> content, Status failure)
        : content_(std::move(content)), failure_(std::move(failure)) {}

    Result<std::optional<std::string>> Get(std::string_view key) override {
      if (!failure_.ok()) return failure_;
      const auto found = content_->find(std::string(key));
      if (found == content_->end()) return std::optional<std::string>();
      return std::optional<std::string>(found->second);
    }

    Status Scan(std::string_view begin, std::string_view end,
                const std::function<bool(std::string_view, std::string_view)>& visit) override {
      if (!failure_.ok()) return failure_;
      for (auto it = content_->lower_bound(std::string(begin)); it != content_->end(); ++it) {
        if (!end.empty() && it->first >= end) break;
        if (!visit(it->first, it->second)) break;
      }
      return Status::Ok();
    }

    Status ScanReverse(
        std::string_view begin, std::string_view end,
        const std::function<bool(std::string_view, std::string_view)>& visit) override {
      if (!failure_.ok()) return failure_;
      auto it = end.empty() ? content_->end() : content_->lower_bound(std::string(end));
      while (it != content_->begin() && (--it)->first >= begin) {
        if (!visit(it->first, it->second)) break;
      }
      return Status::Ok();
    }

   private:
    const std::shared_ptr<const Content> content_;
    const Status failure_;
  };

  std::shared_ptr<const Content> content_;
  std::vector<std::shared_ptr<const Content>> history_;
  std::size_t views_ = 0;
  std::size_t most_mutations_ = 0;
  std::optional<std::size_t> writes_until_failure_;
  Status read_failure_;
  bool in_memory_ = true;
};

}  // namespace raftkv::test
