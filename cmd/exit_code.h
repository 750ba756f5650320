// What does the program's exit code say, and how does an error look?
#pragma once

#include <string_view>

#include <raftkv/status.h>

namespace raftkv::cmd {

/// Part of the public surface: a code keeps its meaning for ever.
enum class Exit : int {
  kOk = 0,
  kError = 1,
  kNoAnswer = 2,  ///< no endpoint answered in time
  kBadInput = 3,
  kServerRefused = 4,  ///< or failed; or a lock was lost
  kUnhealthy = 5,
  kFileError = 6,
  kCompareFailed = 7,
  kKeyMissing = 8,
  kUnknownOutcome = 9,  ///< of a write
  kBadArguments = 128,
};

/// The one table from what the library says to what the shell sees.
Exit ExitOf(Code code);

/// Prints one line on stderr, "raftkv: MESSAGE", and returns `code`.
Exit Fail(Exit code, std::string_view message);
Exit Fail(const Status& status);

}  // namespace raftkv::cmd
