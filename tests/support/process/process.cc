#include "tests/support/process/process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <thread>

#include "lib/base/check.h"

extern char** environ;

namespace raftkv::test {

using std::chrono::steady_clock;

TempFolder::TempFolder() {
  std::string name = std::filesystem::temp_directory_path() / "raftkv-test-XXXXXX";
  RAFTKV_CHECK(mkdtemp(name.data()) != nullptr, name, errno);
  path_ = name;
}

TempFolder::~TempFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

bool WaitFor(std::chrono::milliseconds timeout, const std::function<bool()>& condition) {
  const auto deadline = steady_clock::now() + timeout;
  while (!condition()) {
    if (steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

int NumberFromEnvironment(const char* variable, int otherwise) {
  const char* const text = std::getenv(variable);
  if (text == nullptr) return otherwise;
  int number = 0;
  const char* const end = text + std::strlen(text);
  const auto [rest, error] = std::from_chars(text, end, number);
  RAFTKV_CHECK(error == std::errc(), variable, text);
  RAFTKV_CHECK(rest == end, variable, text);
  RAFTKV_CHECK(number > 0, variable, text);
  return number;
}

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void WriteFile(const std::filesystem::path& path, std::string_view content) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  file.flush();
  RAFTKV_CHECK(file.good(), path);
}

namespace {

bool CanBind(std::uint16_t port) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  RAFTKV_CHECK(listener >= 0, errno);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  const bool bound = bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  close(listener);
  return bound;
}

}  // namespace

std::string FreeAddress() {
  // Ephemeral ports start at 32768 unless somebody changed that. Programs that run at the same time
  // start at different places.
  constexpr std::uint32_t kFirst = 10'000;
  constexpr std::uint32_t kCount = 22'000;
  static std::atomic<std::uint32_t> next{static_cast<std::uint32_t>(getpid()) * 61};
  for (std::uint32_t attempt = 0; attempt < kCount; ++attempt) {
    const auto port = static_cast<std::uint16_t>(kFirst + next.fetch_add(1) % kCount);
    if (CanBind(port)) return "127.0.0.1:" + std::to_string(port);
  }
  RAFTKV_CHECK(false, "no free port");
  return {};
}

namespace {

std::uintmax_t SizeOf(const std::filesystem::path& path) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  return error ? 0 : size;
}

int OpenForAppend(const std::filesystem::path& path) {
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  RAFTKV_CHECK(file >= 0, path, errno);
  return file;
}

// A file that has no name any more, at its start.
int OpenWithContent(std::string_view content) {
  std::string name = std::filesystem::temp_directory_path() / "raftkv-stdin-XXXXXX";
  const int file = mkostemp(name.data(), O_CLOEXEC);
  RAFTKV_CHECK(file >= 0, name, errno);
  unlink(name.c_str());
  while (!content.empty()) {
    const ssize_t written = write(file, content.data(), content.size());
    RAFTKV_CHECK(written > 0, errno);
    content.remove_prefix(static_cast<std::size_t>(written));
  }
  RAFTKV_CHECK(lseek(file, 0, SEEK_SET) == 0, errno);
  return file;
}

int FileFor(int number, const ProcessOptions& options) {
  if (const int given = options.files.at(number); given >= 0) {
    const int copy = fcntl(given, F_DUPFD_CLOEXEC, 0);
    RAFTKV_CHECK(copy >= 0, given, errno);
    return copy;
  }
  if (number == STDIN_FILENO) return OpenWithContent(options.stdin_content);
  return OpenForAppend(number == STDOUT_FILENO ? options.stdout_path : options.stderr_path);
}

std::vector<std::string> EnvironmentWith(const std::map<std::string, std::string>& added) {
  std::vector<std::string> environment;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (!std::string_view(*variable).starts_with("RAFTKV_")) environment.emplace_back(*variable);
  }
  for (const auto& [name, value] : added) environment.push_back(name + "=" + value);
  return environment;
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& text : strings) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

// In the child, between fork and exec: only what is safe where other threads held locks.
[[noreturn]] void BecomeProgram(pid_t parent, const std::array<int, 3>& files,
                                const std::vector<char*>& arguments,
                                const std::vector<char*>& environment) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  signal(SIGXFSZ, SIG_DFL);
  signal(SIGINT, SIG_DFL);  // ignored where the tests run in the background of a shell
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);  // it died before the line above
  for (int number = 0; number < 3; ++number) {
    if (dup2(files.at(number), number) < 0) _exit(127);
  }
  execve(arguments[0], arguments.data(), environment.data());
  _exit(127);
}

}  // namespace

Process::Process(ProcessOptions options) : options_(std::move(options)) {
  stdout_begin_ = SizeOf(options_.stdout_path);
  stderr_begin_ = SizeOf(options_.stderr_path);
  std::array<int, 3> files = {};
  for (int number = 0; number < 3; ++number) {
    const bool opens = number == STDIN_FILENO && options_.open_stdin;
    files.at(number) = opens ? OpenStdin() : FileFor(number, options_);
  }
  std::vector<std::string> environment = EnvironmentWith(options_.environment);
  const auto argument_pointers = Pointers(options_.command);
  const auto environment_pointers = Pointers(environment);
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ == 0) BecomeProgram(parent, files, argument_pointers, environment_pointers);
  RAFTKV_CHECK(pid_ > 0, errno);
  for (const int file : files) close(file);
}

Process::~Process() {
  CloseStdin();
  Kill();
}

int Process::OpenStdin() {
  // A socket, since writing to a pipe that nobody reads raises a signal.
  std::array<int, 2> ends{};
  RAFTKV_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0, errno);
  stdin_ = ends[0];
  return ends[1];
}

bool Process::WriteStdin(std::string_view bytes) {
  RAFTKV_CHECK(stdin_ >= 0);
  while (!bytes.empty()) {
    const ssize_t sent = send(stdin_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

void Process::CloseStdin() {
  if (stdin_ >= 0) close(stdin_);
  stdin_ = -1;
}

void Process::Signal(int signal) {
  if (exit_code_) return;  // the number may belong to somebody else by now
  RAFTKV_CHECK(kill(pid_, signal) == 0, pid_, errno);
}

std::optional<int> Process::WaitForExit(std::chrono::milliseconds timeout) {
  WaitFor(timeout, [this] {
    if (exit_code_) return true;
    int status = 0;
    const pid_t ended = waitpid(pid_, &status, WNOHANG);
    RAFTKV_CHECK(ended >= 0, pid_, errno);
    if (ended == 0) return false;
    exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return true;
  });
  return exit_code_;
}

void Process::Kill() {
  if (exit_code_) return;
  Signal(SIGKILL);
  RAFTKV_CHECK(WaitForExit(std::chrono::minutes(1)).has_value(), pid_);
}

std::string Process::Stdout() const {
  const std::string all = ReadFile(options_.stdout_path);
  return all.substr(std::min<std::size_t>(stdout_begin_, all.size()));
}

std::string Process::Stderr() const {
  const std::string all = ReadFile(options_.stderr_path);
  return all.substr(std::min<std::size_t>(stderr_begin_, all.size()));
}

std::optional<std::string> Process::WaitForLine(const std::string& prefix,
                                                std::chrono::milliseconds timeout) {
  std::optional<std::string> found;
  WaitFor(timeout, [&] {
    const bool ended = !Running();  // before reading: then what is read is all there is
    const std::string text = "\n" + Stdout();
    const auto begin = text.find("\n" + prefix);
    const auto end = begin == std::string::npos ? begin : text.find('\n', begin + 1);
    if (end != std::string::npos) found = text.substr(begin + 1, end - begin - 1);
    return found.has_value() || ended;
  });
  return found;
}

bool Process::WaitForStderr(const std::string& text, std::chrono::milliseconds timeout) {
  return WaitFor(timeout, [&] { return Stderr().find(text) != std::string::npos; });
}

std::size_t RunResult::ErrorLines() const {
  return static_cast<std::size_t>(std::count(err.begin(), err.end(), '\n'));
}

RunResult RunRaftkv(std::vector<std::string> arguments, const RunOptions& options) {
  const TempFolder folder;
  arguments.insert(arguments.begin(), RAFTKV_BINARY);
  const auto start = steady_clock::now();
  Process process({.command = std::move(arguments),
                   .environment = options.environment,
                   .stdin_content = options.stdin_content,
                   .stdout_path = folder.path() / "stdout",
                   .stderr_path = folder.path() / "stderr"});
  const auto exit_code = process.WaitForExit(options.timeout);
  RunResult result;
  result.took = std::chrono::duration_cast<std::chrono::milliseconds>(steady_clock::now() - start);
  process.Kill();
  result.exit_code = exit_code.value_or(-1);
  result.out = process.Stdout();
  result.err = process.Stderr();
  return result;
}

}  // namespace raftkv::test
