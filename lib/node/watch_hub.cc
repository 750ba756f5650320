#include "lib/node/watch_hub.h"

#include <algorithm>
#include <limits>

#include "lib/base/check.h"
#include "lib/base/mutants.h"

namespace raftkv::node {

namespace {

// In about 10 ns: an answer on its way through the RPC; a change that is looked at; and how many
// bytes of events are copied meanwhile.
constexpr std::uint64_t kAnswerWork = 2000;
constexpr std::uint64_t kChangeWork = 2;
constexpr std::uint64_t kBytesAWork = 50;
/// Changes of the ring that one page looks at, however few of them are wanted.
constexpr std::size_t kMaxChangesAPage = 16 * 1024;

std::uint64_t LastRevision(const kv::ChangesPtr& entry) { return entry->changes().back().revision; }

bool IsSingle(const kv::WatchOp& op) { return op.range.kind == kv::Range::Kind::kSingle; }

}  // namespace

WatchHub::WatchHub(const WatchHubOptions& options, kv::Revisions revisions, Ports ports)
    : options_(options),
      ports_(std::move(ports)),
      revision_(revisions.revision),
      compacted_(revisions.compacted),
      ring_begin_(revisions.revision + 1),
      event_bytes_(options.event_bytes) {}

Bytes WatchHub::Begin() const {
  return kv::EncodeWatchResponse({}, {.next = revision_ + 1, .delivered = 0}, revision_);
}

void WatchHub::Add(kv::WatchOp op, MonoTime deadline, Done<Bytes> done) {
  RAFTKV_CHECK(op.position.next > 0);
  const std::uint64_t next = op.position.next;
  // Below the bound as it is now a watch does not begin, even if the ring still has it: what it is
  // answered must not depend on the member. One that is under way is not ended without need.
  if (next < compacted_ && !(op.resumes && next >= ring_begin_)) {
    return done(kv::CompactedStatus(next, compacted_));
  }
  const std::size_t bytes = 2 * (op.range.begin.size() + op.range.end.size());
  if (watchers_.size() >= options_.max_watchers ||
      watcher_bytes_ + bytes > options_.max_watcher_bytes) {
    return done(Status(Code::kUnavailable, "too many watchers wait at this member; try another"));
  }
  auto owned = std::make_unique<Watcher>();
  Watcher& watcher = *owned;
  watcher.number = next_number_++;
  watcher.op = std::move(op);
  if (RAFTKV_MUTANT(kFutureWatchGetsOlder) && !watcher.op.resumes && next > revision_) {
    watcher.op.position = {.next = revision_ + 1, .delivered = 0};
  }
  if (RAFTKV_MUTANT(kResumesAtMembersNow) && watcher.op.resumes && next > revision_) {
    watcher.op.position = {.next = revision_ + 1, .delivered = 0};
  }
  watcher.deadline = deadline;
  watcher.done = std::move(done);
  watcher.bytes = bytes;
  watcher_bytes_ += bytes;
  deadlines_.emplace(deadline, watcher.number);
  watchers_.emplace(watcher.number, std::move(owned));
  if (next > revision_) {
    BecomeIdle(watcher);
  } else {
    BecomeDue(watcher);
  }
  ports_.wakeup();
}

void WatchHub::BecomeIdle(Watcher& watcher) {
  watcher.state = State::kIdle;
  const kv::Range& range = watcher.op.range;
  if (IsSingle(watcher.op)) {
    idle_by_key_[range.begin].insert(&watcher);
  } else {
    idle_by_range_[{range.begin, range.end}].insert(&watcher);
  }
}

void WatchHub::BecomeDue(Watcher& watcher) {
  watcher.state = State::kDue;
  due_.push_back(watcher.number);
}

/// Of those that are idle.
void WatchHub::Unlist(Watcher& watcher) {
  const auto take = [&watcher](auto& lists, const auto& name) {
    const auto list = lists.find(name);
    RAFTKV_CHECK(list != lists.end());
    RAFTKV_CHECK(list->second.erase(&watcher) == 1);
    if (list->second.empty()) lists.erase(list);
  };
  const kv::Range& range = watcher.op.range;
  if (IsSingle(watcher.op)) {
    take(idle_by_key_, range.begin);
  } else {
    take(idle_by_range_, Bounds(range.begin, range.end));
  }
}

// --- What is applied.

void WatchHub::OnApplied(std::vector<kv::ChangesPtr> changes, kv::Revisions revisions,
                         std::uint64_t event_bytes) {
  const std::uint64_t before = revision_;
  for (kv::ChangesPtr& entry : changes) {
    for (const kv::Change& change : entry->changes()) {
      // Safety: without a gap, or a watcher would miss something and never know.
      RAFTKV_CHECK(change.revision >= std::max(revision_, before + 1), change.revision, revision_);
      RAFTKV_CHECK(change.revision <= revision_ + 1, change.revision, revision_);
      revision_ = change.revision;
      Wake(change, before);
    }
    ring_bytes_ += entry->size_bytes();
    ring_.push_back(std::move(entry));
  }
  RAFTKV_CHECK(revision_ == revisions.revision, revision_, revisions.revision);
  RAFTKV_CHECK(revisions.compacted >= compacted_, revisions.compacted, compacted_);
  compacted_ = revisions.compacted;
  event_bytes_ = event_bytes;
  Trim();
  if (!due_.empty()) ports_.wakeup();
}

void WatchHub::Trim() {
  while (!ring_.empty() && ring_bytes_ > event_bytes_) {
    ring_begin_ = LastRevision(ring_.front()) + 1;
    ring_bytes_ -= ring_.front()->size_bytes();
    ring_.pop_front();
  }
}

void WatchHub::OnInstalled(kv::Revisions revisions) {
  RAFTKV_CHECK(revisions.revision >= revision_, revisions.revision, revision_);
  const std::uint64_t before = std::exchange(revision_, revisions.revision);
  compacted_ = std::max(compacted_, revisions.compacted);
  if (!RAFTKV_MUTANT(kRingOutlivesInstall)) {
    ring_.clear();
    ring_bytes_ = 0;
    ring_begin_ = revision_ + 1;
  }
  idle_by_key_.clear();
  idle_by_range_.clear();
  for (const auto& [number, watcher] : watchers_) {
    if (watcher->state != State::kIdle) continue;
    WatchPosition& position = watcher->op.position;
    // It has seen what was applied before; the rest is in the new log.
    const std::uint64_t seen = RAFTKV_MUTANT(kInstallSkipsEvents) ? revision_ : before;
    if (position.next <= seen) position = {.next = seen + 1, .delivered = 0};
    if (position.next <= revision_) {
      BecomeDue(*watcher);
    } else {
      BecomeIdle(*watcher);
    }
  }
  ports_.wakeup();
}

/// `before`: the revision before this batch, up to which those that are idle have seen everything.
void WatchHub::Wake(const kv::Change& change, std::uint64_t before) {
  std::vector<Watcher*> wanting;
  const auto add = [&](const WatcherSet& watchers) {
    for (Watcher* const watcher : watchers) {
      const std::uint64_t first =
          watcher->op.position.next + (RAFTKV_MUTANT(kFutureWatchNotWoken) ? 1 : 0);
      const bool is_wanted =
          change.revision >= first && watcher->op.Passes(change.kind, change.key);
      if (is_wanted) wanting.push_back(watcher);
    }
  };
  if (const auto of_key = idle_by_key_.find(change.key); of_key != idle_by_key_.end()) {
    add(of_key->second);
  }
  for (const auto& [bounds, watchers] : idle_by_range_) {
    if (bounds.first > change.key) break;
    if (bounds.second.empty() || change.key < bounds.second) add(watchers);
  }
  for (Watcher* const watcher : wanting) {
    Unlist(*watcher);
    WatchPosition& position = watcher->op.position;
    if (position.next <= before) position = {.next = before + 1, .delivered = 0};
    BecomeDue(*watcher);
  }
}

// --- Pages.

bool WatchHub::IsInRing(const Watcher& watcher) const {
  const std::uint64_t next = watcher.op.position.next;
  if (RAFTKV_MUTANT(kRingSkipsTrimmed) && !ring_.empty() && next + 1 == ring_begin_) return true;
  return next >= ring_begin_;
}

void WatchHub::Pump(MonoTime now) {
  Expire(now);
  if (!due_.empty() && now >= next_step_) {
    next_step_ = now + options_.step;
    std::uint64_t work = 0;
    while (!due_.empty() && work < options_.work_a_step) {
      const auto found = watchers_.find(due_.front());
      due_.pop_front();
      if (found != watchers_.end()) work += Serve(*found->second);
    }
  }
  StartRead();
}

MonoTime WatchHub::NextDeadline() const {
  MonoTime next = deadlines_.empty() ? kNever : deadlines_.begin()->first;
  if (!due_.empty()) next = std::min(next, next_step_);
  return next;
}

std::uint64_t WatchHub::Serve(Watcher& watcher) {
  RAFTKV_CHECK(watcher.state == State::kDue);
  if (watcher.op.position.next > revision_) {
    BecomeIdle(watcher);
    return kChangeWork;
  }
  if (!watcher.op.previous && IsInRing(watcher)) return ServeFromRing(watcher);
  if (watcher.op.position.next < compacted_) {
    Answer(watcher, kv::CompactedStatus(watcher.op.position.next, compacted_));
    return kAnswerWork;
  }
  watcher.state = State::kReading;
  to_read_.push_back(watcher.number);
  return kChangeWork;
}

std::uint64_t WatchHub::ServeFromRing(Watcher& watcher) {
  kv::WatchPageBuilder page(watcher.op);
  const std::uint64_t from = watcher.op.position.next;
  auto entry = std::lower_bound(ring_.begin(), ring_.end(), from,
                                [](const kv::ChangesPtr& each, std::uint64_t revision) {
                                  return LastRevision(each) < revision;
                                });
  std::size_t looked_at = 0;
  bool full = false;
  for (; entry != ring_.end() && !full && looked_at < kMaxChangesAPage; ++entry) {
    for (const kv::Change& change : (*entry)->changes()) {
      if (change.revision < from) continue;
      ++looked_at;
      if (!page.Wants(change.revision, change.kind, change.key)) continue;
      full = !page.Add({.revision = change.revision,
                        .kind = change.kind,
                        .key = change.key,
                        .value = change.value,
                        .counts = change.counts});
      if (full) break;
    }
    if (!full || RAFTKV_MUTANT(kPageEndsRevision)) page.CompleteThrough(LastRevision(*entry));
  }
  std::uint64_t work = kAnswerWork + looked_at * kChangeWork + page.size_bytes() / kBytesAWork;
  if (!page.empty()) {
    Answer(watcher, page.Encode(revision_));
    return work;
  }
  watcher.op.position = page.position();
  if (watcher.op.position.next > revision_) {
    BecomeIdle(watcher);
  } else {
    BecomeDue(watcher);
  }
  return work;
}

void WatchHub::StartRead() {
  while (!is_reading_ && !to_read_.empty()) {
    const std::uint64_t number = to_read_.front();
    const auto found = watchers_.find(number);
    RAFTKV_CHECK(found != watchers_.end());
    is_reading_ = true;
    ports_.read_log(found->second->op, revision_, [this, number](Result<kv::WatchLogPage> page) {
      OnRead(number, std::move(page));
    });
  }
}

void WatchHub::OnRead(std::uint64_t number, Result<kv::WatchLogPage> page) {
  if (to_read_.empty()) return;  // all were ended
  RAFTKV_CHECK(is_reading_);
  RAFTKV_CHECK(to_read_.front() == number);
  is_reading_ = false;
  to_read_.pop_front();
  ports_.wakeup();
  Watcher& watcher = *watchers_.at(number);
  if (!page.ok()) return Answer(watcher, page.status());
  if (!page->response.empty()) return Answer(watcher, std::move(page->response));
  RAFTKV_CHECK(page->position.next > watcher.op.position.next, page->position.next);
  watcher.op.position = page->position;
  BecomeDue(watcher);
}

// --- Endings.

void WatchHub::Expire(MonoTime now) {
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    const auto [deadline, number] = *deadlines_.begin();
    Watcher& watcher = *watchers_.at(number);
    if (watcher.state != State::kReading) {
      AnswerNothing(watcher);
      continue;
    }
    // It is in line, and comes to events or to another deadline.
    deadlines_.erase(deadlines_.begin());
    watcher.deadline = now + options_.step;
    deadlines_.emplace(watcher.deadline, number);
  }
}

/// The position is an answer of its own: what did not match need not be looked at again, and is let
/// go by the compaction.
void WatchHub::AnswerNothing(Watcher& watcher) {
  if (Status may = ports_.may_say_nothing_came(); !may.ok()) return Answer(watcher, may);
  WatchPosition position = watcher.op.position;
  const bool has_seen_all = watcher.state == State::kIdle || RAFTKV_MUTANT(kProgressOvertakes);
  if (has_seen_all && position.next <= revision_) {
    position = {.next = revision_ + 1, .delivered = 0};
  }
  Answer(watcher, kv::EncodeWatchResponse({}, position, revision_));
}

void WatchHub::Answer(Watcher& watcher, Result<Bytes> answer) {
  if (watcher.state == State::kIdle) Unlist(watcher);
  deadlines_.erase({watcher.deadline, watcher.number});
  watcher_bytes_ -= watcher.bytes;
  Done<Bytes> done = std::move(watcher.done);
  watchers_.erase(watcher.number);
  done(std::move(answer));
}

void WatchHub::FailAll(const Status& why) {
  due_.clear();
  to_read_.clear();
  idle_by_key_.clear();
  idle_by_range_.clear();
  deadlines_.clear();
  watcher_bytes_ = 0;
  for (auto& [number, watcher] : std::exchange(watchers_, {})) watcher->done(why);
}

}  // namespace raftkv::node
