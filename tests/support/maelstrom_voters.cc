// VoterRestarts of maelstrom_nemesis.h.
#include <utility>

#include "lib/base/check.h"
#include "tests/support/maelstrom_nemesis.h"

namespace raftkv::test::maelstrom {
namespace {

// Longer than a leader without followers goes on, and than an election takes.
constexpr Milliseconds kVoterDown{1200};
constexpr Milliseconds kMostForElection{6000};
// The other one may lead now, and so may the first one still; then they hear each other again.
constexpr Milliseconds kApart{2500};
constexpr Milliseconds kBetween{2000};
// What a node logs that has won an election.
constexpr const char* kLeads = "role leader,";

}  // namespace

void VoterRestarts::Start() {
  RAFTKV_CHECK(network_.size() == 3, network_.size());
  active_ = true;
  network_.set_log_line([this](std::size_t node, const std::string& line) { OnLog(node, line); });
  BeginRound();
}

void VoterRestarts::Later(Milliseconds delay, std::function<void()> action) {
  network_.scheduler().After(delay, [this, round = round_, action = std::move(action)] {
    if (active_ && round == round_) action();
  });
}

void VoterRestarts::BeginRound() {
  ++round_;
  voter_ = random_.Below(network_.size());
  const std::size_t a = (voter_ + 1) % 3;
  const std::size_t b = (voter_ + 2) % 3;
  network_.Cut({{a, b}, {b, a}});
  network_.Kill(voter_);
  step_ = Step::kVoterDown;
  Later(kVoterDown, [this] { StartVoter(); });
  Later(kMostForElection, [this] { EndRound(); });
}

void VoterRestarts::StartVoter() {
  network_.Start(voter_);
  step_ = Step::kElection;
}

void VoterRestarts::OnLog(std::size_t node, const std::string& line) {
  if (!active_ || step_ != Step::kElection || line.find(kLeads) == std::string::npos) return;
  if (node == voter_) return EndRound();  // it voted for itself
  const std::size_t other = 3 - voter_ - node;
  ++round_;  // it is not too late any more
  network_.Cut({{node, other}, {other, node}, {node, voter_}, {voter_, node}});
  network_.Kill(voter_);
  network_.Start(voter_);
  step_ = Step::kOtherElection;
  Later(kApart, [this] { EndRound(); });
}

void VoterRestarts::EndRound() {
  ++round_;
  step_ = Step::kIdle;
  network_.Cut({});
  Later(kBetween, [this] { BeginRound(); });
}

void VoterRestarts::Stop() {
  active_ = false;
  network_.Cut({});
  if (!network_.IsRunning(voter_)) network_.Start(voter_);
}

}  // namespace raftkv::test::maelstrom
