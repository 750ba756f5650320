#include "tests/support/maelstrom/maelstrom_run.h"

#include <algorithm>
#include <map>
#include <utility>

#include "lib/base/check.h"

namespace raftkv::test::maelstrom {
namespace {

class Silences {
 public:
  void OnPartition(const Partition* partition) {
    End();
    if (partition == nullptr || partition->majority.empty()) return;
    running_ = {partition->kind, {}, {}};
    began_ = Clock::now();
    for (const std::size_t node : partition->majority) waiting_.insert(node);
  }

  void OnEnded(std::size_t node, Time sent, Outcome outcome) {
    const bool answered = outcome == Outcome::kOk || outcome == Outcome::kRefused;
    if (!running_ || !answered || sent < began_ || waiting_.erase(node) == 0) return;
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
            network_, [this](bool pause) { clients_.SetPaused(pause); }, options.nemesis.seed) {}

  RunReport Run() {
    nemesis_.set_observe([this](const Partition* each) { silences_.OnPartition(each); });
    clients_.set_ended([this](std::size_t node, Time sent, Outcome outcome) {
      silences_.OnEnded(node, sent, outcome);
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
    network_.RunUntil(Clock::now() + most, [&] { return HasProblem() || done(); });
    report_.seconds += std::chrono::duration<double>(Clock::now() - began).count();
    clients_.Stop();
    faults.Stop();
    network_.RunUntil(Clock::now() + options_.patience, [this] { return clients_.Idle(); });
    RAFTKV_CHECK(clients_.Idle());  // each request has its timeout
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
