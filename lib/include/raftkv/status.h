// How does an operation report its outcome?
//
// Expected failures are values: a Status, or a Result<T> that holds either a T or a Status that is
// not ok. Nothing in the public interface throws. Both types are plain values and may be copied
// and moved between threads.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace raftkv {

/// The outcome of a call. The numbers are part of the wire format (lib/kv/command.capnp): a code
/// keeps its number forever.
enum class Code : unsigned char {
  kOk = 0,
  kNotFound = 1,
  kCompareFailed = 2,
  /// This member is not the leader and could not forward the request. It was not applied.
  kNotLeader = 3,
  /// The write may or may not have been applied; only a retry under the same session can tell.
  kUnknownOutcome = 4,
  /// Not now (no leader, a queue is full, shutting down). It was not applied; try again.
  kUnavailable = 5,
  /// The deadline passed before the request was applied anywhere.
  kDeadlineExceeded = 6,
  kNoSpace = 7,
  kCompacted = 8,
  /// The session has expired. The request was not applied by this attempt.
  kSessionExpired = 9,
  kCorruption = 10,
  kIOError = 11,
  kInvalidArgument = 12,
  kVersionMismatch = 13,
  kPermissionDenied = 14,
  kCancelled = 15,
};

/// The name of `code` as the documentation spells it, for example "NotFound".
std::string_view CodeName(Code code);

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  static Status Ok() { return {}; }

  [[nodiscard]] bool ok() const { return code_ == Code::kOk; }
  [[nodiscard]] Code code() const { return code_; }
  /// One line without the code: what was wrong and, if possible, how to fix it.
  [[nodiscard]] const std::string& message() const { return message_; }
  /// "NotFound: no such key", or "Ok".
  [[nodiscard]] std::string ToString() const;

 private:
  Code code_ = Code::kOk;
  std::string message_;
};

/// Aborts with a line on stderr: value() was called on a Result without a value.
[[noreturn]] void DieOnBadResultAccess(const Status& status);

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}          // NOLINT: a value is a Result
  Result(Status status) : status_(std::move(status)) {}  // NOLINT: and so is a failure

  [[nodiscard]] bool ok() const { return value_.has_value(); }
  [[nodiscard]] const Status& status() const { return status_; }
  [[nodiscard]] Code code() const { return status_.code(); }

  T& value() & { return Checked(); }
  const T& value() const& { return const_cast<Result*>(this)->Checked(); }
  T&& value() && { return std::move(Checked()); }
  T& operator*() & { return Checked(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &Checked(); }
  const T* operator->() const { return &value(); }

 private:
  T& Checked() {
    if (!value_.has_value()) DieOnBadResultAccess(status_);
    return *value_;
  }

  Status status_;
  std::optional<T> value_;
};

}  // namespace raftkv
