// What was answered to requests that other members have handed on? (the leader's side)
//
// Where messages may be lost, a request may come again. A copy of one that is under way is dropped,
// a copy of one that was answered gets the same answer. Bounded: old answers are forgotten, and a
// copy of such a request is carried out like any other that a client repeats, which its session
// makes harmless.
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
  /// Ids are of the peer's boot and drawn at random, so that those of another boot are others.
  using Key = std::pair<NodeId, std::uint64_t>;

  /// False: it is under way, or was answered. True: it is under way from now on.
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

  /// Null: it is not known, or under way.
  [[nodiscard]] const SubmitOutcome* Find(const Key& key) const {
    const auto it = answers_.find(key);
    return it != answers_.end() && it->second.has_value() ? &*it->second : nullptr;
  }
  [[nodiscard]] std::size_t size() const { return answers_.size(); }

  /// Some seconds of answers; what is under way is bounded as proposals are.
  static constexpr std::size_t kMaxAnswers = 16 << 10;
  static constexpr std::size_t kMaxBytes = 4 << 20;

 private:
  static std::size_t SizeOf(const SubmitOutcome& outcome) {
    return outcome.response.size() + outcome.status.message().size();
  }

  /// nullopt: under way.
  std::map<Key, std::optional<SubmitOutcome>> answers_;
  std::deque<Key> ended_;  ///< in order
  std::size_t bytes_ = 0;
};

}  // namespace raftkv::node
