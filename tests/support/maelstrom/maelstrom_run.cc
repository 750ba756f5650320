#include "tests/support/maelstrom/maelstrom_run.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "lib/base/check.h"

namespace raftkv::test::maelstrom {
namespace {

bool IsAnswer(Outcome outcome) { return outcome == Outcome::kOk || outcome == Outcome::kRefused; }

/// Which of the requests that could be answered were?
class Answers {
 public:
  Answers(std::size_t nodes, Milliseconds timeout) : timeout_(timeout), reads_(nodes) {}

  void OnPartition(const Partition* partition) {
    if (!partitions_.empty()) partitions_.back().end = Clock::now();
    if (partition == nullptr) return;
    partitions_.push_back({Clock::now(), Time::max(), {}});
    partitions_.back().majority.insert(partition->majority.begin(), partition->majority.end());
  }
  void OnEnded(const Clients::EndedRequest& request) {
    ended_.push_back(request);
    if (request.reads) reads_.at(request.node).Add(IsAnswer(request.outcome));
  }

  [[nodiscard]] const std::vector<Answered>& reads() const { return reads_; }
  /// Only at the end is it known which partitions began before a request's timeout.
  [[nodiscard]] Answered Answerable() const {
    Answered out;
    for (const Clients::EndedRequest& request : ended_) {
      const bool cut_off =
          std::any_of(partitions_.begin(), partitions_.end(), [&](const Period& period) {
            return period.begin < request.sent + timeout_ && request.sent < period.end &&
                   period.majority.count(request.node) == 0;
          });
      if (!cut_off) out.Add(IsAnswer(request.outcome));
    }
    return out;
  }

 private:
  struct Period {
    Time begin;
    Time end;
    std::set<std::size_t> majority;
  };

  const Milliseconds timeout_;
  std::vector<Answered> reads_;
  std::vector<Period> partitions_;
  std::vector<Clients::EndedRequest> ended_;
};

class Silences {
 public:
  void OnPartition(const Partition* partition) {
    End();
    if (partition == nullptr || partition->majority.empty()) return;
    running_ = {partition->kind, {}, {}};
    began_ = Clock::now();
    for (const std::size_t node : partition->majority) waiting_.insert(node);
  }

  void OnEnded(const Clients::EndedRequest& request) {
    if (!running_ || !IsAnswer(request.outcome) || request.sent < began_) return;
    if (waiting_.erase(request.node) == 0) return;
    if (waiting_.empty()) running_->silence = Since();
  }

  [[nodiscard]] const std::vector<Silence>& ended() const { return ended_; }

 private:
  void End() {
    if (running_) {
      running_->partition = Since();
      ended_.push_back(*running_);
    }
    running_.reset();
    waiting_.clear();
  }
  [[nodiscard]] Milliseconds Since() const {
    return std::chrono::duration_cast<Milliseconds>(Clock::now() - began_);
  }

  std::optional<Silence> running_;
  Time began_;
  std::set<std::size_t> waiting_;
  std::vector<Silence> ended_;
};

class OneRun {
 public:
  OneRun(const RunOptions& options, Workload& workload)
      : options_(options),
        network_(options.network),
        workload_(workload),
        clients_(options.clients, network_, workload),
        nemesis_(options.nemesis, network_),
        voters_(
            network_, [this](bool pause) { clients_.SetPaused(pause); }, options.nemesis.seed),
        answers_(options.network.nodes, options.clients.timeout) {}

  RunReport Run() {
    nemesis_.set_observe([this](const Partition* each) {
      silences_.OnPartition(each);
      answers_.OnPartition(each);
    });
    clients_.set_ended([this](const Clients::EndedRequest& request) {
      silences_.OnEnded(request);
      if (asking_) answers_.OnEnded(request);
    });
    for (std::size_t node = 0; node < network_.size(); ++node) network_.Start(node);
    if (WaitUntilUp()) {
      AskUntil([this] { return clients_.Done(); }, options_.duration, nemesis_);
      for (int i = 0; i < options_.nemesis.voter_restarts && !HasProblem(); ++i) {
        AskUntil([this] { return voters_.Done(); }, options_.patience, voters_);
      }
    }
    if (report_.counts.ok == 0) network_.Report("no request at all ended ok");
    network_.EndAll(options_.patience);
    report_.messages = network_.messages();
    report_.silences = silences_.ended();
    report_.reads = answers_.reads();
    report_.answerable = answers_.Answerable();
    report_.problems = network_.problems();
    for (std::string& problem : judged_) report_.problems.push_back(std::move(problem));
    return std::move(report_);
  }

 private:
  bool WaitUntilUp() {
    const bool up = network_.RunUntil(Clock::now() + options_.patience,
                                      [this] { return network_.AllUp() || HasProblem(); });
    if (!up) network_.Report("not every node answered init");
    return up && !HasProblem();
  }

  /// With faults, once anything has been answered, until it is done or the time is over; then
  /// without, until all nodes have said what they have.
  template <class Faults>
  void AskUntil(const std::function<bool()>& done, Milliseconds most, Faults& faults) {
    const Time began = Clock::now();
    clients_.Start();
    network_.RunUntil(began + options_.patience,
                      [this] { return HasProblem() || clients_.counts().ok > 0; });
    faults.Start();
    asking_ = true;
    network_.RunUntil(Clock::now() + most, [&] { return HasProblem() || done(); });
    report_.seconds += std::chrono::duration<double>(Clock::now() - began).count();
    clients_.Stop();
    faults.Stop();
    network_.RunUntil(Clock::now() + options_.patience, [this] { return clients_.Idle(); });
    RAFTKV_CHECK(clients_.Idle());  // each request has its timeout
    asking_ = false;
    report_.counts = clients_.counts();
    report_.latencies_ms = clients_.LatenciesMs();
    judged_ = workload_.Judge();
    if (HasProblem()) return;
    clients_.AskAll(workload_.FinalRequests(), options_.patience);
    judged_ = workload_.Judge();
  }

  [[nodiscard]] bool HasProblem() const { return !network_.problems().empty() || !judged_.empty(); }

  const RunOptions& options_;
  Network network_;
  Workload& workload_;
  Clients clients_;
  Nemesis nemesis_;
  VoterRestarts voters_;
  Silences silences_;
  Answers answers_;
  bool asking_ = false;  ///< since something was answered, and not yet for everything in the end
  RunReport report_;
  std::vector<std::string> judged_;  ///< what was wrong with the answers, as of the last look
};

}  // namespace

void RunOptions::SetSeed(std::uint64_t seed) {
  Random seeds(seed);
  network.seed = seeds.Next();
  clients.seed = seeds.Next();
  nemesis.seed = seeds.Next();
}

double RunReport::ok_percent() const {
  if (counts.requests == 0) return 0;
  return 100 * static_cast<double>(counts.ok) / static_cast<double>(counts.requests);
}

double RunReport::LatencyMs(double share) const {
  if (latencies_ms.empty()) return 0;
  const auto place = static_cast<std::size_t>(share * static_cast<double>(latencies_ms.size()));
  return latencies_ms[std::min(place, latencies_ms.size() - 1)];
}

std::string RunReport::Problems() const {
  std::string text;
  for (const std::string& problem : problems) text += problem + "\n";
  return text;
}

RunReport RunMaelstrom(RunOptions options) {
  const std::unique_ptr<Workload> workload = NewWorkload(options.workload);
  RAFTKV_CHECK(workload != nullptr, options.workload);
  if (options.clients.timeout.count() == 0) {
    options.clients.timeout = std::max(Milliseconds(1000), 10 * options.network.latency);
  }
  const NemesisOptions& faults = options.nemesis;
  options.network.data_dirs = faults.restart_every.count() > 0 || faults.voter_restarts > 0;
  return OneRun(options, *workload).Run();
}

}  // namespace raftkv::test::maelstrom
