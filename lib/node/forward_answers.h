// How were the requests answered that other members forwarded? (the leader's side)
//
// Where messages may be lost, a request may arrive again. A copy of one in progress is dropped, a
// copy of one that was answered gets the same answer. Bounded: old answers are forgotten, and a
// copy of such a request is processed like any other client retry, which its session makes
// harmless.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <utility>

#include "lib/base/check.h"
#include "lib/node/ports.h"

namespace raftkv::node {

class ForwardAnswers {
 public:
  /// Ids start at a random number for each boot of the peer, so those of two boots differ.
  using Key = std::pair<NodeId, std::uint64_t>;

  /// False: it is in progress, or was answered. True: it is in progress from now on.
  bool Begin(const Key& key) { return answers_.try_emplace(key).second; }

  void End(const Key& key, const SubmitOutcome& outcome) {
    const auto it = answers_.find(key);
    RAFTKV_CHECK(it != answers_.end(), key.second);
    RAFTKV_CHECK(!it->second.has_value(), key.second);
    it->second = outcome;
    bytes_ += SizeOf(outcome);
    ended_.push_back(key);
    while (ended_.size() > kMaxAnswers || bytes_ > kMaxBytes) {
      const auto oldest = answers_.find(ended_.front());
      bytes_ -= SizeOf(*oldest->second);
      answers_.erase(oldest);
      ended_.pop_front();
    }
  }

  /// Null: it is unknown, or in progress.
  [[nodiscard]] const SubmitOutcome* Find(const Key& key) const {
    const auto it = answers_.find(key);
    return it != answers_.end() && it->second.has_value() ? &*it->second : nullptr;
  }
  [[nodiscard]] std::size_t size() const { return answers_.size(); }

  /// Some seconds of answers; requests in progress are bounded like proposals.
  static constexpr std::size_t kMaxAnswers = 16 << 10;
  static constexpr std::size_t kMaxBytes = 4 << 20;

 private:
  static std::size_t SizeOf(const SubmitOutcome& outcome) {
    return outcome.response.size() + outcome.status.message().size();
  }

  /// nullopt: in progress.
  std::map<Key, std::optional<SubmitOutcome>> answers_;
  std::deque<Key> ended_;  ///< in order
  std::size_t bytes_ = 0;
};

}  // namespace raftkv::node
