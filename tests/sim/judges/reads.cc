#include "tests/sim/judges/reads.h"

#include <algorithm>
#include <chrono>

#include "lib/kv/parse.h"
#include "tests/sim/judges/model.h"
#include "tests/sim/world.h"

namespace raftkv::sim {

namespace {

/// What a read may be behind by, on a clock that is slow by as much as clocks may be.
Nanos InTrueTime(Duration staleness) { return staleness.count() * 5 / 4; }

}  // namespace

void Reads::OnCommitted(Index index) { commits_.emplace_back(world_.now(), index); }

Index Reads::CommittedAt(Nanos when) const {
  const auto behind = std::upper_bound(commits_.begin(), commits_.end(), when,
                                       [](Nanos at, const auto& item) { return at < item.first; });
  return behind == commits_.begin() ? Index{} : std::prev(behind)->second;
}

Index& Reads::ShownBy(const Host& host) {
  // Over a restart a member may show less, until it has heard from a leader.
  return shown_[{host.disk.member, host.epoch}];
}

Reads::Question Reads::Ask(const Host& host, const Bytes& request, const node::ReadPolicy& policy) {
  return {request, policy, world_.now(), world_.checks().committed(), ShownBy(host)};
}

void Reads::CheckNewness(const Host& host, const Question& question, Index reflects) {
  Index floor;
  const char* what = nullptr;
  switch (question.policy.consistency) {
    case Consistency::kLinearizable:
    case Consistency::kLease:
      floor = question.committed;
      what = "was committed before it was asked";
      break;
    case Consistency::kBounded:
      floor = CommittedAt(question.asked_at - InTrueTime(question.policy.max_staleness));
      what = "was committed longer ago than its staleness allows";
      break;
    case Consistency::kLocal: {
      Index& shown = ShownBy(host);
      floor = question.shown;
      what = "had been shown by this member before it was asked";
      shown = std::max(shown, reflects);
      break;
    }
  }
  if (reflects >= floor) return;
  world_.Fail("newness of reads", host.name + " answers from the state at " +
                                      std::to_string(reflects.value) + ", but " +
                                      std::to_string(floor.value) + " " + what);
}

void Reads::OnAnswer(const Host& host, const Question& question, const Bytes& answer) {
  const auto results = kv::DecodeReadResponse(answer.view());
  if (!results.ok()) {
    world_.Fail("answers", "a read's answer cannot be read: " + results.status().ToString());
    return;
  }
  if (results->empty()) return;
  const Index reflects = kv::IndexOfReadResponse(answer.view());
  for (const ScanResult& result : *results) {
    if (result.revision != results->front().revision) {
      world_.Fail("one state", host.name + " answers one request from two states");
    }
  }
  if (reflects > world_.checks().committed()) {
    world_.Fail("reads", host.name + " shows what is not committed");
  }
  CheckNewness(host, question, reflects);
  answers_.emplace(reflects.value, Answer{host.name, question.request, answer});
}

void Reads::CompareWithModel() {
  Model model;
  auto next = answers_.begin();
  std::uint64_t index = 0;
  const auto compare = [&] {
    for (; next != answers_.end() && next->first <= index; ++next) {
      kv::MessageBytes storage;
      std::vector<kv::ParsedRead> reads;
      if (!kv::ParseReadRequest(next->second.request.view(), SIZE_MAX, storage, reads).ok()) {
        continue;
      }
      const auto results = kv::DecodeReadResponse(next->second.response.view());
      for (std::size_t i = 0; i < reads.size() && i < results->size(); ++i) {
        const std::string wrong = model.Compare(reads[i], (*results)[i]);
        if (wrong.empty()) continue;
        world_.Fail("states that were", next->second.host + " answered from the state at " +
                                            std::to_string(index) + ": " + wrong);
      }
    }
  };
  world_.checks().VisitCommitted([&](const raft::Entry& entry, const Checks::Result& result) {
    if (result.applied_ms == 0) return;  // nobody has applied it yet, nor what follows
    index = entry.index.value;
    const std::string wrong = model.Apply(entry, result);
    if (!wrong.empty()) {
      world_.Fail("answers of writes", "entry " + std::to_string(index) + ": " + wrong);
    }
    compare();
  });
}

}  // namespace raftkv::sim
