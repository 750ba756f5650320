// Do members, message by message, do what the transcripts in testdata/ say? Each file is a test.
#include <algorithm>
#include <cctype>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/interaction/commands.h"
#include "tests/interaction/script.h"

namespace raftkv::test {
namespace {

std::vector<std::string> Transcripts() {
  std::vector<std::string> paths;
  const std::filesystem::path folder =
      std::filesystem::path(RAFTKV_SOURCE_DIR) / "tests/interaction/testdata";
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    if (file.path().extension() == ".txt") paths.push_back(file.path().string());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

std::string NameOf(const ::testing::TestParamInfo<std::string>& info) {
  std::string name = std::filesystem::path(info.param).stem().string();
  for (char& c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return name;
}

class Transcript : public ::testing::TestWithParam<std::string> {};

TEST_P(Transcript, SaysWhatHappens) {
  Commands commands;
  RunScript(GetParam(), [&](const std::string& line) { return commands.Run(line); });
  EXPECT_TRUE(commands.converged_last()) << "a transcript ends with converge";
}

INSTANTIATE_TEST_SUITE_P(Files, Transcript, ::testing::ValuesIn(Transcripts()), NameOf);

TEST(Script, TellsCommandsFromOutput) {
  const std::string text = "# why\n\nadd-nodes 3\ncampaign 1\n----\none\ntwo\n\nstatus\n----\n";
  const std::vector<ScriptCase> cases = ParseScript(text);
  ASSERT_EQ(cases.size(), 2u);
  EXPECT_EQ(cases[0].commands, (std::vector<std::string>{"add-nodes 3", "campaign 1"}));
  EXPECT_EQ(cases[0].expected, (std::vector<std::string>{"one", "two"}));
  EXPECT_EQ(cases[1].line, 9);
  EXPECT_EQ(PrintScript(cases), text);
}

}  // namespace
}  // namespace raftkv::test
