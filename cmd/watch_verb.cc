// The verb that follows changes: watch.
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <iostream>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <raftkv/watch.h>

#include "cmd/child.h"
#include "cmd/flags.h"
#include "cmd/output.h"
#include "cmd/range_flags.h"

namespace raftkv::cmd {
namespace {

using std::chrono::steady_clock;

struct WatchFlags {
  RangeFlags keys;
  std::uint64_t revision = 0;
  bool previous = false;
  bool progress = false;
  std::string filter;
};

/// How often it looks whether somebody wants it to end.
constexpr std::chrono::milliseconds kLook{200};
constexpr std::chrono::milliseconds kProgress{5000};

volatile std::sig_atomic_t stop_signal = 0;
void NoteSignal(int number) { stop_signal = number; }

/// SIGINT and SIGTERM end the watch between two responses; a pipe that nobody reads does as well.
void CatchSignals() {
  struct sigaction action {};
  action.sa_handler = NoteSignal;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  action.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &action, nullptr);
}

/// Nobody reads stdout any more.
bool ReaderIsGone() {
  pollfd out{.fd = STDOUT_FILENO, .events = 0, .revents = 0};
  return poll(&out, 1, 0) > 0 && (out.revents & POLLERR) != 0;
}

const char* NameOf(WatchEvent::Kind kind) {
  return kind == WatchEvent::Kind::kPut ? "PUT" : "DELETE";
}

// Prints each response as it comes.
class EventPrinter {
 public:
  EventPrinter(const ClientFlags& flags, Client& client) : flags_(flags), client_(client) {}

  void Print(const WatchResponse& response) {
    switch (flags_.format()) {
      case Format::kJson: return Json1(response);
      case Format::kSimple: return Simple(response);
      case Format::kTable: return Table(response);
    }
  }

 private:
  void Json1(const WatchResponse& response) {
    Json events = Json::array();
    for (const WatchEvent& event : response.events) {
      Json& each = events.emplace_back(Json::object());
      each["type"] = NameOf(event.kind);
      each["kv"] = PairJson(event.kv, flags_);
      if (event.previous.has_value()) each["prev_kv"] = PairJson(*event.previous, flags_);
    }
    Json json = {{"header", HeaderJson(client_.LastHeader(), response.revision)}};
    json["events"] = std::move(events);
    if (response.more) json["more"] = true;
    PrintLine(Dump(json));
  }

  void Simple(const WatchResponse& response) {
    if (response.is_progress()) return PrintLine(fmt::format("PROGRESS\n{}", response.revision));
    for (const WatchEvent& event : response.events) {
      PrintLine(NameOf(event.kind));
      if (event.previous.has_value()) {
        PrintLine(ShowBytes(event.previous->key, flags_));
        PrintLine(ShowBytes(event.previous->value, flags_));
      }
      PrintLine(ShowBytes(event.kv.key, flags_));
      PrintLine(ShowBytes(event.kv.value, flags_));
    }
  }

  void Table(const WatchResponse& response) {
    std::vector<std::vector<std::string>> rows;
    for (const WatchEvent& event : response.events) {
      rows.push_back({NameOf(event.kind), ShowCell(event.kv.key, flags_),
                      ShowCell(event.kv.value, flags_), std::to_string(response.revision)});
    }
    if (response.is_progress()) {
      rows.push_back({"PROGRESS", "", "", std::to_string(response.revision)});
    }
    PrintTable({"EVENT", "KEY", "VALUE", "REVISION"}, rows);
  }

  const ClientFlags& flags_;
  Client& client_;
};

/// Runs the command and waits for it. Its failure is the end of the watch.
Exit RunCommand(const std::vector<std::string>& command, const WatchEvent& event) {
  auto child =
      ChildProcess::Start(command, "RAFTKV_WATCH_",
                          {{"RAFTKV_WATCH_EVENT_TYPE", NameOf(event.kind)},
                           {"RAFTKV_WATCH_KEY", event.kv.key},
                           {"RAFTKV_WATCH_VALUE", event.kv.value},
                           {"RAFTKV_WATCH_REVISION", std::to_string(event.kv.mod_revision)}});
  if (!child.ok()) return Fail(Exit::kError, child.status().message());
  child->Wait();
  if (child->exit_code() == 0) return Exit::kOk;
  if (stop_signal != 0) return Exit::kOk;  // it may have got the same signal
  return Fail(Exit::kError, child->HowItEnded());
}

std::optional<std::string> Wrong(const WatchFlags& watch, const Program& program) {
  if (auto wrong = watch.keys.Wrong()) return wrong;
  if (!program.command.empty() && program.command.front().empty()) return "the command is empty";
  return std::nullopt;
}

Exit RunWatch(const Program& program, const WatchFlags& watch) {
  const ClientFlags& flags = program.client;
  if (const auto wrong = Wrong(watch, program)) return Fail(Exit::kBadArguments, *wrong);
  auto client = Connect(flags);
  if (!client.ok()) return Fail(Exit::kBadArguments, client.status().message());
  CatchSignals();
  WatchOptions options;
  options.revision = watch.revision;
  options.previous = watch.previous;
  options.puts = watch.filter != "delete";
  options.deletes = watch.filter != "put";
  if (watch.progress) options.progress = kProgress;
  EventPrinter printer(flags, **client);
  Watcher watcher = (*client)->kv().Watch(watch.keys.range(), options);
  const auto begin_until = steady_clock::now() + flags.timeout.value;
  while (stop_signal == 0 && !ReaderIsGone()) {
    const Result<WatchResponse> response = watcher.Next(kLook);
    if (response.code() == Code::kDeadlineExceeded) {
      // Once it has begun it waits for the cluster as long as it takes.
      if (!watcher.begun() && steady_clock::now() >= begin_until) return Fail(response.status());
      continue;
    }
    if (!response.ok()) return Fail(response.status());
    if (response->is_progress() && !watch.progress) continue;
    printer.Print(*response);
    std::cout.flush();
    if (!std::cout.good()) break;
    if (program.command.empty()) continue;
    for (const WatchEvent& event : response->events) {
      if (stop_signal != 0) break;
      if (const Exit ran = RunCommand(program.command, event); ran != Exit::kOk) return ran;
    }
  }
  // A reader that has had enough is no failure; a full disk is.
  return ReaderIsGone() ? Exit::kOk : FinishOutput();
}

}  // namespace

void AddWatchVerb(Program& program) {
  auto watch = std::make_shared<WatchFlags>();
  CLI::App* verb = program.AddClientVerb(
      program.app, "watch",
      "print each change of a key or the range [KEY, END); with -- COMMAND, run it for each one");
  watch->keys.AddTo(*verb, "watch");
  verb->add_option("--rev", watch->revision,
                   "begin with the changes of this revision, past or to come; 0: from now on")
      ->check(IsNumber(0, std::numeric_limits<std::uint64_t>::max()))
      ->type_name("N");
  verb->add_flag("--prev-kv", watch->previous, "print what each key was before as well");
  verb->add_flag("--progress", watch->progress,
                 "print the revision up to which everything was printed: about every 5 s without a "
                 "change, and where the watch begins if that is now");
  verb->add_option("--filter", watch->filter, "only put, or only delete")
      ->check(CLI::IsMember({"put", "delete"}));
  verb->footer(
      "COMMAND gets RAFTKV_WATCH_EVENT_TYPE (PUT or DELETE), RAFTKV_WATCH_KEY, RAFTKV_WATCH_VALUE "
      "and RAFTKV_WATCH_REVISION in its environment.");
  verb->callback(
      [&program, watch] { program.run = [&program, watch] { return RunWatch(program, *watch); }; });
}

}  // namespace raftkv::cmd
