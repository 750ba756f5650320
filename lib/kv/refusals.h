// Which refusals of one code must a caller be able to tell from the others of that code?
//
// A Status has a code and a message; what is told apart by its message has the words for that here,
// used both where it is made and where it is recognized.
#pragma once

#include <string>
#include <string_view>

#include <raftkv/status.h>

namespace raftkv::kv {

inline constexpr std::string_view kIsAFutureRevision = " is a future revision";
inline constexpr std::string_view kIsTooLarge = " is too large: ";
inline constexpr std::string_view kAnswerWouldBeLarger =
    "its answer would be larger than the limit";
inline constexpr std::string_view kPairsToBeSorted = "the pairs to be sorted";
inline constexpr std::string_view kDuplicateKey = "duplicate key in the transaction: ";
inline constexpr std::string_view kLeaseIsThere = " already: choose another number, or none";
inline constexpr std::string_view kCallsWait = " bytes of calls wait to be sent; try again later";

inline bool Says(const Status& status, std::string_view words) {
  return status.code() == Code::kInvalidArgument &&
         status.message().find(words) != std::string::npos;
}

/// The store has not come to the revision that was asked for.
inline bool IsFutureRevision(const Status& status) { return Says(status, kIsAFutureRevision); }
/// A key, a value or the whole request is above its limit.
inline bool IsTooLarge(const Status& status) { return Says(status, kIsTooLarge); }
/// What was asked for does not fit into an answer.
inline bool IsAnswerTooLarge(const Status& status) {
  return Says(status, kAnswerWouldBeLarger) || Says(status, kPairsToBeSorted);
}
/// A branch of a transaction writes a key twice.
inline bool IsDuplicateKey(const Status& status) { return Says(status, kDuplicateKey); }
/// A lease was to be granted whose number is taken.
inline bool IsLeaseTaken(const Status& status) { return Says(status, kLeaseIsThere); }
/// The caller has too many calls open.
inline bool IsTooManyCalls(const Status& status) {
  return status.code() == Code::kUnavailable &&
         status.message().find(kCallsWait) != std::string::npos;
}

}  // namespace raftkv::kv
