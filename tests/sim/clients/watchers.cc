#include "tests/sim/clients/watchers.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

#include "tests/sim/world.h"

namespace raftkv::sim {

namespace {

using std::chrono::milliseconds;

/// Of a page, once faults have stopped.
constexpr milliseconds kHurriedTimeout{300};
constexpr Nanos kRest = 200 * kMillisecond;
constexpr milliseconds kCompactTimeout{3000};
/// Changes that a watch of the recent past begins with, and that one of what is to come waits for.
constexpr std::uint64_t kRecent = 20;

/// The watch goes on at the same position.
bool IsPassing(Code code) {
  return code == Code::kDeadlineExceeded || code == Code::kUnavailable || code == Code::kNotLeader;
}

}  // namespace

Watchers::Watcher::Watcher(World& world, std::uint32_t its_number)
    : number(its_number),
      chance(StreamOf(world.plan().seed ^ 0x7e00, its_number)),
      channel(world, "w" + std::to_string(its_number),
              {.follow_leader_ppm = 0,
               .drop_answer_ppm = world.plan().watches.drop_answer_ppm,
               .chance = chance,
               .delays = chance}) {}

Watchers::Watchers(World& world) : world_(world), loop_(world) {}
Watchers::~Watchers() = default;

const WatchPlan& Watchers::plan() const { return world_.plan().watches; }
void Watchers::Count(WatchCount what) { world_.stats().Count(what); }

// --- Their lives.

void Watchers::Open(Watcher& watcher) {
  node::SessionKvOptions options;
  options.seed = watcher.chance.Next();
  watcher.kv = node::NewSessionKv(loop_, watcher.channel, options);
}

void Watchers::Start() {
  for (int i = 0; i < plan().watchers; ++i) {
    watchers_.push_back(std::make_unique<Watcher>(world_, static_cast<std::uint32_t>(i + 1)));
    Watcher& watcher = *watchers_.back();
    Open(watcher);
    world_.At(Between(watcher.chance, 0, kSecond), [this, &watcher] { Begin(watcher); });
  }
  if (plan().mean_compact == 0) return;
  compactor_ = std::make_unique<Watcher>(world_, 0);
  Open(*compactor_);
  CompactNext();
}

void Watchers::HostDown(const Host& host) {
  for (const auto& watcher : watchers_) watcher->channel.HostDown(host);
  if (compactor_ != nullptr) compactor_->channel.HostDown(host);
}

void Watchers::Stop() {
  stopped_ = true;
  const auto stop = [](Watcher& watcher) {
    watcher.kv.reset();
    watcher.channel.Stop();
  };
  for (const auto& watcher : watchers_) stop(*watcher);
  if (compactor_ != nullptr) stop(*compactor_);
  loop_.Drop();
}

std::vector<std::size_t> Watchers::DrawSome() {
  std::vector<std::size_t> some;
  for (std::size_t i = 0; i < watchers_.size(); ++i) {
    if (watchers_[i]->chance.Below(2) == 0) some.push_back(i);
  }
  return some;
}

void Watchers::Hurry() {
  hurries_ = true;
  for (const auto& watcher : watchers_) watcher->ask.timeout = kHurriedTimeout;
}

bool Watchers::CaughtUp() const { return WhoIsBehind().empty(); }

std::string Watchers::WhoIsBehind() const {
  const std::uint64_t reached = world_.checks().revision();
  for (const auto& watcher : watchers_) {
    const std::uint64_t next = watcher->pages.has_value() ? watcher->pages->position().next : 0;
    if (next > reached) continue;
    return "watcher " + std::to_string(watcher->number) + " has only come to revision " +
           std::to_string(next) + " of " + std::to_string(reached) + " though faults have stopped";
  }
  return {};
}

bool Watchers::AllAnswered() const {
  return std::all_of(watchers_.begin(), watchers_.end(),
                     [](const auto& watcher) { return watcher->channel.AllAnswered(); }) &&
         (compactor_ == nullptr || compactor_->channel.AllAnswered());
}

// --- A watch.

/// Of keys of session clients, counters, keys of mixed requests and those with leases, or of all.
KeyRange Watchers::DrawRange(Random& random) const {
  constexpr const char* kPrefixes[] = {"k", "n", "m", "l"};
  const std::uint64_t draw = random.Below(6);
  if (draw < 2) return {};
  const std::string prefix = kPrefixes[random.Below(std::size(kPrefixes))];
  if (draw < 4) return KeyRange::Prefix(prefix);
  std::string first = prefix + std::to_string(random.Below(4));
  if (draw == 4) return KeyRange::Single(first);
  std::string last = prefix + std::to_string(random.Below(4));
  if (last < first) std::swap(first, last);
  return {std::move(first), std::move(last) + "~"};
}

std::uint64_t Watchers::DrawStart(Random& random) const {
  const std::uint64_t floor = world_.clients().WriteFloor();
  const std::uint64_t draw = random.Below(7);
  const std::uint64_t recent = 1 + random.Below(kRecent);
  switch (draw) {
    case 0: return 1 + random.Below(floor + 1);
    case 1:
    case 2: return floor > recent ? floor - recent : 1;
    // At the bound everything is still there.
    case 3: return std::max<std::uint64_t>(1, world_.checks().compacted());
    case 4: return floor + recent;
    default: return 0;
  }
}

void Watchers::Begin(Watcher& watcher) {
  if (ended_ || stopped_) return;
  constexpr std::uint32_t kPageBytes[] = {0, 0, 1, 200};
  constexpr milliseconds kTimeouts[] = {milliseconds(20), milliseconds(100), milliseconds(500),
                                        milliseconds(1000)};
  Random& random = watcher.chance;
  WatchTold told;
  told.name = "w" + std::to_string(watcher.number);
  told.range = DrawRange(random);
  const std::uint64_t filter = random.Below(8);
  told.puts = filter != 0;
  told.deletes = filter != 1;
  told.previous = random.Below(4) == 0;
  told.start = DrawStart(random);
  if (random.Below(4) == 0) told.max_response_bytes = 1 + random.Below(600);
  const bool tells_progress = random.Below(2) == 0;
  watcher.range = told.range;
  watcher.ask = {};
  watcher.ask.puts = told.puts;
  watcher.ask.deletes = told.deletes;
  watcher.ask.previous = told.previous;
  watcher.ask.page_bytes = kPageBytes[random.Below(std::size(kPageBytes))];
  watcher.ask.timeout = kTimeouts[random.Below(std::size(kTimeouts))];
  if (hurries_) watcher.ask.timeout = kHurriedTimeout;
  watcher.pages_left = 5 + random.Below(200);
  watcher.pages.emplace(told.start, tells_progress, told.max_response_bytes);
  if (world_.telling()) {
    world_.Trace("%s watches '%s' to '%s' from revision %llu on", told.name.c_str(),
                 told.range.begin.c_str(), told.range.end.c_str(),
                 static_cast<unsigned long long>(told.start));
  }
  watcher.watch = world_.watched().Begin(std::move(told));
  Count(WatchCount::kWatches);
  Ask(watcher);
}

void Watchers::Ask(Watcher& watcher) {
  if (ended_ || stopped_) return;
  const std::uint64_t number = ++watcher.asked;
  WatchPageOptions options = watcher.ask;
  options.position = watcher.pages->position();
  world_.watched().OnAsked(watcher.watch);
  watcher.kv->WatchPageAsync(
      watcher.range, options,
      [this, &watcher, number, asked = options.position](Result<WatchPage> page) {
        if (stopped_ || watcher.asked != number) return;
        OnAnswer(watcher, asked, std::move(page));
      });
  ReconnectSometimes(watcher);
}

/// While a page is open; it is asked for again by another session.
void Watchers::ReconnectSometimes(Watcher& watcher) {
  if (hurries_ || !Chance(watcher.chance, plan().reconnect_ppm)) return;
  const Nanos after = Between(watcher.chance, 0, Duration(watcher.ask.timeout).count());
  world_.At(after, [this, &watcher, number = watcher.asked] {
    if (stopped_ || ended_ || watcher.asked != number) return;
    ++watcher.asked;  // what the old session says does not count
    Count(WatchCount::kReconnects);
    Open(watcher);
    Ask(watcher);
  });
}

void Watchers::OnAnswer(Watcher& watcher, const WatchPosition& asked, Result<WatchPage> page) {
  if (page.code() == Code::kCompacted) {
    world_.watched().OnCompacted(watcher.watch, asked);
    Count(WatchCount::kCompacted);
    ++watcher.asked;
    return Begin(watcher);
  }
  if (page.ok()) {
    Take(watcher, asked, *std::move(page));
  } else if (!IsPassing(page.code())) {
    world_.Fail("outcomes", "a watch ends with " + page.status().ToString());
    return;
  }
  Next(watcher);
}

void Watchers::Take(Watcher& watcher, const WatchPosition& asked, WatchPage page) {
  watcher.ask.resumes = true;
  Count(WatchCount::kPages);
  if (page.position.delivered > 0) Count(WatchCount::kPagesWithin);
  world_.watched().OnPage(watcher.watch, asked, page);
  std::deque<WatchResponse> responses;
  watcher.pages->Take(std::move(page), responses);
  for (WatchResponse& response : responses) {
    world_.stats().Count(WatchCount::kEvents, response.events.size());
    if (response.is_progress()) Count(WatchCount::kProgress);
    if (response.more) Count(WatchCount::kParts);
    if (world_.telling()) {
      std::string what = response.is_progress() ? ", progress" : "";
      for (const WatchEvent& event : response.events) {
        what += (event.kind == WatchEvent::Kind::kPut ? ", put " : ", delete ") + event.kv.key;
      }
      world_.Trace("w%u is told revision %llu%s", watcher.number,
                   static_cast<unsigned long long>(response.revision), what.c_str());
    }
    world_.watched().OnResponse(watcher.watch, std::move(response));
  }
}

void Watchers::Next(Watcher& watcher) {
  ++watcher.asked;  // no page is open
  if (hurries_) {
    // Who is there leaves its room to others for a while.
    const bool behind = watcher.pages->position().next <= world_.checks().revision();
    const Nanos rest = behind ? 0 : Between(watcher.chance, kRest, 2 * kRest);
    world_.At(rest, [this, &watcher] { Ask(watcher); });
    return;
  }
  if (watcher.pages_left-- == 0) return Begin(watcher);
  Random& random = watcher.chance;
  if (Chance(random, plan().move_ppm)) {
    watcher.channel.Use(random.Below(world_.hosts().size()));
    Count(WatchCount::kMoves);
  }
  if (!Chance(random, plan().pause_ppm)) return Ask(watcher);
  world_.At(Between(random, 0, 3 * kSecond), [this, &watcher] { Ask(watcher); });
}

// --- The past.

void Watchers::CompactNext() {
  const Nanos mean = plan().mean_compact;
  world_.At(Between(compactor_->chance, mean / 4, 2 * mean), [this] {
    if (hurries_ || stopped_) return;
    Compact();
    CompactNext();
  });
}

/// Up to a little behind what was written last; it may be refused where another one was faster.
void Watchers::Compact() {
  const std::uint64_t floor = world_.clients().WriteFloor();
  const std::uint64_t kept = compactor_->chance.Below(plan().most_kept + 1);
  if (compacts_ || floor <= kept || world_.clients().Lulls()) return;
  const std::uint64_t revision = floor - kept;
  compacts_ = true;
  compactor_->kv->CompactAsync(
      revision, {.timeout = kCompactTimeout}, [this, revision](const Result<WriteResult>& result) {
        if (stopped_) return;
        compacts_ = false;
        const Code code = result.code();
        if (result.ok()) world_.watched().OnCompacted(revision);
        if (!result.ok() && code != Code::kCompacted && !Clients::GotNoAnswer(code)) {
          world_.Fail("outcomes", "a compact ends with " + result.status().ToString());
        }
      });
}

}  // namespace raftkv::sim
