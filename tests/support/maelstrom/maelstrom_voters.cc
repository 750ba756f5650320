// VoterRestarts of maelstrom_nemesis.h.
#include <utility>

#include "lib/base/check.h"
#include "tests/support/maelstrom/maelstrom_nemesis.h"

namespace raftkv::test::maelstrom {
namespace {

// Until what was asked has been answered, and is on every node.
constexpr Milliseconds kQuiet{1000};
// Longer than a leader without followers goes on.
constexpr Milliseconds kVoterDown{1200};
constexpr Milliseconds kMostForElection{6000};
// The other one leads now, and acknowledges something.
constexpr Milliseconds kApart{300};
constexpr Milliseconds kBetween{1000};

}  // namespace

void VoterRestarts::Start() {
  RAFTKV_CHECK(network_.size() == 3, network_.size());
  active_ = true;
  done_ = false;
  network_.set_log_line([this](std::size_t node, const std::string& line) { OnLog(node, line); });
  EndRound();
}

void VoterRestarts::Later(Milliseconds delay, std::function<void()> action) {
  network_.scheduler().After(delay, [this, round = round_, action = std::move(action)] {
    if (active_ && round == round_) action();
  });
}

/// All logs are to be equal when the links are cut, and nobody is to add to them before an
/// election.
void VoterRestarts::BeginRound() {
  ++round_;
  pause_(true);
  Later(kQuiet, [this] { CutAndKill(); });
}

void VoterRestarts::CutAndKill() {
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
  pause_(false);
  network_.Start(voter_);
  step_ = Step::kElection;
}

void VoterRestarts::OnLog(std::size_t node, const std::string& line) {
  if (!active_ || line.find(kLeads) == std::string::npos) return;
  if (step_ == Step::kOtherElection) {
    Later(kApart, [this] {
      done_ = true;
      EndRound();
    });
    return;
  }
  if (step_ != Step::kElection) return;
  if (node == voter_) return EndRound();  // it voted for itself
  const std::size_t other = 3 - voter_ - node;
  network_.Cut({{node, other}, {other, node}, {node, voter_}, {voter_, node}});
  network_.Kill(voter_);
  network_.Start(voter_);
  step_ = Step::kOtherElection;
}

void VoterRestarts::EndRound() {
  ++round_;
  step_ = Step::kIdle;
  network_.Cut({});
  Later(kBetween, [this] { BeginRound(); });
}

void VoterRestarts::Stop() {
  if (!active_) return;
  active_ = false;
  pause_(false);
  network_.Cut({});
  if (!network_.IsRunning(voter_)) network_.Start(voter_);
}

}  // namespace raftkv::test::maelstrom
