// What does a transcript look like as a text file?
//
//   # A comment; it explains what must happen and why.
//   command argument
//   another command
//   ----
//   the expected output, up to an empty line
//
// In the manner of the data-driven tests of etcd/raft and CockroachDB.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace raftkv::test {

struct ScriptCase {
  std::vector<std::string> before;  ///< comments and empty lines, as they stand
  std::vector<std::string> commands;
  std::vector<std::string> expected;
  int line = 0;  ///< of the first command
};

/// Fails the current test, and returns nothing, if the text is not a script.
std::vector<ScriptCase> ParseScript(const std::string& text);
std::string PrintScript(const std::vector<ScriptCase>& cases);

/// Runs every command of `path` through `run` (a command to its output lines) and compares; with
/// RAFTKV_REWRITE=1 in the environment it writes the file anew with the output there is.
void RunScript(const std::string& path,
               const std::function<std::vector<std::string>(const std::string&)>& run);

}  // namespace raftkv::test
