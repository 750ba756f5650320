#include "lib/base/host_code.h"

#include <unistd.h>  // check:allow include: whether this is a forked child

#include <atomic>
#include <csignal>
#include <cstdio>
#include <exception>
#include <system_error>
#include <thread>  // check:allow include: what is destroyed inside its callback

namespace raftkv {
namespace {

thread_local int scopes = 0;

void Say(const char* what, const ThrownSink& thrown, const std::string& error) {
  const std::string line = std::string(what) + " threw, which is ignored: " + error;
  if (!thrown) {
    std::fprintf(stderr, "raftkv error: %s\n", line.c_str());
    return;
  }
  try {
    thrown(line);
  } catch (...) {  // nobody is left to be told
  }
}

}  // namespace

HostScope::HostScope() { ++scopes; }
HostScope::~HostScope() { --scopes; }

bool InCallback() { return scopes > 0; }

Status MayBlock(const char* call) {
  if (!InCallback()) return Status::Ok();
  return {Code::kInvalidArgument, std::string(call) + "() blocks: not from a callback"};
}

bool RunHostCode(const char* what, const ThrownSink& thrown, const std::function<void()>& code) {
  const HostScope scope;
  try {
    code();
    return true;
  } catch (const std::exception& error) {
    Say(what, thrown, error.what());
  } catch (...) {
    Say(what, thrown, "no std::exception");
  }
  return false;
}

namespace internal {

int ProcessId() { return getpid(); }

Status OfForkedChild(const char* call) {
  return {Code::kInvalidArgument, std::string(call) + "() in a forked child: open it anew there"};
}

bool Detach(const std::function<void()>& work) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  bool made = true;
  try {
    // check:allow detach: its owner is gone, and the process may end meanwhile
    std::thread(work).detach();
  } catch (const std::system_error&) {
    made = false;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return made;
}

void Keep(void* object) {
  struct Kept {
    void* object;
    Kept* next;
  };
  // No lock: in a forked child one may be held by a thread that is not there.
  static std::atomic<Kept*> first{nullptr};
  Kept* const kept = new Kept{.object = object, .next = first.load()};
  while (!first.compare_exchange_weak(kept->next, kept)) {
  }
}

}  // namespace internal
}  // namespace raftkv
