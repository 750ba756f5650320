#include "tests/interaction/script.h"

#include <cstdlib>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

namespace raftkv::test {

namespace {

bool IsBlankOrComment(const std::string& line) { return line.empty() || line[0] == '#'; }

std::string Join(const std::vector<std::string>& lines) {
  std::string out;
  for (const std::string& line : lines) out += line + "\n";
  return out;
}

}  // namespace

std::vector<ScriptCase> ParseScript(const std::string& text) {
  std::vector<ScriptCase> cases;
  ScriptCase current;
  bool in_output = false;
  std::istringstream in(text);
  std::string line;
  for (int number = 1; std::getline(in, line); ++number) {
    if (in_output) {
      if (!line.empty()) {
        current.expected.push_back(line);
        continue;
      }
      cases.push_back(std::move(current));
      current = {};
      in_output = false;
    }
    if (line == "----") {
      if (current.commands.empty()) {
        ADD_FAILURE() << "line " << number << ": output without a command";
        return {};
      }
      in_output = true;
    } else if (current.commands.empty() && IsBlankOrComment(line)) {
      current.before.push_back(line);
    } else if (!line.empty()) {
      if (current.commands.empty()) current.line = number;
      current.commands.push_back(line);
    }
  }
  if (in_output) {
    cases.push_back(std::move(current));
  } else if (!current.commands.empty()) {
    ADD_FAILURE() << "line " << current.line << ": a command without ---- after it";
    return {};
  }
  return cases;
}

std::string PrintScript(const std::vector<ScriptCase>& cases) {
  std::string out;
  for (const ScriptCase& one : cases) {
    // The empty line that ends an output is the first of the lines before the next case.
    out += Join(one.before) + Join(one.commands) + "----\n" + Join(one.expected);
  }
  return out;
}

void RunScript(const std::string& path,
               const std::function<std::vector<std::string>(const std::string&)>& run) {
  std::ifstream file(path);
  ASSERT_TRUE(file.good()) << "cannot read " << path;
  std::ostringstream text;
  text << file.rdbuf();
  std::vector<ScriptCase> cases = ParseScript(text.str());
  ASSERT_FALSE(cases.empty()) << path << " has no commands";
  const char* const rewrite = std::getenv("RAFTKV_REWRITE");
  const bool rewriting = rewrite != nullptr && std::string(rewrite) == "1";
  for (ScriptCase& one : cases) {
    std::vector<std::string> actual;
    for (const std::string& command : one.commands) {
      if (command[0] == '#') continue;
      for (const std::string& line : run(command)) actual.push_back(line);
    }
    if (rewriting) {
      one.expected = actual;
    } else {
      EXPECT_EQ(Join(one.expected), Join(actual)) << path << ":" << one.line;
    }
  }
  if (rewriting) std::ofstream(path, std::ios::trunc) << PrintScript(cases);
}

}  // namespace raftkv::test
