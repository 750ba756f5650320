#include "cmd/exit_code.h"

#include <algorithm>
#include <iostream>
#include <string>

namespace raftkv::cmd {

Exit ExitOf(Code code) {
  switch (code) {
    case Code::kOk: return Exit::kOk;
    case Code::kNotFound: return Exit::kKeyMissing;
    case Code::kCompareFailed: return Exit::kCompareFailed;
    case Code::kUnknownOutcome: return Exit::kUnknownOutcome;
    case Code::kInvalidArgument: return Exit::kBadInput;
    // All three: it was not carried out, and the time for trying again is over.
    case Code::kNotLeader:
    case Code::kUnavailable:
    case Code::kDeadlineExceeded: return Exit::kNoAnswer;
    case Code::kNoSpace:
    case Code::kCompacted:
    case Code::kSessionExpired:
    case Code::kCorruption:
    case Code::kIOError:
    case Code::kVersionMismatch:
    case Code::kPermissionDenied: return Exit::kServerRefused;
    case Code::kCancelled: return Exit::kError;
  }
  return Exit::kError;
}

Exit Fail(Exit code, std::string_view message) {
  std::string line = "raftkv: " + std::string(message);
  while (line.ends_with('\n')) line.pop_back();
  // One line, and nothing that a terminal would take for a command.
  const auto is_control = [](unsigned char c) { return c < ' ' || c == 0x7f; };
  std::replace_if(line.begin(), line.end(), is_control, ' ');
  std::cout.flush();  // what was printed before the error stands before it
  std::cerr << line << std::endl;
  return code;
}

Exit Fail(const Status& status) {
  const std::string& message = status.message();
  return Fail(ExitOf(status.code()), message.empty() ? status.ToString() : message);
}

}  // namespace raftkv::cmd
