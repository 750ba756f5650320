// How does a test run a real process, and be sure that it is gone afterwards?
//
// A Process is a child with captured output. Its destructor kills and reaps it; the kernel kills it
// should the test itself die. For that, start a Process that is to live on from a thread that lives
// on as well: the kernel means the thread, not the process.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace raftkv::test {

/// A folder of its own, removed at the end.
class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::string operator/(const std::string& name) const {
    return (path_ / name).string();
  }

 private:
  std::filesystem::path path_;
};

/// Looks every few milliseconds until `condition` holds or the time is over; whether it held.
bool WaitFor(std::chrono::milliseconds timeout, const std::function<bool()>& condition);

/// The whole number that `variable` of the environment has, for tests that can be made longer;
/// `otherwise` if it is not set. Anything that is no number above 0 ends the program.
int NumberFromEnvironment(const char* variable, int otherwise);

std::string ReadFile(const std::filesystem::path& path);
void WriteFile(const std::filesystem::path& path, std::string_view content);

/// "127.0.0.1:PORT", free now, from below the range that the kernel hands out for connections; not
/// handed out again by this process.
std::string FreeAddress();

struct ProcessOptions {
  /// The program and its arguments.
  std::vector<std::string> command;
  /// Added to the environment of the test. (Its RAFTKV_ variables are left out.)
  std::map<std::string, std::string> environment;
  /// Fed to stdin; without, stdin is empty.
  std::string stdin_content;
  /// Instead: stdin is what WriteStdin() gives, until CloseStdin().
  bool open_stdin = false;
  /// Output is appended to these files.
  std::filesystem::path stdout_path;
  std::filesystem::path stderr_path;
  /// Open files for stdin, stdout and stderr in place of the above, -1: none. They stay the
  /// caller's.
  std::array<int, 3> files = {-1, -1, -1};
};

class Process {
 public:
  /// Ends the test program if the child cannot be started.
  explicit Process(ProcessOptions options);
  /// Kills it if it still runs.
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  /// Nothing if it has ended already.
  void Signal(int signal);
  /// Its exit code, or 128 + the signal that ended it; nothing if it still runs after `timeout`.
  std::optional<int> WaitForExit(std::chrono::milliseconds timeout);
  [[nodiscard]] bool Running() { return !WaitForExit(std::chrono::milliseconds(0)); }
  /// SIGKILL, and waits for its end.
  void Kill();

  /// With open_stdin. False: the child does not read it any more.
  bool WriteStdin(std::string_view bytes);
  void CloseStdin();

  /// What this child has printed so far (earlier writers of the same file left out).
  [[nodiscard]] std::string Stdout() const;
  [[nodiscard]] std::string Stderr() const;
  /// The first whole line of stdout that starts with `prefix`; nothing if the process ended or the
  /// time was over without it.
  std::optional<std::string> WaitForLine(const std::string& prefix,
                                         std::chrono::milliseconds timeout);
  bool WaitForStderr(const std::string& text, std::chrono::milliseconds timeout);

 private:
  /// The child's end of a new stdin.
  int OpenStdin();

  ProcessOptions options_;
  std::uintmax_t stdout_begin_ = 0;
  std::uintmax_t stderr_begin_ = 0;
  int stdin_ = -1;  ///< our end of it; -1: closed
  pid_t pid_ = -1;
  std::optional<int> exit_code_;
};

/// What came of a program that was run to its end.
struct RunResult {
  int exit_code = -1;
  std::string out;
  std::string err;
  std::chrono::milliseconds took{0};

  /// Lines on stderr, to check that an error is just one.
  [[nodiscard]] std::size_t ErrorLines() const;
};

struct RunOptions {
  std::map<std::string, std::string> environment;
  std::string stdin_content;
  std::chrono::milliseconds timeout{std::chrono::seconds(30)};
};

/// Runs the raftkv program to its end; exit code -1 if it had to be killed at the timeout.
RunResult RunRaftkv(std::vector<std::string> arguments, const RunOptions& options = {});

}  // namespace raftkv::test
