#include "tests/sim/world.h"

#include <xxhash.h>

#include <algorithm>
#include <cstdarg>
#include <ctime>
#include <utility>

#include "lib/base/check.h"
#include "tests/support/linearizability/linearizability.h"

namespace raftkv::sim {

namespace {

/// Once faults have stopped.
constexpr Nanos kElectionBound = 20 * kSecond;
constexpr Nanos kWriteBound = 30 * kSecond;
constexpr Nanos kConvergeBound = 20 * kSecond;
constexpr Nanos kWatchBound = 10 * kSecond;
constexpr Nanos kAnswerBound = 3 * kSecond;
/// Of the search for an order.
constexpr std::uint64_t kHistorySteps = 200'000;
/// More than that without an end is a loop.
constexpr std::uint64_t kMaxEvents = 5'000'000;

std::uint64_t CpuNanos() {
  std::timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(time.tv_nsec);
}

}  // namespace

World::World(const Plan& plan, const TraceSink& sink)
    : plan_(plan),
      sink_(sink),
      telling_(sink.file != nullptr || sink.hash),
      tracing_(telling_ && !sink.brief),
      random_(plan.seed),
      network_(*this, plan.seed),
      checks_(*this),
      reads_(*this),
      changes_(*this),
      refusals_(*this),
      watched_(*this),
      clients_(*this),
      watchers_(*this),
      nemesis_(*this),
      lasting_(*this) {
  network_.Start(plan_.network);
  // Round trips that are nearly as long as timeouts would only keep the cluster from forming.
  if (4 * plan_.network.min_delay > plan_.core.election_timeout.count()) {
    network_.SetPlan(&quiet_network_);
  }
  quiet_network_.min_delay = 200 * kMicrosecond;
  quiet_network_.mean_delay = kMillisecond;
  for (int i = 0; i < plan_.nodes + plan_.spares; ++i) {
    auto host = std::make_unique<Host>();
    host->index = static_cast<std::uint16_t>(i);
    host->name = "n" + std::to_string(i + 1);
    host->election_timeout = plan_.core.election_timeout;
    host->heartbeat = plan_.core.heartbeat_interval;
    host->out = i >= plan_.nodes;
    host->lease_reads = plan_.core.lease_reads;
    if (plan_.mixed_leases) {
      host->lease_reads = random_.identity.Below(2) != 0;
      const auto halves = 2 + static_cast<int>(random_.identity.Below(3));
      host->election_timeout = host->election_timeout * halves / 2;
    }
    if (plan_.zones > 0) host->zone = "z" + std::to_string(i % plan_.zones);
    if (!host->out) cluster_.push_back({host->name, host->name});
    hosts_.push_back(std::move(host));
  }
}

World::~World() {
  clients_.Stop();
  watchers_.Stop();
  // What still waits may point to what goes first.
  scheduler_.Clear();
}

void World::Fail(const char* checker, std::string message) {
  Trace("FAILED %s: %s", checker, message.c_str());
  if (!outcome_.ok) return;
  outcome_.ok = false;
  outcome_.checker = checker;
  outcome_.message = std::move(message);
}

void World::Trace(const char* format, ...) {
  if (!telling_) return;
  char text[2048];
  const int head = std::snprintf(text, sizeof text, "%11.6f ",
                                 static_cast<double>(now()) / static_cast<double>(kSecond));
  va_list arguments;
  va_start(arguments, format);
  const int body = std::vsnprintf(text + head, sizeof text - static_cast<std::size_t>(head) - 1,
                                  format, arguments);
  va_end(arguments);
  const std::size_t length = std::min(sizeof text - 2, static_cast<std::size_t>(head + body));
  text[length] = '\n';
  if (sink_.file != nullptr) std::fwrite(text, 1, length + 1, sink_.file);
  if (sink_.hash) outcome_.trace_hash = XXH3_64bits_withSeed(text, length + 1, outcome_.trace_hash);
}

const Host* World::FindHost(NodeId id) const {
  for (const auto& host : hosts_) {
    if (host->disk.member == id) return host.get();
  }
  return nullptr;
}

std::string World::NameOf(NodeId id) const {
  const Host* const host = FindHost(id);
  return host == nullptr ? "nobody" : host->name;
}

void World::ReplaceDisk(Host& host, SimDisk disk) {
  lost_disks_.push_back({std::exchange(host.disk, std::move(disk)), false});
  checks_.OnDiskReplaced(host);
}

Host* World::Leader() {
  Host* leader = nullptr;
  Term term;
  for (const auto& host : hosts_) {
    if (!host->running()) continue;
    const raft::Raft* const core = host->process->member().core();
    if (core == nullptr || core->role() != raft::Role::kLeader || core->term() < term) continue;
    leader = host.get();
    term = core->term();
  }
  return leader;
}

// --- Processes.

void World::Start(Host& host) {
  if (host.process != nullptr || host.gone || host.out) return;
  StartProcess(host);
}

void World::StartGone(Host& host) {
  if (host.process == nullptr) StartProcess(host);
}

void World::StartProcess(Host& host) {
  ++host.epoch;
  host.needs_pump = host.pump_scheduled = host.paused = false;
  host.tick_at = Host::kNoTick;
  nemesis_.OnStart(host);
  if (!host.disk.damaged.empty()) {
    lost_disks_.push_back({host.disk, true});
    host.disk.CutDamage();
    nemesis_.OnDamageFound(host);
  }
  checks_.OnStart(host);
  host.process = std::make_unique<Process>(*this, host);
  Trace("%s starts, boot %llu", host.name.c_str(),
        static_cast<unsigned long long>(host.disk.boot.counter));
  host.process->member().Start();
  if (host.space != raft::Space::kEnough) host.process->member().OnDisk({host.space, Status::Ok()});
  AfterEvent(host);
}

void World::Crash(Host& host) {
  if (host.process == nullptr) return;
  Trace("%s is down", host.name.c_str());
  host.process->Die();
  ++host.epoch;
  host.process->LoseOrKeepWrites();
  network_.HostDown(host);
  clients_.HostDown(host);
  watchers_.HostDown(host);
  host.process.reset();
  host.paused = false;
  for (const Event& event : std::exchange(host.deferred, {})) Forget(event);
}

void World::Resume(Host& host) {
  if (!host.paused) return;
  host.paused = false;
  Trace("%s goes on", host.name.c_str());
  const std::vector<Event> deferred = std::exchange(host.deferred, {});
  for (const Event& event : deferred) AtProcess(event);
}

void World::Forget(const Event& event) {
  if (event.kind == EventKind::kMessage) network_.Forget(event);
  if (event.kind == EventKind::kHostWork) scheduler_.TakeWork(event.slot);
}

/// It stopped by itself: a failed disk, or it was refused.
void World::Stopped(Host& host) {
  const Status why = host.process->member().failure();
  Trace("%s stops: %s", host.name.c_str(), why.ToString().c_str());
  if (why.code() == Code::kPermissionDenied && !host.gone && !nemesis_.MayBeRefused(host)) {
    Fail("refusals", host.name + " was refused: " + why.message());
  }
  const bool refused = why.code() == Code::kPermissionDenied;
  Crash(host);
  if (refused) {
    nemesis_.OnRefused(host);
  } else {
    nemesis_.OnStopped(host);
  }
}

// --- Events.

void World::OnHost(Host& host, std::uint32_t epoch, Scheduler::Work work) {
  if (host.epoch != epoch || !host.running()) return;
  if (host.paused) {
    AtHost(host, 0, std::move(work));
    return;
  }
  work();
  AfterEvent(host);
}

void World::AtProcess(const Event& event) {
  Host& host = *hosts_[event.host];
  if (host.paused && (event.kind != EventKind::kHostWork || event.epoch == host.epoch)) {
    host.deferred.push_back(event);
    return;
  }
  if (event.kind == EventKind::kMessage) {
    network_.Deliver(event);
    AfterEvent(host);
    return;
  }
  if (event.kind == EventKind::kTick) {
    // One that an earlier one took the place of.
    if (event.epoch != host.epoch || event.at != host.tick_at || !host.running()) return;
    host.tick_at = Host::kNoTick;
    host.pump_scheduled = false;
    if (host.process->member().NextDeadline() <= host.process->Now()) host.needs_pump = true;
    AfterEvent(host);
    return;
  }
  Scheduler::Work work = scheduler_.TakeWork(event.slot);
  if (event.epoch != host.epoch || !host.running()) return;
  work();
  AfterEvent(host);
}

void World::Handle(const Event& event) {
  if (event.kind == EventKind::kWork) {
    scheduler_.TakeWork(event.slot)();
  } else {
    AtProcess(event);
  }
  clients_.RunPosted();
  watchers_.RunPosted();
}

void World::AfterEvent(Host& host) {
  if (host.process == nullptr) return;
  if (host.needs_pump && !host.process->dead()) {
    if (plan_.pump_delay > 0 && !host.pump_scheduled && random_.network.Below(2) == 0) {
      // What comes soon goes together with it.
      host.pump_scheduled = true;
      const std::uint32_t epoch = host.epoch;
      At(plan_.pump_delay,
         [this, &host, epoch] { OnHost(host, epoch, [&host] { host.pump_scheduled = false; }); });
    }
    if (!host.pump_scheduled) {
      host.needs_pump = false;
      host.process->member().Pump();
    }
  }
  checks_.AfterStep(host);
  if (host.process->dead()) {
    Crash(host);
    nemesis_.OnStopped(host);
  } else if (!host.process->member().failure().ok()) {
    Stopped(host);
  } else {
    SetTick(host);
  }
}

void World::SetTick(Host& host) {
  const MonoTime deadline = host.process->member().NextDeadline();
  if (deadline == kNever) return;
  const Nanos at = std::max(host.clock.TrueTimeOf(deadline), now() + kMicrosecond);
  // A tick that comes too early finds that out and is set anew.
  if (host.tick_at != Host::kNoTick && host.tick_at <= at) return;
  host.tick_at = at;
  scheduler_.Add(at, EventKind::kTick, host.index, host.epoch, 0);
}

void World::RunUntil(Nanos until) {
  Event event;
  while (outcome_.ok && scheduler_.Next(until, &event)) {
    Handle(event);
    if (scheduler_.events() > kMaxEvents) Fail("progress", "the run does not end");
  }
}

bool World::RunUntilTrue(Nanos until, bool (World::*condition)()) {
  while (outcome_.ok && !(this->*condition)()) {
    if (now() >= until) return false;
    RunUntil(std::min(until, now() + 20 * kMillisecond));
  }
  return outcome_.ok;
}

// --- Phases.

bool World::HasLeader() {
  Host* const leader = Leader();
  return leader != nullptr && leader->process->member().core()->committed_in_term();
}

void World::RunSafetyPhase() {
  for (const auto& host : hosts_) {
    if (!host->out) Start(*host);
  }
  if (!plan_.faults_while_forming) {
    RunUntilTrue(now() + kElectionBound, &World::HasLeader);
    if (outcome_.ok && !HasLeader()) Fail("liveness", "no leader at the start");
  }
  if (!outcome_.ok) return;
  network_.SetPlan(nullptr);
  for (const auto& host : hosts_) host->least_write = plan_.disk.least_write;
  nemesis_.Start();
  clients_.Start();
  watchers_.Start();
  RunUntil(now() + plan_.safety_time);
}

/// All healthy members have applied the same, and agree on it.
bool World::Converged() {
  const SimDisk* first = nullptr;
  Index applied;
  for (const auto& host : hosts_) {
    if (!nemesis_.Healthy(*host)) continue;
    if (!host->running()) return false;
    const raft::Raft* const core = host->process->member().core();
    if (core == nullptr || core->applied_index() != core->log().last_index()) return false;
    if (first == nullptr) {
      first = &host->disk;
      applied = core->applied_index();
    }
    if (core->applied_index() != applied || host->disk.engine.hash() != first->engine.hash()) {
      return false;
    }
  }
  return first != nullptr;
}

void World::RunLastingPhase() {
  Trace("faults stop for a while");
  calm_ = true;
  nemesis_.Heal();
  if (!RunUntilTrue(now() + kElectionBound, &World::HasLeader)) {
    if (outcome_.ok) Fail("liveness", "no leader though faults have stopped");
    return;
  }
  // Where a member is still being refilled nothing can be asked for.
  if (!RunUntilTrue(now() + kConvergeBound, &World::MayLast) || !lasting_.Begin()) return;
  lasts_ = true;
  const Nanos end = now() + Lasting::kTime;
  while (outcome_.ok && now() < end) {
    RunUntil(std::min(end, now() + Lasting::kLookEvery));
    if (outcome_.ok) lasting_.Look();
  }
  lasting_.End();
  lasts_ = false;
}

void World::RunLivenessPhase() {
  Trace("faults stop");
  calm_ = true;
  nemesis_.Heal();
  if (!RunUntilTrue(now() + kElectionBound, &World::HasLeader)) {
    if (outcome_.ok) Fail("liveness", "no leader though faults have stopped");
    return;
  }
  reads_.OnWell();
  watchers_.Hurry();
  clients_.WriteOnceEach();
  const Nanos write_bound = now() + kWriteBound;
  while (outcome_.ok && !clients_.Done() && now() < write_bound)
    RunUntil(now() + 20 * kMillisecond);
  if (outcome_.ok && !clients_.Done()) Fail("liveness", clients_.WhatIsOpen());
  if (!outcome_.ok) return;
  if (!RunUntilTrue(now() + kConvergeBound, &World::Converged) && outcome_.ok) {
    Fail("liveness", "the members do not converge though faults have stopped");
  }
  if (!RunUntilTrue(now() + kWatchBound, &World::WatchersCaughtUp) && outcome_.ok) {
    Fail("watch completeness", watchers_.WhoIsBehind());
  }
  watchers_.End();
  // What a member was asked before has its answer by now, also if nobody waits for it any more.
  RunUntil(now() + kAnswerBound);
  if (outcome_.ok && !(clients_.AllAnswered() && watchers_.AllAnswered())) {
    Fail("every request ends", "a member has forgotten a request");
  }
}

void World::CheckHistory() {
  const test::CheckResult result = test::CheckLinearizability(clients_.Resolved(), kHistorySteps);
  if (result.verdict == test::Verdict::kNotLinearizable) {
    Fail("linearizability", result.explanation);
  } else if (result.verdict == test::Verdict::kGaveUp) {
    ++stats_.gave_up;
  }
}

void World::CompareWithModel() {
  const Model model = reads_.CompareWithModel();
  if (outcome_.ok) watched_.CompareWithModel(model);
}

Outcome World::Run() {
  const std::uint64_t cpu_start = CpuNanos();
  RunSafetyPhase();
  if (outcome_.ok && plan_.lasting != Fault::kCount) RunLastingPhase();
  if (outcome_.ok) RunLivenessPhase();
  if (outcome_.ok) changes_.CompareWithLog();
  if (outcome_.ok) CompareWithModel();
  if (outcome_.ok) refusals_.CompareWithLog();
  if (outcome_.ok) CheckHistory();
  clients_.CountRaw();
  stats_.seeds = 1;
  stats_.virtual_ns = static_cast<std::uint64_t>(now());
  stats_.node_ns = stats_.virtual_ns * cluster_.size();
  stats_.events = scheduler_.events();
  stats_.cpu_ns = CpuNanos() - cpu_start;
  outcome_.stats = stats_;
  return outcome_;
}

Outcome RunSeed(std::uint64_t seed, const Overrides& overrides, const TraceSink& sink) {
  return World(DrawPlan(seed, overrides), sink).Run();
}

}  // namespace raftkv::sim
