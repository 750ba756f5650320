// How is a thread made?
//
// It takes no signal that is meant for the host: it inherits a full mask. Running out of threads is
// a failure like any other.
#pragma once

#include <csignal>
#include <functional>
#include <string>
#include <thread>  // check:allow include: the one place that makes them

#include <raftkv/status.h>

namespace raftkv {

/// While it exists no signal is delivered to this thread; threads created in the meantime never get
/// one. There a signal for the thread itself, such as SIGXFSZ, stays pending: the write fails with
/// EFBIG instead of ending the process.
class SignalsBlocked {
 public:
  SignalsBlocked();
  ~SignalsBlocked();
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_{};
};

/// `name`: at most 15 bytes, as the system shows it. Unavailable: the system has no thread left.
Result<std::thread> StartThread(const std::string& name, std::function<void()> run);

/// The same for constructors, which cannot return a Status: throws std::system_error, which
/// OpenOrUnavailable (host_code.h) turns into one.
std::thread ThreadOrThrow(const std::string& name, std::function<void()> run);

}  // namespace raftkv
