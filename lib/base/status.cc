#include <cstdio>
#include <cstdlib>

#include <raftkv/status.h>

namespace raftkv {

std::string_view CodeName(Code code) {
  switch (code) {
    case Code::kOk: return "Ok";
    case Code::kNotFound: return "NotFound";
    case Code::kCompareFailed: return "CompareFailed";
    case Code::kNotLeader: return "NotLeader";
    case Code::kUnknownOutcome: return "UnknownOutcome";
    case Code::kUnavailable: return "Unavailable";
    case Code::kDeadlineExceeded: return "DeadlineExceeded";
    case Code::kNoSpace: return "NoSpace";
    case Code::kCompacted: return "Compacted";
    case Code::kSessionExpired: return "SessionExpired";
    case Code::kCorruption: return "Corruption";
    case Code::kIOError: return "IOError";
    case Code::kInvalidArgument: return "InvalidArgument";
    case Code::kVersionMismatch: return "VersionMismatch";
    case Code::kPermissionDenied: return "PermissionDenied";
    case Code::kCancelled: return "Cancelled";
  }
  return "Unknown";
}

std::string Status::ToString() const {
  std::string text(CodeName(code_));
  if (!message_.empty()) text += ": " + message_;
  return text;
}

void DieOnBadResultAccess(const Status& status) {
  std::fprintf(stderr, "raftkv: value() was called on a failed Result: %s\n",
               status.ToString().c_str());
  std::abort();
}

}  // namespace raftkv
