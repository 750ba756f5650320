#include "tests/sim/judges/reads.h"

#include <algorithm>
#include <chrono>

#include "lib/kv/parse.h"
#include "tests/sim/judges/model.h"
#include "tests/sim/world.h"

namespace raftkv::sim {

namespace {

/// No run has as much to show.
constexpr std::size_t kUsualAnswer = 1 << 20;
/// Until a lease that is over has ended where all is well.
constexpr std::uint64_t kLeaseSlackMs = 3'000;

std::uint64_t ToMs(Nanos time) { return static_cast<std::uint64_t>(time / kMillisecond); }

}  // namespace

Nanos Reads::Now() const { return world_.now(); }

void Reads::OnSent(std::uint64_t session, std::uint64_t sequence) {
  sent_.try_emplace({session, sequence}, ToMs(world_.now()));
}

void Reads::OnCommitted(Index index) { commits_.emplace_back(world_.now(), index); }

Index Reads::CommittedAt(Nanos when) const {
  const auto behind = std::upper_bound(commits_.begin(), commits_.end(), when,
                                       [](Nanos at, const auto& item) { return at < item.first; });
  return behind == commits_.begin() ? Index{} : std::prev(behind)->second;
}

Index& Reads::ShownBy(const Host& host) {
  // Over a restart a member may show less, until it has heard from a leader.
  return shown_[{host.index, host.epoch}];
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
      if (reflects < host.process->committed_at_start()) {
        world_.Fail("newness of reads", host.name + " answers from less than it knew to be " +
                                            "committed when it started");
      }
      break;
    }
  }
  if (reflects >= floor) return;
  world_.Fail("newness of reads", host.name + " answers from the state at " +
                                      std::to_string(reflects.value) + ", but " +
                                      std::to_string(floor.value) + " " + what);
}

void Reads::CheckSession(const Host& host, Index committed, std::uint64_t time_ms) {
  const std::uint64_t left_behind = world_.checks().TimeAt(committed);
  if (time_ms >= left_behind) return;
  world_.Fail("newness of sessions", host.name + " opens a session at " + std::to_string(time_ms) +
                                         " ms, but " + std::to_string(left_behind) +
                                         " had been replicated before it was asked");
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
  if (!kv::RevisionsOfRequest(question.request.view()).by_all) {
    CheckNewness(host, question, reflects);
  }
  answers_.emplace(reflects.value, Answer{host.name, question.request, answer});
}

Model Reads::CompareWithModel() {
  const DiskPlan& disk = world_.plan().disk;
  const bool may_end_early =
      disk.max_answer_bytes < kUsualAnswer || disk.max_visited_bytes < kUsualAnswer;
  Model model(sent_);
  auto next = answers_.begin();
  std::uint64_t index = 0;
  CompareAllShown(model);
  const auto compare = [&] {
    CompareAllShown(model);
    for (; next != answers_.end() && next->first <= index; ++next) {
      kv::MessageBytes storage;
      std::vector<kv::ParsedRead> reads;
      if (!kv::ParseReadRequest(next->second.request.view(), SIZE_MAX, storage, reads).ok()) {
        continue;
      }
      const auto results = kv::DecodeReadResponse(next->second.response.view());
      for (std::size_t i = 0; i < reads.size() && i < results->size(); ++i) {
        const bool of_keys = reads[i].IsOfKeys();
        std::string wrong = of_keys ? model.Compare(reads[i], (*results)[i])
                                    : model.CompareLeases(reads[i], (*results)[i]);
        // An answer is full sooner or later, but not before its first read got on.
        const bool may_be_full = i > 0 || may_end_early;
        if (wrong.empty() && of_keys)
          wrong = model.CompareEnd(reads[i], (*results)[i], i == 0, may_be_full);
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
  const std::string overdue = model.Overdue(ToMs(well_at_), ToMs(world_.now()), kLeaseSlackMs);
  if (well_at_ != 0 && !overdue.empty()) world_.Fail("leases end", overdue);
  return model;
}

}  // namespace raftkv::sim
