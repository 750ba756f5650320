// What must always be true, and what happens if it is not?
//
// RAFTKV_CHECK is on in every build: a broken invariant ends the process with one line on stderr
// before it can reach the disk or another member. Expected failures are not checks but a Status.
#pragma once

#include <sstream>
#include <string>

namespace raftkv {

[[noreturn]] void CheckFailed(const char* file, int line, const char* condition,
                              const std::string& values);

namespace internal {
template <class... Values>
std::string DescribeValues(const Values&... values) {
  std::ostringstream out;
  ((out << ' ' << values), ...);
  return out.str();
}
}  // namespace internal
}  // namespace raftkv

/// RAFTKV_CHECK(a <= b, a, b): values after the condition are printed when it does not hold.
#define RAFTKV_CHECK(condition, ...)                                          \
  do {                                                                        \
    if (!(condition)) [[unlikely]] {                                          \
      ::raftkv::CheckFailed(__FILE__, __LINE__, #condition,                   \
                            ::raftkv::internal::DescribeValues(__VA_ARGS__)); \
    }                                                                         \
  } while (false)
