#include "lib/raft/eligibility.h"

#include <array>
#include <cstddef>

#include "lib/base/check.h"

namespace raftkv::raft {

namespace {

struct Rule {
  Trait trait;
  Verdict stand;
  Verdict vote;
  Verdict take_over;
  Verdict count;
  const char* why;
};

constexpr Verdict kYes = Verdict::kYes;
constexpr Verdict kLater = Verdict::kLater;
constexpr Verdict kNo = Verdict::kNo;

constexpr std::array<Rule, kTraits> kRules{{
    {Trait::kNoVote, kNo, kYes, kNo, kYes, "the configuration gives it no vote"},
    {Trait::kSuspect, kNo, kNo, kNo, kNo, "its disk has lost something and is not refilled yet"},
    {Trait::kInstalling, kNo, kNo, kYes, kYes, "its log is being replaced by a snapshot"},
    {Trait::kPromised, kLater, kNo, kYes, kYes, "it has promised a leader not to vote yet"},
    {Trait::kUnheard, kYes, kYes, kNo, kLater, "it was not heard within an election timeout"},
    {Trait::kDiskHangs, kNo, kYes, kNo, kYes, "its disk does not respond"},
    {Trait::kFull, kLater, kYes, kLater, kYes, "its disk is full"},
}};

constexpr bool InOrder() {
  for (std::size_t i = 0; i < kTraits; ++i) {
    if (static_cast<std::size_t>(kRules[i].trait) != i) return false;
  }
  return true;
}
static_assert(InOrder(), "a trait is the index of its rule");

Verdict VerdictOf(const Rule& rule, Duty duty) {
  switch (duty) {
    case Duty::kStand: return rule.stand;
    case Duty::kVote: return rule.vote;
    case Duty::kTakeOver: return rule.take_over;
    case Duty::kCount: return rule.count;
  }
  RAFTKV_CHECK(false, static_cast<int>(duty));
  return kNo;
}

const Rule* Strictest(Traits traits, Duty duty) {
  const Rule* strictest = nullptr;
  for (const Rule& rule : kRules) {
    if (!traits.Has(rule.trait) || VerdictOf(rule, duty) == kYes) continue;
    if (strictest == nullptr || VerdictOf(rule, duty) > VerdictOf(*strictest, duty)) {
      strictest = &rule;
    }
  }
  return strictest;
}

}  // namespace

Verdict Judge(Traits traits, Duty duty) {
  const Rule* const rule = Strictest(traits, duty);
  return rule == nullptr ? kYes : VerdictOf(*rule, duty);
}

const char* WhyNot(Traits traits, Duty duty) {
  const Rule* const rule = Strictest(traits, duty);
  return rule == nullptr ? nullptr : rule->why;
}

}  // namespace raftkv::raft
