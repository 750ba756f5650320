// raftkv_sim: runs seeds.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "tests/sim/world.h"

int main(int argc, char** argv) {
  using namespace raftkv::sim;
  std::uint64_t first = 1, count = 100;
  bool trace = false;
  Overrides overrides;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string a = argv[i];
    const std::uint64_t v = std::strtoull(argv[i + 1], nullptr, 10);
    if (a == "--seed") first = v, count = 1, trace = true;
    if (a == "--first-seed") first = v;
    if (a == "--seeds") count = v;
    if (a == "--nodes") overrides.nodes = static_cast<int>(v);
  }
  Stats total;
  int failed = 0;
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    std::fprintf(stderr, "seed %llu\r", (unsigned long long)seed);
    Outcome o = RunSeed(seed, overrides, {trace ? stdout : nullptr, false});
    total.Add(o.stats);
    if (!o.ok) {
      ++failed;
      std::printf("seed %llu: %s: %s\n", (unsigned long long)seed, o.checker.c_str(),
                  o.message.c_str());
      if (failed > 20) break;
    }
  }
  std::printf(
      "virtual %.1f s cpu %.3f s ratio %.0f events %llu messages %llu elections %llu entries %llu "
      "gaveup %llu\n",
      total.virtual_ns / 1e9, total.cpu_ns / 1e9, double(total.virtual_ns) / total.cpu_ns,
      (unsigned long long)total.events, (unsigned long long)total.messages,
      (unsigned long long)total.elections, (unsigned long long)total.entries,
      (unsigned long long)total.gave_up);
  for (std::size_t i = 0; i < kFaultKinds; ++i)
    std::printf("%s %llu\n", FaultName(Fault(i)), (unsigned long long)total.faults[i]);
  for (std::size_t i = 0; i < Stats::kOpKinds; ++i)
    std::printf("%s ok %llu failed %llu unknown %llu\n", OpName(OpKind(i)),
                (unsigned long long)total.operations[i][0],
                (unsigned long long)total.operations[i][1],
                (unsigned long long)total.operations[i][2]);
  return failed ? 1 : 0;
}
