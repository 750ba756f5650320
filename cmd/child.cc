#include "cmd/child.h"

#include <spawn.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <iostream>

#include <fmt/format.h>

extern char** environ;

namespace raftkv::cmd {
namespace {

/// What Linux takes for one variable, less its name.
constexpr std::size_t kMaxVariableBytes = (128 << 10) - 64;

std::vector<std::string> EnvironmentWith(std::string_view prefix, const Variables& added) {
  std::vector<std::string> variables;
  for (char** each = environ; *each != nullptr; ++each) {
    if (!std::string_view(*each).starts_with(prefix)) variables.emplace_back(*each);
  }
  for (const auto& [name, value] : added) {
    if (value.size() <= kMaxVariableBytes) variables.push_back(name + "=" + value);
  }
  return variables;
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

Result<ChildProcess> ChildProcess::Start(std::vector<std::string> command, std::string_view prefix,
                                         const Variables& variables) {
  std::cout.flush();
  std::vector<std::string> environment = EnvironmentWith(prefix, variables);
  sigset_t usual;
  sigemptyset(&usual);
  sigset_t mask;
  pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  for (const int each : {SIGINT, SIGTERM, SIGPIPE, SIGCHLD}) {
    sigaddset(&usual, each);
    sigdelset(&mask, each);
  }
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setsigdefault(&attributes, &usual);
  posix_spawnattr_setsigmask(&attributes, &mask);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  pid_t process = 0;
  const int failed = posix_spawnp(&process, command.front().c_str(), nullptr, &attributes,
                                  Pointers(command).data(), Pointers(environment).data());
  posix_spawnattr_destroy(&attributes);
  if (failed != 0) {
    return Status(Code::kIOError,
                  fmt::format("cannot run {}: {}", command.front(), std::strerror(failed)));
  }
  return ChildProcess(command.front(), process);
}

void ChildProcess::Wait() {
  while (!ended_ && waitpid(process_, &status_, 0) < 0 && errno == EINTR) {
  }
  ended_ = true;
}

bool ChildProcess::HasEnded() {
  if (!ended_) ended_ = waitpid(process_, &status_, WNOHANG) == process_;
  return ended_;
}

void ChildProcess::Signal(int number) {
  if (!ended_) kill(process_, number);
}

int ChildProcess::exit_code() const {
  return WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_);
}

std::string ChildProcess::HowItEnded() const {
  return WIFEXITED(status_)
             ? fmt::format("{} has ended with status {}", name_, WEXITSTATUS(status_))
             : fmt::format("{} was ended by signal {}", name_, WTERMSIG(status_));
}

}  // namespace raftkv::cmd
