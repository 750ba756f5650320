// The verb that runs one node of Jepsen Maelstrom: maelstrom.
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include <raftkv/node.h>

#include "cmd/flags.h"
#include "cmd/log.h"
#include "cmd/maelstrom/line_splitter.h"
#include "cmd/maelstrom/line_writer.h"
#include "cmd/maelstrom/node_process.h"

namespace raftkv::cmd {
namespace {

using maelstrom::LineSplitter;
using maelstrom::LineWriter;
using maelstrom::NodeProcess;

/// At the end of stdin, for requests that are open.
constexpr std::chrono::seconds kLastAnswers(1);
constexpr int kLookForFailureMs = 200;

struct MaelstromFlags {
  std::string data_dir;
  // Messages take up to 100 ms one way: a round to the others, and a heartbeat, fit in twice.
  DurationFlag election_timeout{std::chrono::milliseconds(500)};
  DurationFlag heartbeat{std::chrono::milliseconds(100)};
  DurationFlag request_timeout{std::chrono::seconds(4)};
  std::string log_level = "info";
};

/// The node's data: the folder that was asked for, or one that is gone with this object.
class DataFolder {
 public:
  static Result<std::unique_ptr<DataFolder>> Make(const std::string& data_dir) {
    if (!data_dir.empty()) return std::make_unique<DataFolder>(data_dir, false);
    std::error_code error;
    const auto parent = std::filesystem::temp_directory_path(error);
    if (error)
      return Status(Code::kIOError, "there is no folder for temporary files: " + error.message());
    std::string path = (parent / "raftkv-maelstrom-XXXXXX").string();
    if (mkdtemp(path.data()) == nullptr) {
      return Status(Code::kIOError, fmt::format("cannot make {}: {}", path, std::strerror(errno)));
    }
    return std::make_unique<DataFolder>(path, true);
  }
  DataFolder(std::string path, bool temporary) : path_(std::move(path)), temporary_(temporary) {}
  ~DataFolder() {
    std::error_code error;  // there is nobody to tell any more
    if (temporary_) std::filesystem::remove_all(path_, error);
  }
  DataFolder(const DataFolder&) = delete;
  DataFolder& operator=(const DataFolder&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  const std::string path_;
  const bool temporary_;
};

/// SIGTERM and SIGINT as something to wait for; from before the first thread is made. They stay
/// blocked to the end: one that comes while the node closes must not leave the folder behind.
int StopSignals() {
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigaddset(&stop, SIGINT);
  pthread_sigmask(SIG_BLOCK, &stop, nullptr);
  signal(SIGPIPE, SIG_IGN);  // who reads stdout or stderr may go away
  return signalfd(-1, &stop, SFD_CLOEXEC);
}

/// Hands the lines of stdin to `process` until stdin ends, nobody reads stdout any more, a signal
/// says stop, or the process cannot go on. Whether stdin ended; IOError: it cannot be read.
Result<bool> ReadLines(NodeProcess& process, LineWriter& writer, int signals) {
  LineSplitter splitter;
  std::array<char, 64 * 1024> buffer{};
  // Of stdout only what needs not be asked for: that its reader is gone.
  std::array<pollfd, 3> wait{pollfd{STDIN_FILENO, POLLIN, 0}, pollfd{signals, POLLIN, 0},
                             pollfd{STDOUT_FILENO, 0, 0}};
  while (process.Failure().ok() && writer.Failure().ok()) {
    if (poll(wait.data(), wait.size(), kLookForFailureMs) < 0) {
      if (errno == EINTR) continue;
      return false;
    }
    if (wait[1].revents != 0 || (wait[2].revents & (POLLERR | POLLHUP)) != 0) return false;
    if (wait[0].revents == 0) continue;
    const ssize_t size = read(STDIN_FILENO, buffer.data(), buffer.size());
    if (size < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (size < 0) {
      return Status(Code::kIOError, std::string("stdin cannot be read: ") + std::strerror(errno));
    }
    if (size == 0) return true;
    splitter.Feed(
        std::string_view(buffer.data(), static_cast<std::size_t>(size)),
        [&](std::string_view line) { process.OnLine(line); }, [&] { process.OnTooLongLine(); });
  }
  return false;
}

Exit RunMaelstrom(const MaelstromFlags& flags) {
  if (flags.election_timeout.value < 2 * flags.heartbeat.value) {
    return Fail(Exit::kBadArguments,
                "--election-timeout is below twice --heartbeat: raise it, or lower that");
  }
  const int signals = StopSignals();
  auto folder = DataFolder::Make(flags.data_dir);
  if (!folder.ok()) return Fail(Exit::kFileError, folder.status().message());
  NodeProcess::Options options;
  options.log = NewLogSink(false, "maelstrom");
  options.node.data_dir = (*folder)->path();
  options.node.election_timeout = flags.election_timeout.value;
  options.node.heartbeat = flags.heartbeat.value;
  options.node.log_level = LogLevelOf(flags.log_level).value();
  options.node.log_sink = options.log;
  // So that every frame fits on a line.
  options.node.limits.max_request_bytes = 2 << 20;
  options.request_timeout = flags.request_timeout.value;

  LineWriter writer(STDOUT_FILENO);
  NodeProcess process(std::move(options), writer);
  const Result<bool> ended = ReadLines(process, writer, signals);
  const Status failure = process.Failure();
  if (ended.ok() && *ended && failure.ok()) {
    const auto give_up_at = std::chrono::steady_clock::now() + kLastAnswers;
    while (process.open_requests() > 0 && std::chrono::steady_clock::now() < give_up_at) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
  const Status closed = process.Close();
  const Status written = writer.Finish();
  close(signals);
  if (!failure.ok()) return Fail(Exit::kError, failure.message());
  if (!closed.ok()) return Fail(Exit::kError, closed.message());
  if (!ended.ok()) return Fail(Exit::kFileError, ended.status().message());
  return written.ok() ? Exit::kOk : Fail(Exit::kError, written.message());
}

}  // namespace

void AddMaelstromVerb(Program& program) {
  auto flags = std::make_shared<MaelstromFlags>();
  CLI::App* verb = program.app.add_subcommand(
      "maelstrom", "run a node of Jepsen Maelstrom: its protocol on stdin and stdout");
  verb->add_option("--data-dir", flags->data_dir,
                   "data folder, kept at exit (default: a temporary one)");
  const auto duration = [verb](const std::string& name, DurationFlag& value,
                               const std::string& standard, const std::string& help) {
    verb->add_option(name, value, help)
        ->check(IsDuration())
        ->type_name("DURATION")
        ->default_str(standard);
  };
  duration("--election-timeout", flags->election_timeout, "500ms",
           "T: a follower campaigns after [T, 2T) without a leader");
  duration("--heartbeat", flags->heartbeat, "100ms", "interval of the leader's heartbeats");
  duration("--request-timeout", flags->request_timeout, "4s", "time limit for answering a client");
  verb->add_option("--log-level", flags->log_level, "lowest level that is logged to stderr")
      ->check(CLI::IsMember({"trace", "debug", "info", "warn", "error", "off"}))
      ->capture_default_str();
  verb->callback([&program, flags] { program.run = [flags] { return RunMaelstrom(*flags); }; });
}

}  // namespace raftkv::cmd
