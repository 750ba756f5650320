// How is the host's code called, and what may it do meanwhile? (the rule is in <raftkv/kv.h>)
//
// Every callback, log sink and progress callback runs inside a HostScope, and so does everything
// that runs on a thread of ours. There no call of ours may block: it would wait for the very thread
// that it runs on. What the host throws ends here.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include <raftkv/status.h>

namespace raftkv {

/// Marks this thread as one that must not wait, while it lives.
class HostScope {
 public:
  HostScope();
  ~HostScope();
  HostScope(const HostScope&) = delete;
  HostScope& operator=(const HostScope&) = delete;
};

/// This thread is ours, or runs a callback.
[[nodiscard]] bool InCallback();

/// Ok, or InvalidArgument inside a callback. `call` is its name.
Status MayBlock(const char* call);

/// What a callback threw is said there; empty: on stderr.
using ThrownSink = std::function<void(const std::string& line)>;

/// Runs `code` in a HostScope; says what it throws, as by `what`. False: it threw.
bool RunHostCode(const char* what, const ThrownSink& thrown, const std::function<void()>& code);

/// `callback`, to be run once at most, by RunHostCode; what it holds goes there as well. An empty
/// one stands for a host that does not care.
template <class... Args>
std::function<void(Args...)> Contained(std::function<void(Args...)> callback, ThrownSink thrown) {
  return [callback = std::move(callback), thrown = std::move(thrown)](Args... args) mutable {
    RunHostCode("a callback", thrown, [&] {
      const auto run = std::exchange(callback, nullptr);
      if (run) run(std::move(args)...);
    });
  };
}

namespace internal {
/// Of this process.
int ProcessId();
/// What `call` answers in a forked child.
Status OfForkedChild(const char* call);
/// Runs `work` on a thread that nobody joins and that takes no signal; false: there is none.
bool Detach(const std::function<void()>& work);
/// Keeps what is never deleted within reach, so that a leak checker does not report it.
void Keep(void* object);
}  // namespace internal

/// Holds an object that has threads, and lets go of it wherever its owner does: inside a callback
/// on a thread of its own, since those of the object may have to be waited for; in a forked child,
/// which has none of them, not at all.
template <class T>
class ThreadedOwner {
 public:
  explicit ThreadedOwner(std::unique_ptr<T> object) : object_(std::move(object)) {}
  ThreadedOwner(const ThreadedOwner&) = delete;
  ThreadedOwner& operator=(const ThreadedOwner&) = delete;
  ~ThreadedOwner() {
    if (!Forked() && !InCallback()) return;
    T* const object = object_.release();
    // Where there is no thread to be had the memory is lost rather than the process.
    if (!Forked() && internal::Detach([object] { delete object; })) return;
    internal::Keep(object);
  }

  T* operator->() const { return object_.get(); }
  /// As raftkv::MayBlock; in a forked child nothing would ever answer.
  [[nodiscard]] Status MayBlock(const char* call) const {
    return Forked() ? internal::OfForkedChild(call) : raftkv::MayBlock(call);
  }

 private:
  [[nodiscard]] bool Forked() const { return internal::ProcessId() != process_; }

  std::unique_ptr<T> object_;
  const int process_ = internal::ProcessId();
};

/// `open()`, which answers a Result; Unavailable where the system has no thread or memory to give.
template <class Open>
auto OpenOrUnavailable(const Open& open) -> decltype(open()) {
  try {
    return open();
  } catch (const std::exception& error) {
    return Status(Code::kUnavailable,
                  std::string("the system has no thread or memory to give: ") + error.what());
  }
}

}  // namespace raftkv
