#include "rpc/etcd/watch_stream.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "rpc/etcd/key_range.h"
#include "rpc/etcd/watch_answers.h"
#include "rpc/etcd/watch_page.h"

namespace raftkv::etcd {

namespace {

/// Requests of a stream that wait; more end it.
constexpr std::size_t kMaxRequests = 4096;
constexpr std::size_t kMaxRequestBytes = 16 << 20;
/// After a call that failed at once.
constexpr Duration kBetweenAttempts = std::chrono::milliseconds(100);
/// Watchers that are asked for what they did not take, at a time: each has a page in memory.
constexpr std::size_t kMaxCatchingUp = 16;

constexpr std::int64_t kNoWatcher = -1;
constexpr char kDuplicateId[] = "mvcc: duplicate watch ID provided on the WatchStream";
constexpr char kEmptyRange[] = "mvcc: watcher range is empty";
constexpr char kNegativeId[] = "etcdserver: a watch ID cannot be negative";

std::size_t RequestBytes(const WatchRequest& request) {
  if (!request.create_request.has_value()) return sizeof request;
  const WatchCreateRequest& create = *request.create_request;
  return sizeof request + create.key.size() + create.range_end.size();
}

void Append(std::vector<WatchEvent>& to, std::vector<WatchEvent> events) {
  if (to.empty()) {
    to = std::move(events);
    return;
  }
  to.insert(to.end(), std::make_move_iterator(events.begin()),
            std::make_move_iterator(events.end()));
}

}  // namespace

WatchStream::WatchStream(std::shared_ptr<WatchShared> shared, Reply reply)
    : shared_(std::move(shared)), reply_(std::move(reply)) {}

bool WatchStream::Send(const WatchResponse& response) {
  if (ended_) return false;
  reply_.Send(response);
  return !ended_;
}

void WatchStream::End(const Outcome& outcome) {
  if (std::exchange(ended_, true)) return;
  const auto self = shared_from_this();
  reply_.Finish(outcome);
}

void WatchStream::Later(Duration delay, void (WatchStream::*then)()) {
  rpc::EventLoop& loop = shared_->backend.loop;
  loop.At(loop.Now() + delay, [weak = weak_from_this(), then] {
    const auto self = weak.lock();
    if (self != nullptr && !self->ended_) (*self.*then)();
  });
}

// --- Requests.

void WatchStream::OnRequest(WatchRequest request) {
  if (ended_) return;
  const auto self = shared_from_this();
  request_bytes_ += RequestBytes(request);
  requests_.push_back(std::move(request));
  if (requests_.size() > kMaxRequests || request_bytes_ > kMaxRequestBytes) {
    return End(kTooManyRequests);
  }
  Work();
}

bool WatchStream::IsFromNow(const WatchRequest& request) const {
  return request.create_request.has_value() && request.create_request->start_revision == 0;
}

void WatchStream::Work() {
  while (!ended_ && !requests_.empty() && !reply_.full()) {
    if (now_covers_ == 0 && IsFromNow(requests_.front())) return AskNow();
    WatchRequest request = std::move(requests_.front());
    requests_.pop_front();
    request_bytes_ -= RequestBytes(request);
    Handle(std::move(request));
    if (now_covers_ > 0) --now_covers_;
  }
}

void WatchStream::AskNow() {
  if (std::exchange(asks_now_, true)) return;
  // The answer to a watch without a position is the position, of whatever keys.
  WatchPageOptions options;
  options.timeout = shared_->options.page_timeout;
  AskPage(shared_->backend, KeyRange::Single(std::string(1, '\0')), options,
          [weak = weak_from_this(), covers = requests_.size()](const Result<WatchPage>& page) {
            if (const auto self = weak.lock()) self->OnNow(page, covers);
          });
}

void WatchStream::OnNow(const Result<WatchPage>& page, std::size_t covers) {
  asks_now_ = false;
  if (ended_) return;
  if (page.ok() && page->position.next > 0) {
    now_ = page->position.next - 1;
    now_covers_ = std::min(covers, requests_.size());
    return Work();
  }
  if (page.ok() || IsPassing(page.code())) return Later(kBetweenAttempts, &WatchStream::Work);
  End(ToOutcome(page.status()));
}

void WatchStream::Handle(WatchRequest request) {
  if (request.create_request.has_value()) return Create(*std::move(request.create_request));
  if (request.cancel_request.has_value()) return Cancel(request.cancel_request->watch_id);
  if (request.progress_request.has_value()) return AskProgress();
}

/// As etcd answers a watcher that it does not create.
void WatchStream::Refuse(const std::string& reason) {
  WatchResponse refusal;
  refusal.header = HeaderNow();
  refusal.watch_id = kNoWatcher;
  refusal.created = true;
  refusal.canceled = true;
  refusal.cancel_reason = reason;
  Send(refusal);
}

void WatchStream::Create(WatchCreateRequest create) {
  if (create.start_revision < 0) return Refuse(kCompacted.text);
  // The smallest key; the range behind it is everything.
  if (create.key.empty()) create.key.assign(1, '\0');
  const std::size_t key_bytes = create.key.size() + create.range_end.size();
  if (std::max(create.key.size(), create.range_end.size()) >
      shared_->backend.limits.max_key_bytes) {
    return Refuse(kRequestTooLarge.text);
  }
  NamedKeys keys = KeysOf(std::move(create.key), std::move(create.range_end));
  if (keys.kind == NamedKeys::Kind::kNothing) return Refuse(kEmptyRange);
  if (create.watch_id < 0) return Refuse(kNegativeId);
  if (create.watch_id != 0 && watchers_.contains(create.watch_id)) return Refuse(kDuplicateId);
  if (watchers_.size() >= shared_->options.max_watchers_a_stream) {
    return Refuse(kTooManyRequests.text);
  }
  auto place = shared_->places.Take(key_bytes);
  if (place == nullptr) return Refuse(kTooManyRequests.text);

  Watcher made;
  made.id = create.watch_id;
  if (made.id == 0) {
    while (watchers_.contains(next_id_)) ++next_id_;
    made.id = next_id_++;
  }
  made.epoch = next_epoch_++;
  made.range = std::move(keys.range);
  for (const auto filter : create.filters) {
    if (filter == FilterTypeNames::kNoPut) made.puts = false;
    if (filter == FilterTypeNames::kNoDelete) made.deletes = false;
  }
  made.previous = create.prev_kv;
  made.fragment = create.fragment;
  made.notify = create.progress_notify;
  made.place = std::move(place);
  const bool from_now = create.start_revision == 0;
  // The position is the member's own: what comes behind it needs no leader to begin with.
  made.begun = from_now;
  made.sent.next = from_now ? now_ + 1 : static_cast<std::uint64_t>(create.start_revision);
  made.next = made.sent;
  const Id id = made.id;
  Watcher& watcher = watchers_.emplace(id, std::move(made)).first->second;

  WatchResponse created;
  created.header = MakeHeader(shared_->backend, from_now ? now_ : 0);
  created.watch_id = id;
  created.created = true;
  if (!Send(created)) return;
  NoteBehind(watcher);
  if (watcher.notify) NotifyLater();
  Continue(watcher);
}

void WatchStream::Cancel(Id id) {
  if (Find(id) == nullptr) return;  // as etcd: no answer
  WatchResponse last;
  last.header = HeaderNow();
  last.watch_id = id;
  last.canceled = true;
  EndWatcher(id, last);
  CheckProgress();
}

void WatchStream::EndWatcher(Id id, WatchResponse last) {
  watchers_.erase(id);
  behind_.erase(id);
  Send(last);
}

WatchStream::Watcher* WatchStream::Find(Id id) {
  const auto found = watchers_.find(id);
  return found == watchers_.end() ? nullptr : &found->second;
}

WatchStream::Watcher* WatchStream::Find(Id id, std::uint64_t epoch) {
  Watcher* const found = Find(id);
  return found != nullptr && found->epoch == epoch ? found : nullptr;
}

// --- Pages.

void WatchStream::Continue(Watcher& watcher) {
  if (ended_ || watcher.mute() || watcher.asks || watcher.blocked || watcher.waits_for_turn) return;
  if (reply_.full()) return Block(watcher);
  Call(watcher, Ask::kWait);
}

void WatchStream::Call(Watcher& watcher, Ask why) {
  WatchPageOptions options;
  options.position = watcher.next;
  // A glance does not wait for a leader to confirm where the watch begins.
  options.resumes = watcher.begun || why == Ask::kGlance;
  options.puts = watcher.puts;
  options.deletes = watcher.deletes;
  options.previous = watcher.previous;
  options.timeout =
      why == Ask::kWait ? shared_->options.page_timeout : shared_->options.glance_timeout;
  if (why != Ask::kGlance) watcher.asks = true;
  if (why == Ask::kCatchUp) ++catching_up_;
  if (why == Ask::kGlance) ++glances_;
  // The call keeps the place: it is one of the member's for as long as it is open.
  AskPage(shared_->backend, watcher.range, options,
          [weak = weak_from_this(), place = watcher.place, id = watcher.id, epoch = watcher.epoch,
           why](Result<WatchPage> page) {
            if (const auto self = weak.lock()) self->OnPage(id, epoch, why, std::move(page));
          });
}

void WatchStream::OnPage(Id id, std::uint64_t epoch, Ask why, Result<WatchPage> page) {
  if (why == Ask::kCatchUp) --catching_up_;
  if (why == Ask::kGlance) --glances_;
  if (ended_) return;
  if (Watcher* const watcher = Find(id, epoch)) {
    if (why != Ask::kGlance) watcher->asks = false;
    if (!page.ok()) {
      OnFailure(*watcher, why, page.status());
    } else if (page->events.empty()) {
      OnNothing(*watcher, *page);
    } else if (!reply_.full()) {
      Take(*watcher, *std::move(page));
    } else if (!watcher->asks) {
      Block(*watcher);  // the page is dropped
    }
  }
  if (why == Ask::kGlance) OnGlanced(id);
  if (Watcher* const watcher = Find(id)) Continue(*watcher);
  CatchUp();
  CheckProgress();
}

void WatchStream::OnFailure(Watcher& watcher, Ask why, const Status& status) {
  if (IsPassing(status.code())) {
    if (why == Ask::kGlance) return;
    watcher.asks = true;  // soon
    rpc::EventLoop& loop = shared_->backend.loop;
    loop.At(loop.Now() + kBetweenAttempts,
            [weak = weak_from_this(), id = watcher.id, epoch = watcher.epoch] {
              const auto self = weak.lock();
              if (self == nullptr || self->ended_) return;
              Watcher* const again = self->Find(id, epoch);
              if (again == nullptr) return;
              again->asks = false;
              self->Continue(*again);
            });
    return;
  }
  if (status.code() == Code::kCancelled) return End(kStopped);
  WatchResponse last;
  last.header = HeaderNow();
  last.watch_id = watcher.id;
  last.canceled = true;
  last.cancel_reason = ToOutcome(status).message;
  if (status.code() == Code::kCompacted) {
    last.header->revision = 0;  // as etcd
    const std::uint64_t compacted = shared_->backend.status().compacted_revision;
    // A member that was just reopened may know less than the one that answered.
    last.compact_revision = static_cast<std::int64_t>(std::max(compacted, watcher.next.next + 1));
  }
  EndWatcher(watcher.id, std::move(last));
}

void WatchStream::OnNothing(Watcher& watcher, const WatchPage& page) {
  watcher.begun = true;
  // A glance may have come further than the call that waits.
  if (page.position.next <= watcher.next.next) return;
  if (!watcher.open.empty()) {
    SendEvents(watcher, std::exchange(watcher.open, {}), page.revision);
    watcher.open_bytes = 0;
  }
  watcher.turn.reset();
  MoveTo(watcher, page.position);
}

void WatchStream::Take(Watcher& watcher, WatchPage page) {
  watcher.begun = true;
  // Whatever else was asked for or waited for was so for the same events.
  watcher.epoch = next_epoch_++;
  watcher.asks = false;
  watcher.waits_for_turn = false;
  const std::uint64_t last = page.events.back().kv.mod_revision;
  const std::uint64_t revision = std::max(page.revision, last);
  const bool is_whole = page.position.next > last;
  // Of the last revision, if more of it is to come.
  std::vector<WatchEvent> rest;
  if (!is_whole) {
    const auto from =
        std::find_if(page.events.begin(), page.events.end(),
                     [last](const WatchEvent& event) { return event.kv.mod_revision == last; });
    rest.assign(std::make_move_iterator(from), std::make_move_iterator(page.events.end()));
    page.events.erase(from, page.events.end());
  }
  const bool continues = !is_whole && page.events.empty() && !watcher.open.empty() &&
                         watcher.open.front().kv.mod_revision == last;
  if (!continues) {
    std::vector<WatchEvent> whole = std::exchange(watcher.open, {});
    watcher.open_bytes = 0;
    Append(whole, std::move(page.events));
    if (!whole.empty()) SendEvents(watcher, std::move(whole), revision);
    if (is_whole) {
      watcher.turn.reset();
      return MoveTo(watcher, page.position);
    }
    if (watcher.sent.next < last) MoveTo(watcher, {.next = last, .delivered = 0});
  }
  Gather(watcher, std::move(rest), page.position, revision);
}

/// A revision that takes several pages is sent as one answer. `next`: behind `events`.
void WatchStream::Gather(Watcher& watcher, std::vector<WatchEvent> events,
                         const WatchPosition& next, std::uint64_t revision) {
  if (watcher.turn == nullptr) watcher.turn = shared_->turns.TryTake();
  if (watcher.turn == nullptr) return WaitForTurn(watcher);
  for (const WatchEvent& event : events) watcher.open_bytes += BytesOf(event);
  Append(watcher.open, std::move(events));
  watcher.next = next;
  if (watcher.open_bytes < shared_->options.max_answer_bytes) return;
  watcher.open_bytes = 0;
  SendEvents(watcher, std::exchange(watcher.open, {}), revision);
  MoveTo(watcher, next);
}

void WatchStream::SendEvents(Watcher& watcher, std::vector<WatchEvent> events,
                             std::uint64_t revision) {
  watcher.told = true;
  const ResponseHeader header = MakeHeader(shared_->backend, revision);
  const std::size_t fragment = watcher.fragment ? shared_->options.fragment_bytes : 0;
  for (const WatchResponse& answer : AnswersOf(header, watcher.id, std::move(events), fragment)) {
    if (!Send(answer)) return;
  }
}

/// What was gathered is read again: it must not stay in memory for as long as a client likes.
void WatchStream::DropOpen(Watcher& watcher) {
  watcher.turn.reset();
  if (watcher.next == watcher.sent) return;
  watcher.open.clear();
  watcher.open_bytes = 0;
  watcher.next = watcher.sent;
  watcher.epoch = next_epoch_++;
  watcher.asks = false;
}

void WatchStream::WaitForTurn(Watcher& watcher) {
  watcher.waits_for_turn = true;
  shared_->turns.Wait([weak = weak_from_this(), place = watcher.place, id = watcher.id,
                       epoch = watcher.epoch](GatherTurns::Turn turn) {
    const auto self = weak.lock();
    if (self == nullptr || self->ended_) return;
    Watcher* const waiting = self->Find(id, epoch);
    if (waiting == nullptr) return;
    waiting->waits_for_turn = false;
    if (!waiting->blocked) waiting->turn = std::move(turn);
    self->Continue(*waiting);
  });
}

void WatchStream::Block(Watcher& watcher) {
  if (std::exchange(watcher.blocked, true)) return;
  DropOpen(watcher);
  blocked_.push_back(watcher.id);
}

void WatchStream::CatchUp() {
  while (!ended_ && !reply_.full() && !blocked_.empty() && catching_up_ < kMaxCatchingUp) {
    const Id id = blocked_.front();
    blocked_.pop_front();
    Watcher* const watcher = Find(id);
    if (watcher == nullptr || !std::exchange(watcher->blocked, false)) continue;
    if (!watcher->asks) Call(*watcher, Ask::kCatchUp);
  }
}

void WatchStream::OnDrained() {
  if (ended_) return;
  const auto self = shared_from_this();
  CatchUp();
  Work();
  CheckProgress();
}

}  // namespace raftkv::etcd
