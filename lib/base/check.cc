#include "lib/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace raftkv {

void CheckFailed(const char* file, int line, const char* condition, const std::string& values) {
  std::fprintf(stderr, "raftkv: broken invariant at %s:%d: %s;%s\n", file, line, condition,
               values.c_str());
  std::abort();
}

}  // namespace raftkv
