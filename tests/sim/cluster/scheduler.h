// What happens next, and when? One queue of small events on virtual time.
//
// Events at the same instant run in the order in which they were made, so that a seed has exactly
// one run.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "lib/base/check.h"
#include "lib/base/once_function.h"

namespace raftkv::sim {

/// True time since the start of the run, in ns; hosts have clocks of their own (clock.h).
using Nanos = std::int64_t;
inline constexpr Nanos kMicrosecond = 1'000;
inline constexpr Nanos kMillisecond = 1'000'000;
inline constexpr Nanos kSecond = 1'000'000'000;

enum class EventKind : std::uint8_t {
  kTick,      ///< a host's deadline
  kMessage,   ///< slot: a message in flight
  kHostWork,  ///< slot: work of a host, dropped if its process is another one by then
  kWork,      ///< slot: work of the world
};

struct Event {
  Nanos at = 0;
  std::uint64_t order = 0;
  std::uint32_t slot = 0;
  std::uint32_t epoch = 0;  ///< of the host's process
  std::uint16_t host = 0;
  EventKind kind = EventKind::kTick;
};

/// Numbered places that are used again, so that events stay small.
template <class T>
class Slots {
 public:
  std::uint32_t Put(T value) {
    if (free_.empty()) {
      items_.push_back(std::move(value));
      return static_cast<std::uint32_t>(items_.size() - 1);
    }
    const std::uint32_t slot = free_.back();
    free_.pop_back();
    items_[slot] = std::move(value);
    return slot;
  }
  T Take(std::uint32_t slot) {
    RAFTKV_CHECK(slot < items_.size());
    free_.push_back(slot);
    return std::exchange(items_[slot], T());
  }

 private:
  std::vector<T> items_;
  std::vector<std::uint32_t> free_;
};

class Scheduler {
 public:
  using Work = OnceFunction<void()>;

  [[nodiscard]] Nanos now() const { return now_; }
  [[nodiscard]] std::uint64_t events() const { return events_run_; }

  void Add(Nanos at, EventKind kind, std::uint16_t host, std::uint32_t epoch, std::uint32_t slot) {
    heap_.push_back({std::max(at, now_), order_++, slot, epoch, host, kind});
    std::push_heap(heap_.begin(), heap_.end(), Later);
  }
  void At(Nanos at, Work work) { Add(at, EventKind::kWork, 0, 0, works_.Put(std::move(work))); }
  void AtHost(Nanos at, std::uint16_t host, std::uint32_t epoch, Work work) {
    Add(at, EventKind::kHostWork, host, epoch, works_.Put(std::move(work)));
  }
  Work TakeWork(std::uint32_t slot) { return works_.Take(slot); }

  /// Drops everything.
  void Clear() {
    heap_.clear();
    works_ = {};
  }

  /// The next event, if it is due by `until`; time moves on to it, or to `until`.
  bool Next(Nanos until, Event* event) {
    if (heap_.empty() || heap_.front().at > until) {
      now_ = std::max(now_, until);
      return false;
    }
    std::pop_heap(heap_.begin(), heap_.end(), Later);
    *event = heap_.back();
    heap_.pop_back();
    now_ = event->at;
    ++events_run_;
    return true;
  }

 private:
  static bool Later(const Event& a, const Event& b) {
    return a.at != b.at ? a.at > b.at : a.order > b.order;
  }

  Nanos now_ = 0;
  std::uint64_t order_ = 0;
  std::uint64_t events_run_ = 0;
  std::vector<Event> heap_;
  Slots<Work> works_;
};

}  // namespace raftkv::sim
