#include "lib/base/host_code.h"

#include <unistd.h>  // check:allow include: whether this is a forked child

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "lib/base/mutex.h"  // check:allow include: of what is closed when the process ends
#include "lib/base/thread.h"

namespace raftkv {
namespace {

thread_local int scopes = 0;
/// The group that this thread belongs to.
thread_local OwnThreads* own_threads = nullptr;
/// Whether it closes an object that its owner released.
thread_local bool is_closer = false;

void Say(const char* what, const ThrownSink& thrown, const std::string& error) {
  const std::string line = std::string(what) + " threw, which is ignored: " + error;
  if (!thrown) {
    std::fprintf(stderr, "raftkv error: %s\n", line.c_str());
    return;
  }
  try {
    thrown(line);
  } catch (...) {  // there is no one left to tell
  }
}

// --- Objects closed by a thread that is never joined.

/// How many there are, and their process, in one word: a forked child has none, and there is no
/// lock that a missing thread could hold.
class Closers {
 public:
  void Add() { Change(1); }
  void Remove() { Change(-1); }
  [[nodiscard]] std::uint64_t count() const { return CountOf(word_.load()); }

 private:
  static std::uint64_t Process() { return static_cast<std::uint64_t>(getpid()) << 32; }
  static std::uint64_t CountOf(std::uint64_t word) {
    return (word >> 32) << 32 == Process() ? word & 0xffff'ffff : 0;
  }
  void Change(int by) {
    std::uint64_t before = word_.load();
    while (!word_.compare_exchange_weak(
        before, Process() | (CountOf(before) + static_cast<std::uint64_t>(by)))) {
    }
  }

  std::atomic<std::uint64_t> word_{0};
};
Closers closers;

/// All except those that wait for the callback that ends the process: they never end.
bool ClosersHaveEnded() {
  const int in_vain = own_threads == nullptr ? 0 : own_threads->closers.load();
  return closers.count() <= static_cast<std::uint64_t>(in_vain);
}

/// At the end of the process, before the libraries that a closer needs are taken down.
void WaitForClosers() {
  using std::chrono::steady_clock;
  static std::atomic<bool> gave_up{false};
  if (gave_up) return;
  const auto patience = InCallback() ? std::chrono::seconds(5) : std::chrono::seconds(10);
  // check:allow now: the process ends, and there is no port left to ask
  const auto deadline = steady_clock::now() + patience;
  // check:allow now: as above
  while (!ClosersHaveEnded() && steady_clock::now() < deadline) {
    // check:allow sleep: there is no loop left that could have a timer
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  gave_up = !ClosersHaveEnded();
}

// --- Objects closed when the process ends.

struct AtExit {
  Mutex mutex;
  std::atomic<int> process{0};  ///< of the open ones
  std::vector<std::pair<std::weak_ptr<void>, std::function<void()>>> open RAFTKV_GUARDED_BY(mutex);
};
AtExit& TheAtExit() {
  static AtExit& at_exit = *new AtExit;
  return at_exit;
}

void CloseAllAtExit(int status, void* /*unused*/) {
  AtExit& at_exit = TheAtExit();
  if (at_exit.process != getpid()) {
    // A forked child. RocksDB's destructors would wait for threads that do not exist here.
    std::fflush(nullptr);
    _exit(status);
  }
  std::vector<std::pair<std::weak_ptr<void>, std::function<void()>>> open;
  {
    const MutexLock lock(at_exit.mutex);
    open.swap(at_exit.open);
  }
  for (auto& [object, close] : open) {
    // Its threads may have to wait for the callback that ends the process.
    if (!InCallback()) {
      close();
    } else {
      static_cast<void>(internal::CloseElsewhere(std::move(close)));
    }
  }
  WaitForClosers();
}

}  // namespace

HostScope::HostScope(OwnThreads* own) {
  ++scopes;
  if (own != nullptr) own_threads = own;
}
HostScope::~HostScope() { --scopes; }

WaitsFor::WaitsFor(OwnThreads& threads) : threads_(threads) {
  if (is_closer) ++threads_.closers;
}
WaitsFor::~WaitsFor() {
  if (is_closer) --threads_.closers;
}

bool InCallback() { return scopes > 0; }

Status MayBlock(const char* call) {
  if (!InCallback()) return Status::Ok();
  return {Code::kInvalidArgument,
          std::string(call) + "() blocks and cannot be called from a callback"};
}

Status OfForkedChild(const char* call) {
  return {Code::kInvalidArgument,
          std::string(call) +
              "() in a process that was forked after raftkv was opened: none of the threads exist "
              "there; exec a new program instead"};
}

bool RunHostCode(const char* what, const ThrownSink& thrown, const std::function<void()>& code) {
  const HostScope scope;
  try {
    code();
    return true;
  } catch (const std::exception& error) {
    Say(what, thrown, error.what());
  } catch (...) {
    Say(what, thrown, "not a std::exception");
  }
  return false;
}

namespace internal {

int ProcessId() { return getpid(); }

bool CloseElsewhere(std::function<void()> close) {
  static const int waits = std::atexit(WaitForClosers);
  static_cast<void>(waits);
  closers.Add();
  auto thread = StartThread("raftkv-closer", [close = std::move(close)] {
    is_closer = true;
    close();
    closers.Remove();
  });
  if (!thread.ok()) {
    closers.Remove();
    return false;
  }
  // check:allow detach: its owner is gone, and it may have to wait for the callback that it left
  thread->detach();
  return true;
}

void CloseAtExit(const std::weak_ptr<void>& object, std::function<void()> close) {
  AtExit& at_exit = TheAtExit();
  const MutexLock lock(at_exit.mutex);
  if (at_exit.process != getpid()) {
    at_exit.process = getpid();
    at_exit.open.clear();
    // Now that everything the object needs exists: handlers registered later run earlier.
    static_cast<void>(on_exit(CloseAllAtExit, nullptr));
  }
  std::erase_if(at_exit.open, [](const auto& entry) { return entry.first.expired(); });
  at_exit.open.emplace_back(object, std::move(close));
}

void Keep(void* object) {
  struct Kept {
    void* object;
    Kept* next;
  };
  static std::atomic<Kept*> first{nullptr};
  Kept* const kept = new Kept{.object = object, .next = first.load()};
  while (!first.compare_exchange_weak(kept->next, kept)) {
  }
}

}  // namespace internal
}  // namespace raftkv
