#include "tests/sim/faults/lasting.h"

#include <algorithm>
#include <utility>

#include "tests/sim/judges/quorum.h"
#include "tests/sim/world.h"

namespace raftkv::sim {

namespace {

/// Of the time that the fault lasts.
constexpr std::uint64_t kMostElections = 4;
/// That its followers may lack, when the fault begins.
constexpr std::uint64_t kNearlyAll = 100;
/// What is to end over a distance, at a time.
constexpr std::size_t kRoomForReads = 64;
constexpr std::size_t kRoomForAnswers = 64 << 10;
constexpr std::size_t kRoomForEntries = 1'000;

}  // namespace

bool Lasting::Works(const Host& host) {
  return host.running() && !host.paused && !host.stalls() && !host.disk.suspect && !host.gone;
}

bool Lasting::WorksWith(const Host& host, const Host& other) const {
  if (!Works(host) || !Works(other)) return false;
  return !world_.network().Blocked(host.index, other.index) &&
         !world_.network().Blocked(other.index, host.index);
}

bool Lasting::CanCommit(const Host& host) const {
  return Commits(*world_.checks().configuration(), [&](NodeId id) {
    const Host* const other = world_.FindHost(id);
    return other != nullptr && WorksWith(host, *other);
  });
}

bool Lasting::CanLead(const Host& host, const std::vector<Host*>& voters) const {
  const auto votes = [&](NodeId id) {
    return std::any_of(voters.begin(), voters.end(), [&](const Host* other) {
      return other->disk.member == id && WorksWith(host, *other);
    });
  };
  const raft::Configuration& committed = *world_.checks().configuration();
  return Commits(committed, votes) && Elects(committed, votes);
}

/// Who has the longest log among some members may count on their votes, and on those of no others.
/// So some are needed each of whom could be elected by them alone.
bool Lasting::AsksForLeader() const {
  std::vector<Host*> some = members_;
  for (std::size_t before = 0; before != some.size();) {
    before = some.size();
    const std::vector<Host*> voters = some;
    std::erase_if(some, [&](const Host* host) { return !CanLead(*host, voters); });
  }
  return !some.empty();
}

bool Lasting::MayBegin() const {
  const Host* const leader = world_.Leader();
  if (leader == nullptr || !CanCommit(*leader) || !world_.nemesis().Settled()) return false;
  const raft::Raft& leads = *leader->process->member().core();
  if (!leads.committed_in_term()) return false;
  return std::all_of(world_.hosts().begin(), world_.hosts().end(), [&](const auto& host) {
    if (!world_.nemesis().Healthy(*host)) return true;
    const raft::Raft* const core = host->running() ? host->process->member().core() : nullptr;
    return core != nullptr && Works(*host) && core->leader() == leads.id() &&
           core->applied_index() + kNearlyAll >= leads.commit_index();
  });
}

bool Lasting::Begin() {
  members_.clear();
  leader_ = world_.Leader();
  const raft::Configuration& committed = *world_.checks().configuration();
  for (const auto& host : world_.hosts()) {
    if (Works(*host) && committed.IsVoter(host->disk.member)) members_.push_back(host.get());
  }
  const Fault fault = world_.plan().lasting;
  world_.Trace("lasting fault: %s", FaultName(fault));
  const bool brought = BringAbout();
  const bool asks = brought && AsksForLeader();
  if (!asks) {
    End();
    return false;
  }
  world_.Count(fault);
  began_ = progress_at_ = led_at_ = world_.now();
  elections_ = world_.stats().elections;
  committed_ = world_.checks().committed();
  reads_ok_ = reads_failed_ = 0;
  return true;
}

void Lasting::End() {
  for (const auto& undo : std::exchange(undo_, {})) undo();
}

// --- The faults.

void Lasting::Block(std::size_t from, std::size_t to) {
  world_.network().Block(from, to);
  undo_.emplace_back([this, from, to] { world_.network().Unblock(from, to); });
}

void Lasting::BlockBoth(std::size_t a, std::size_t b) {
  Block(a, b);
  Block(b, a);
}

void Lasting::Isolate(const Host& victim, bool hears, bool speaks) {
  world_.Trace("%s is cut off%s%s", victim.name.c_str(), hears ? ", but hears" : "",
               speaks ? ", but speaks" : "");
  for (const auto& other : world_.hosts()) {
    if (other->index == victim.index) continue;
    if (!hears) Block(other->index, victim.index);
    if (!speaks) Block(victim.index, other->index);
  }
}

/// Two halves that speak with each other by way of one member only.
bool Lasting::Bridge() {
  if (members_.size() < 3) return false;
  const std::size_t bridge = world_.chance().lasting.Below(members_.size());
  for (std::size_t a = 0; a < members_.size(); ++a) {
    for (std::size_t b = a + 1; b < members_.size(); ++b) {
      if (a == bridge || b == bridge || a % 2 == b % 2) continue;
      BlockBoth(members_[a]->index, members_[b]->index);
    }
  }
  return !undo_.empty();
}

/// Each speaks with the two beside it only.
bool Lasting::Ring() {
  const std::size_t size = members_.size();
  for (std::size_t a = 0; a < size; ++a) {
    for (std::size_t b = a + 1; b < size; ++b) {
      if (b - a != 1 && b - a != size - 1) BlockBoth(members_[a]->index, members_[b]->index);
    }
  }
  return !undo_.empty();
}

/// The leader and one follower, or any two, do not hear each other, or one of them does not.
bool Lasting::CutSome() {
  if (members_.size() < 3) return false;
  Random& random = world_.chance().lasting;
  const std::uint64_t cuts = 1 + random.Below(2);
  for (std::uint64_t i = 0; i < cuts; ++i) {
    const Host* const a = random.Below(2) == 0 ? leader_ : members_[random.Below(members_.size())];
    const Host* const b = members_[random.Below(members_.size())];
    if (a == b) continue;
    world_.Trace("%s and %s are cut", a->name.c_str(), b->name.c_str());
    const std::uint64_t ways = random.Below(3);
    if (ways != 0) Block(a->index, b->index);
    if (ways != 1) Block(b->index, a->index);
  }
  return !undo_.empty();
}

void Lasting::SlowDisks(const std::vector<Host*>& slow, Nanos sync) {
  for (Host* const host : slow) {
    world_.Trace("syncs of %s take %.3f s", host->name.c_str(),
                 static_cast<double>(sync) / static_cast<double>(kSecond));
    host->least_write = sync;
    undo_.emplace_back([host] { host->least_write = 0; });
  }
}

/// A round trip takes nearly as long as the shortest election timeout.
void Lasting::MoveApart() {
  Duration shortest = leader_->election_timeout;
  for (const Host* const host : members_) shortest = std::min(shortest, host->election_timeout);
  far_ = world_.quiet_network();
  far_.min_delay = shortest.count() * 2 / 5;
  far_.mean_delay = far_.min_delay + 2 * kMillisecond;
  world_.network().SetPlan(&far_);
  undo_.emplace_back([this] { world_.network().SetPlan(&world_.quiet_network()); });
}

bool Lasting::BringAbout() {
  Random& random = world_.chance().lasting;
  Host* victim = random.Below(2) == 0 ? leader_ : members_[random.Below(members_.size())];
  const Nanos timeout = LongestTimeout();
  switch (world_.plan().lasting) {
    case Fault::kLastingIsolation: Isolate(*victim, false, false); return true;
    case Fault::kLastingOneWay: {
      const bool hears = random.Below(2) == 0;
      Isolate(*victim, hears, !hears);
      return true;
    }
    case Fault::kLastingBridge: return Bridge();
    case Fault::kLastingRing: return members_.size() > 3 && Ring();
    case Fault::kLastingPartialCut: return CutSome();
    case Fault::kLastingHang:
      world_.Trace("the disk of %s hangs", victim->name.c_str());
      victim->disk_hangs = true;
      undo_.emplace_back([this, victim] { world_.nemesis().EndHang(*victim); });
      return true;
    case Fault::kLastingPause:
      world_.Trace("%s is paused", victim->name.c_str());
      world_.Pause(*victim);
      undo_.emplace_back([this, victim] { world_.Resume(*victim); });
      return true;
    case Fault::kLastingSlowDisk:
      // A disk that takes one entry per sync falls behind for longer than anyone waits, and the
      // commit quorum may need it.
      if (world_.plan().core.max_write_bytes == 1) return false;
      SlowDisks({victim}, Between(random, timeout / 10, timeout / 3));
      return true;
    case Fault::kLastingSlowDisks:
      SlowDisks(members_, Between(random, timeout * 11 / 10, timeout * 3));
      return true;
    case Fault::kLastingDistance: MoveApart(); return true;
    default: return false;
  }
}

// --- What is asked for.

Nanos Lasting::LongestTimeout() const {
  Nanos longest = 0;
  for (const Host* const host : members_)
    longest = std::max(longest, host->election_timeout.count());
  return longest;
}

/// Between two writes; an election and a write that failed lie between them.
Nanos Lasting::Patience() const {
  Nanos slowest = 0;
  for (const Host* const host : members_) slowest = std::max(slowest, host->least_write);
  return 3 * kSecond + 6 * LongestTimeout() + 6 * slowest;
}

void Lasting::Look() {
  Host* const leads = world_.Leader();
  if (leads != nullptr && CanCommit(*leads)) {
    led_at_ = world_.now();
    world_.clients().Probe(*leads, std::chrono::milliseconds(Patience() / 2 / kMillisecond));
  }
  const std::string during = std::string(" during a ") + FaultName(world_.plan().lasting);
  if (world_.checks().committed() > committed_) {
    committed_ = world_.checks().committed();
    progress_at_ = world_.now();
  }
  const std::uint64_t elections = world_.stats().elections - elections_;
  if (elections > kMostElections) {
    world_.Fail("lasting faults", std::to_string(elections) + " elections" + during);
  } else if (world_.now() - progress_at_ > Patience()) {
    world_.Fail("lasting faults", "no write is committed" + during);
  } else if (world_.now() - led_at_ > Patience()) {
    world_.Fail("lasting faults", "no leader works" + during);
  } else if (world_.now() - began_ >= kTime) {
    // With room for a read or two at a time, or their answers, most wait for the room; and where an
    // entry or two travel at a time, a new leader needs a round trip for each before it may answer.
    // And the way to the member, from there to the leader, and from there to the others, there and
    // back, must leave time for a try more within what a client waits, which is drawn.
    const raft::Options& core = world_.plan().core;
    const bool room = core.max_pending_reads >= kRoomForReads &&
                      world_.plan().disk.max_answer_bytes >= kRoomForAnswers &&
                      core.max_inflight_bytes >= kRoomForEntries &&
                      core.max_append_bytes * core.max_inflight_messages >= kRoomForEntries;
    const bool near = 6 * far_.min_delay <= world_.plan().clients.timeout / 2;
    if (world_.plan().lasting == Fault::kLastingDistance && room && near) CheckReads();
  }
}

void Lasting::NoteRead(Nanos begun, bool answered) {
  // Before that a leader may have to be elected.
  if (began_ == 0 || begun < began_ + kTime / 4) return;
  ++(answered ? reads_ok_ : reads_failed_);
}

/// Reads over a distance take their time, but they end.
void Lasting::CheckReads() const {
  if (reads_failed_ <= reads_ok_ / 5 + 2) return;
  world_.Fail("lasting faults", std::to_string(reads_failed_) + " of " +
                                    std::to_string(reads_ok_ + reads_failed_) +
                                    " reads fail over a distance");
}

}  // namespace raftkv::sim
