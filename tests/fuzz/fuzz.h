// What does a fuzz target look like, to libFuzzer and to the ordinary tests?
//
// A file `NAME_fuzz.cc` has one RAFTKV_FUZZ_TARGET(NAME): a function of any bytes at all that
// aborts where a property does not hold. In the preset `fuzz` it becomes a program of its own, with
// libFuzzer around it; in every other build it is listed in Targets(), and corpus_test.cc feeds it
// the seeds of corpus/NAME.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <vector>

#include <raftkv/status.h>

#include "lib/base/check.h"

namespace raftkv::fuzz {

struct Target {
  const char* name = "";
  void (*run)(std::string_view input) = nullptr;
};

/// Of this program, in no particular order.
std::vector<Target>& Targets();
bool AddTarget(const char* name, void (*run)(std::string_view input));

/// `refused` has one of these codes, and says in one line why.
void CheckRefusal(const Status& refused, std::initializer_list<Code> codes);

/// Takes the first byte off the front of `input`: which of `count` cases it is about.
inline std::size_t TakeCase(std::string_view& input, std::size_t count) {
  const auto first = static_cast<unsigned char>(input.front());
  input.remove_prefix(1);
  return first % count;
}

}  // namespace raftkv::fuzz

#ifdef RAFTKV_FUZZ
#define RAFTKV_FUZZ_ENTRY(name)                                                               \
  extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {         \
    ::raftkv::fuzz::Fuzz_##name(std::string_view(reinterpret_cast<const char*>(data), size)); \
    return 0;                                                                                 \
  }
#else
#define RAFTKV_FUZZ_ENTRY(name)                     \
  [[maybe_unused]] static const bool added_##name = \
      ::raftkv::fuzz::AddTarget(#name, &::raftkv::fuzz::Fuzz_##name);
#endif

/// Outside of any namespace; the body follows.
#define RAFTKV_FUZZ_TARGET(name)                   \
  namespace raftkv::fuzz {                         \
  static void Fuzz_##name(std::string_view input); \
  }                                                \
  RAFTKV_FUZZ_ENTRY(name)                          \
  void raftkv::fuzz::Fuzz_##name(std::string_view input)
