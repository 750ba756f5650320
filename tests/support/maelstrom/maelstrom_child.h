// How does a test talk with a program over its stdin and stdout without ever waiting for it?
//
// Three pipes, none of which blocks. What the program does not take yet is kept here; what it says
// is handed on in whole lines.
#pragma once

#include <poll.h>

#include <array>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/process/process.h"

namespace raftkv::test::maelstrom {

class Child {
 public:
  Child(std::vector<std::string> command, const std::map<std::string, std::string>& environment);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  [[nodiscard]] Process& process() { return *process_; }

  /// `line` without its end. Nothing happens once the program has closed its stdin.
  void WriteLine(std::string_view line);
  /// Its stdin ends once all was taken.
  void CloseInput();

  /// What to wait for: stdin, stdout, stderr; a closed one is -1.
  [[nodiscard]] std::array<pollfd, 3> Polled() const;
  /// Writes on, if there is anything to write.
  void Flush();
  /// The whole lines that came since the last call.
  std::vector<std::string> ReadStdout() { return Read(1); }
  std::vector<std::string> ReadStderr() { return Read(2); }
  /// Its stdout has ended.
  [[nodiscard]] bool ended() const { return files_[1] < 0; }
  /// What came after the last end of a line on stdout.
  [[nodiscard]] const std::string& rest() const { return read_[1]; }
  /// The last of stderr, for a reader.
  [[nodiscard]] const std::string& last_stderr() const { return last_stderr_; }

 private:
  std::vector<std::string> Read(std::size_t stream);
  void Close(std::size_t stream);

  std::array<int, 3> files_ = {-1, -1, -1};  ///< our ends
  std::array<std::string, 3> read_;          ///< the begun line of each
  std::string unwritten_;
  std::size_t written_ = 0;  ///< of unwritten_
  bool closing_ = false;
  std::string last_stderr_;
  std::unique_ptr<Process> process_;
};

}  // namespace raftkv::test::maelstrom
