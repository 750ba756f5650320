#include "lib/base/thread.h"

#include <pthread.h>  // check:allow include: masks and names of threads

#include <exception>
#include <utility>

#include "lib/base/check.h"

namespace raftkv {

SignalsBlocked::SignalsBlocked() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before_);
}

SignalsBlocked::~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

std::thread ThreadOrThrow(const std::string& name, std::function<void()> run) {
  RAFTKV_CHECK(name.size() <= 15, name);
  const SignalsBlocked blocked;
  return std::thread([name, run = std::move(run)]() mutable {
    pthread_setname_np(pthread_self(), name.c_str());
    // What it holds is released here, and not with the last reference of the std::thread.
    const std::function<void()> held = std::move(run);
    held();
  });
}

Result<std::thread> StartThread(const std::string& name, std::function<void()> run) {
  try {
    return ThreadOrThrow(name, std::move(run));
  } catch (const std::exception& error) {
    return Status(Code::kUnavailable, "cannot start the thread " + name + ": " + error.what());
  }
}

}  // namespace raftkv
