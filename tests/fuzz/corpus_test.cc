// Do the targets of the fuzzers hold for the kept seeds, and for what is near them?
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/fuzz/fuzz.h"

namespace raftkv::fuzz {
namespace {

namespace fs = std::filesystem;

/// What is being fed: a target aborts where something does not hold.
std::string g_input;

void NameInput(int /*signal*/) {
  std::fprintf(stderr, "raftkv: that was with %s\n", g_input.c_str());
}

std::string CorpusFolder() { return std::string(RAFTKV_SOURCE_DIR) + "/tests/fuzz/corpus"; }

struct Seed {
  std::string name;
  std::string bytes;
};

std::vector<Seed> SeedsOf(const std::string& target) {
  std::vector<Seed> seeds;
  for (const auto& file : fs::directory_iterator(CorpusFolder() + "/" + target)) {
    std::ifstream in(file.path(), std::ios::binary);
    seeds.push_back(
        {file.path().filename().string(), std::string(std::istreambuf_iterator<char>(in), {})});
  }
  std::sort(seeds.begin(), seeds.end(),
            [](const Seed& a, const Seed& b) { return a.name < b.name; });
  return seeds;
}

class Corpus : public testing::TestWithParam<Target> {
 protected:
  void SetUp() override { std::signal(SIGABRT, NameInput); }
  void TearDown() override { std::signal(SIGABRT, SIG_DFL); }

  void Feed(const std::string& what, std::string_view bytes) {
    g_input = std::string(GetParam().name) + "/" + what;
    // Of its own size: a read beyond it is one that a sanitizer sees.
    const std::vector<char> exact(bytes.begin(), bytes.end());
    GetParam().run({exact.data(), exact.size()});
  }
};

TEST_P(Corpus, HoldsForEverySeed) {
  const std::vector<Seed> seeds = SeedsOf(GetParam().name);
  EXPECT_GE(seeds.size(), 3U) << "a target needs seeds: tests/fuzz/make_seeds.cc";
  Feed("(nothing)", {});
  for (const Seed& seed : seeds) {
    EXPECT_LT(seed.bytes.size(), 4096U) << seed.name;
    Feed(seed.name, seed.bytes);
  }
}

TEST_P(Corpus, HoldsForEveryPrefixOfASeed) {
  for (const Seed& seed : SeedsOf(GetParam().name)) {
    for (std::size_t size = 0; size < seed.bytes.size(); ++size) {
      Feed(seed.name + ", its first " + std::to_string(size) + " bytes",
           std::string_view(seed.bytes).substr(0, size));
    }
  }
}

TEST_P(Corpus, HoldsWhereOneByteOfASeedIsAnother) {
  for (const Seed& seed : SeedsOf(GetParam().name)) {
    for (std::size_t at = 0; at < seed.bytes.size(); ++at) {
      for (const unsigned char change : {0x01, 0x80, 0xff}) {
        std::string bytes = seed.bytes;
        bytes[at] = static_cast<char>(static_cast<unsigned char>(bytes[at]) ^ change);
        Feed(seed.name + ", byte " + std::to_string(at) + " with " + std::to_string(change), bytes);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(OfTarget, Corpus, testing::ValuesIn(Targets()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(CorpusFolder, HasNothingButSeedsOfTargets) {
  std::vector<std::string> targets;
  for (const Target& target : Targets()) targets.emplace_back(target.name);
  for (const auto& folder : fs::directory_iterator(CorpusFolder())) {
#ifndef RAFTKV_ETCD
    if (folder.path().filename().string().starts_with("etcd_")) continue;
#endif
    EXPECT_EQ(std::count(targets.begin(), targets.end(), folder.path().filename().string()), 1)
        << folder.path();
  }
}

}  // namespace
}  // namespace raftkv::fuzz
