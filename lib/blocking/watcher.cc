// How does a watch go on, page after page, for a caller that waits or is called?
//
// One page is asked for at a time: the next one once the caller has taken all that was there.
#include <algorithm>
#include <chrono>
#include <deque>
#include <string>
#include <utility>

#include <raftkv/watch.h>

#include "lib/base/host_code.h"
#include "lib/base/mutex.h"
#include "lib/base/time.h"
#include "lib/blocking/watch_pages.h"

namespace raftkv {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::milliseconds kPageTimeout{5000};
constexpr std::chrono::milliseconds kLeastProgress{10};

/// The watch goes on with the same position.
bool IsPassing(Code code) {
  return code == Code::kDeadlineExceeded || code == Code::kUnavailable || code == Code::kNotLeader;
}

}  // namespace

struct Watcher::State : std::enable_shared_from_this<State> {
  State(KV& asked_kv, KeyRange asked_range, const WatchOptions& options, WatchCallback on_response)
      : kv(asked_kv),
        range(std::move(asked_range)),
        callback(std::move(on_response)),
        pages(options.revision, options.progress > std::chrono::milliseconds(0)) {
    ask.puts = options.puts;
    ask.deletes = options.deletes;
    ask.previous = options.previous;
    ask.timeout = kPageTimeout;
    if (options.progress > std::chrono::milliseconds(0)) {
      ask.timeout = std::clamp(options.progress, kLeastProgress, kPageTimeout);
    }
  }

  /// Nothing is asked for at present, and nothing is left of the last page.
  void Ask() RAFTKV_EXCLUDES(mutex) {
    WatchPageOptions options;
    {
      const MutexLock lock(mutex);
      if (cancelled || asks) return;
      asks = true;
      options = ask;
      options.position = pages.position();
      options.resumes = resumes;
    }
    kv.WatchPageAsync(range, options, [self = shared_from_this()](Result<WatchPage> page) {
      self->OnPage(std::move(page));
    });
  }

  void OnPage(Result<WatchPage> page) RAFTKV_EXCLUDES(mutex) {
    bool goes_on = false;
    {
      const MutexLock lock(mutex);
      asks = false;
      if (cancelled) return;
      Note(std::move(page));
      goes_on = status.ok();
      changed.NotifyAll();
    }
    if (callback) {
      Call();
      if (goes_on) Ask();
      return;
    }
    // An empty page needs no caller.
    if (goes_on && NeedsPage()) Ask();
  }

  void Note(Result<WatchPage> page) RAFTKV_REQUIRES(mutex) {
    if (page.ok()) {
      begun = true;
      resumes = true;
      last_failure = Status::Ok();
      pages.Take(*std::move(page), responses);
    } else if (IsPassing(page.code())) {
      last_failure = page.status();
    } else {
      status = page.status();
    }
  }

  [[nodiscard]] bool NeedsPage() RAFTKV_EXCLUDES(mutex) {
    const MutexLock lock(mutex);
    return responses.empty() && status.ok() && !asks;
  }

  /// All responses that are there, and then the end, if it is that.
  void Call() RAFTKV_EXCLUDES(mutex) {
    while (true) {
      Result<WatchResponse> next = WatchResponse();
      {
        const MutexLock lock(mutex);
        if (cancelled || (responses.empty() && status.ok())) return;
        if (responses.empty()) {
          next = status;
          cancelled = true;
        } else {
          next = std::move(responses.front());
          responses.pop_front();
        }
        runs = true;
      }
      RunHostCode("the callback of a watch", nullptr, [&] { callback(std::move(next)); });
      const MutexLock lock(mutex);
      runs = false;
      changed.NotifyAll();
    }
  }

  KV& kv;
  const KeyRange range;
  const WatchCallback callback;
  WatchPageOptions ask;  ///< but for the position; constant after construction

  Mutex mutex;
  Condition changed;
  WatchPages pages RAFTKV_GUARDED_BY(mutex);
  std::deque<WatchResponse> responses RAFTKV_GUARDED_BY(mutex);
  bool asks RAFTKV_GUARDED_BY(mutex) = false;
  bool begun RAFTKV_GUARDED_BY(mutex) = false;
  bool resumes RAFTKV_GUARDED_BY(mutex) = false;
  bool runs RAFTKV_GUARDED_BY(mutex) = false;  ///< the callback
  bool cancelled RAFTKV_GUARDED_BY(mutex) = false;
  Status status RAFTKV_GUARDED_BY(mutex);  ///< not ok: the end
  Status last_failure RAFTKV_GUARDED_BY(mutex);
};

Watcher::Watcher(std::shared_ptr<State> state) : state_(std::move(state)) {}
Watcher::Watcher(Watcher&& other) noexcept = default;
Watcher::~Watcher() { Cancel(); }

Watcher& Watcher::operator=(Watcher&& other) noexcept {
  if (this == &other) return *this;
  Cancel();
  state_ = std::move(other.state_);
  return *this;
}

void Watcher::Cancel() {
  if (state_ == nullptr) return;
  MutexLock lock(state_->mutex);
  state_->cancelled = true;
  while (state_->runs && !InCallback()) state_->changed.Wait(lock);
}

bool Watcher::begun() const {
  const MutexLock lock(state_->mutex);
  return state_->begun;
}

Result<WatchResponse> Watcher::Next(std::chrono::milliseconds timeout) {
  if (Status may = MayBlock("the wait for a watch"); !may.ok()) return may;
  State& state = *state_;
  if (state.callback) {
    return Status(Code::kInvalidArgument, "the events of this watch go to its callback");
  }
  const auto deadline = steady_clock::now() + BoundedTimeout(timeout);
  while (true) {
    if (state.NeedsPage()) state.Ask();
    MutexLock lock(state.mutex);
    while (state.responses.empty() && state.status.ok() && state.asks) {
      if (!state.changed.WaitUntil(lock, deadline)) break;
    }
    if (!state.responses.empty()) {
      WatchResponse response = std::move(state.responses.front());
      state.responses.pop_front();
      return response;
    }
    if (!state.status.ok()) return state.status;
    if (steady_clock::now() < deadline) continue;
    std::string message = "there were no events within the timeout";
    if (!state.last_failure.ok()) message += "; " + state.last_failure.message();
    return Status(Code::kDeadlineExceeded, std::move(message));
  }
}

Watcher KV::Watch(KeyRange range, const WatchOptions& options, WatchCallback on_response) {
  const auto state =
      std::make_shared<Watcher::State>(*this, std::move(range), options, std::move(on_response));
  state->Ask();
  return Watcher(state);
}

}  // namespace raftkv
