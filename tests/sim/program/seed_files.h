// Which seeds are kept, and why? Small text files beside the simulator.
#pragma once

#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "lib/base/check.h"

namespace raftkv::sim {

struct KeptSeed {
  std::string name;  ///< the mutant; empty: none
  std::uint64_t seed = 0;
  std::string text;  ///< the checker that kills the mutant, or what the seed was about
};

/// Lines "NAME SEED TEXT" (with `named`) or "SEED TEXT"; those that begin with # say nothing.
inline std::vector<KeptSeed> ReadSeeds(const std::string& file, bool named) {
  std::ifstream in(std::string(RAFTKV_SIM_DIR) + "/" + file);
  RAFTKV_CHECK(in.good(), file);
  std::vector<KeptSeed> seeds;
  for (std::string line; std::getline(in, line);) {
    if (line.empty() || line.front() == '#') continue;
    std::istringstream words(line);
    KeptSeed kept;
    if (named) words >> kept.name;
    words >> kept.seed;
    RAFTKV_CHECK(!words.fail(), file, line);
    std::getline(words >> std::ws, kept.text);
    seeds.push_back(std::move(kept));
  }
  return seeds;
}

}  // namespace raftkv::sim
