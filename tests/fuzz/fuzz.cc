#include "tests/fuzz/fuzz.h"

#include <algorithm>

namespace raftkv::fuzz {

std::vector<Target>& Targets() {
  static std::vector<Target> targets;
  return targets;
}

bool AddTarget(const char* name, void (*run)(std::string_view input)) {
  Targets().push_back({name, run});
  return true;
}

void CheckRefusal(const Status& refused, std::initializer_list<Code> codes) {
  // Room for a path, a name and an explanation, not for what was refused.
  constexpr std::size_t kMaxMessageBytes = 8 << 10;
  const std::string& message = refused.message();
  RAFTKV_CHECK(std::count(codes.begin(), codes.end(), refused.code()) == 1, refused.ToString());
  RAFTKV_CHECK(!message.empty());
  RAFTKV_CHECK(message.size() <= kMaxMessageBytes, message.size());
  RAFTKV_CHECK(message.find('\n') == std::string::npos, message);
}

}  // namespace raftkv::fuzz
