// How does a verb run the command behind "--"?
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <raftkv/status.h>

namespace raftkv::cmd {

/// Names and values.
using Variables = std::vector<std::pair<std::string, std::string>>;

/// A command that was started, and has to be waited for. Its signals are as usual, whatever the
/// verb does with its own.
class ChildProcess {
 public:
  /// With the environment of this process, but for variables whose names start with `prefix`, and
  /// with `variables`. What no variable can hold (a value beyond 128 KiB, anything behind a zero
  /// byte) is left out.
  static Result<ChildProcess> Start(std::vector<std::string> command, std::string_view prefix,
                                    const Variables& variables);

  void Wait();
  /// False: it still runs.
  bool HasEnded();
  /// Nothing if it has ended.
  void Signal(int number);

  // Once it has ended.
  /// 128 and the signal that ended it, as shells have it.
  [[nodiscard]] int exit_code() const;
  /// "sh has ended with status 3".
  [[nodiscard]] std::string HowItEnded() const;

 private:
  ChildProcess(std::string name, pid_t process) : name_(std::move(name)), process_(process) {}

  std::string name_;
  pid_t process_;
  bool ended_ = false;
  int status_ = 0;
};

}  // namespace raftkv::cmd
