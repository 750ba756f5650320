// The verbs in which one contender of many gets its turn: lock, elect.
#include <chrono>
#include <csignal>
#include <ctime>
#include <future>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <fmt/format.h>

#include <raftkv/lock.h>

#include "cmd/child.h"
#include "cmd/flags.h"
#include "cmd/output.h"

namespace raftkv::cmd {
namespace {

using std::chrono::milliseconds;

struct ContendFlags {
  std::string name;
  DurationFlag ttl{SessionOptions().ttl};
  Positional value;
  bool listen = false;
};

/// How often it looks whether the lock is still held, or a signal has come.
constexpr milliseconds kGlance{50};
/// For the command to end once the lock is lost.
constexpr std::chrono::seconds kGrace{5};
constexpr milliseconds kForever = std::chrono::hours(24 * 365);

/// SIGINT, SIGTERM and SIGCHLD are blocked from here on, and taken by Wait(): so none comes between
/// a look and a wait. Before the first thread starts: threads inherit the mask.
class TakenSignals {
 public:
  TakenSignals() {
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL);  // were it ignored, there would be no exit code
    sigemptyset(&set_);
    for (const int each : {SIGINT, SIGTERM, SIGCHLD}) sigaddset(&set_, each);
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);
  }

  /// Returns as soon as one of them comes. SIGINT or SIGTERM, or 0: it was none of these two.
  int Wait(milliseconds timeout) {
    timespec time{};
    time.tv_sec = timeout.count() / 1000;
    time.tv_nsec = timeout.count() % 1000 * 1'000'000;
    const int number = sigtimedwait(&set_, nullptr, &time);
    return number == SIGINT || number == SIGTERM ? number : 0;
  }

 private:
  sigset_t set_{};
};

Result<std::unique_ptr<Session>> OpenSession(const ClientFlags& flags, const ContendFlags& contend,
                                             Client& client) {
  SessionOptions options;
  options.ttl = contend.ttl.value;
  options.timeout = flags.timeout.value;
  return Session::Open(client.kv(), std::move(options));
}

/// `acquire` waits for as long as it takes; a signal ends the wait.
template <class Contender, class Acquire>
Status AcquireUnlessStopped(Contender& contender, TakenSignals& signals, const Acquire& acquire) {
  auto acquired = std::async(std::launch::async, acquire);
  bool stopped = false;
  while (acquired.wait_for(kGlance) != std::future_status::ready) {
    stopped = signals.Wait(milliseconds(0)) != 0 || stopped;
    if (stopped) contender.Cancel();
  }
  Status status = acquired.get();
  stopped = signals.Wait(milliseconds(0)) != 0 || stopped;
  if (!stopped) return status;
  return {Code::kCancelled, "interrupted before it was its turn"};
}

/// Ok: it is held.
template <class Contender>
Status Held(Contender& contender) {
  const Status lost = contender.WaitUntilLost(milliseconds(0));
  return lost.code() == Code::kDeadlineExceeded ? Status::Ok() : lost;
}

/// Until a signal comes, or it is lost.
template <class Contender>
Status Hold(Contender& contender, TakenSignals& signals) {
  while (true) {
    if (Status held = Held(contender); !held.ok()) return held;
    if (signals.Wait(kGlance) != 0) return Status::Ok();
  }
}

Exit FailLost(const std::string& what, const Status& why) {
  return Fail(Exit::kServerRefused, fmt::format("{}: {}", what, why.message()));
}

/// SIGTERM, and once it has had some time, SIGKILL.
void Stop(ChildProcess& child, TakenSignals& signals) {
  const auto deadline = std::chrono::steady_clock::now() + kGrace;
  child.Signal(SIGTERM);
  while (!child.HasEnded() && std::chrono::steady_clock::now() < deadline) signals.Wait(kGlance);
  child.Signal(SIGKILL);
  child.Wait();
}

/// That the lock was held after the end of the command says that it was held all the time.
Exit RunLocked(const Program& program, const std::string& name, Lock& lock, TakenSignals& signals) {
  auto child = ChildProcess::Start(
      program.command, "RAFTKV_LOCK_",
      {{"RAFTKV_LOCK_KEY", lock.key()}, {"RAFTKV_LOCK_REV", std::to_string(lock.token())}});
  if (!child.ok()) return Fail(Exit::kError, child.status().message());
  while (true) {
    const bool ended = child->HasEnded();
    if (const Status held = Held(lock); !held.ok()) {
      if (!ended) Stop(*child, signals);
      return FailLost(
          fmt::format("the lock {} was lost while {} ran, {}", name, program.command.front(),
                      ended ? "which has ended" : "which was stopped"),
          held);
    }
    if (ended) return static_cast<Exit>(child->exit_code());
    if (const int number = signals.Wait(kGlance); number != 0) child->Signal(number);
  }
}

Exit HoldLock(const ClientFlags& flags, const std::string& name, Client& client, Lock& lock,
              TakenSignals& signals) {
  PrintAnswer({"KEY",
               ShowBytes(lock.key(), flags),
               {{"key", JsonBytes(lock.key(), flags)}, {"rev", lock.token()}}},
              client.LastHeader(), std::nullopt, flags);
  if (const Exit printed = FinishOutput(); printed != Exit::kOk) return printed;
  const Status held = Hold(lock, signals);
  return held.ok() ? Exit::kOk : FailLost(fmt::format("the lock {} was lost", name), held);
}

std::optional<std::string> WrongContention(const ContendFlags& contend, const Program& program) {
  if (contend.name.empty()) return "NAME is empty";
  if (!program.command.empty() && program.command.front().empty()) return "the command is empty";
  return std::nullopt;
}

Exit RunLock(const Program& program, const ContendFlags& contend) {
  const ClientFlags& flags = program.client;
  if (const auto wrong = WrongContention(contend, program)) {
    return Fail(Exit::kBadArguments, *wrong);
  }
  TakenSignals signals;
  auto client = Connect(flags);
  if (!client.ok()) return Fail(Exit::kBadArguments, client.status().message());
  auto session = OpenSession(flags, contend, **client);
  if (!session.ok()) return Fail(session.status());
  Lock lock(**session, contend.name);
  const Status acquired =
      AcquireUnlessStopped(lock, signals, [&lock] { return lock.Acquire(kForever); });
  const Exit exit = !acquired.ok() ? Fail(acquired)
                    : program.command.empty()
                        ? HoldLock(flags, contend.name, **client, lock, signals)
                        : RunLocked(program, contend.name, lock, signals);
  // If it cannot be told, the lease ends by itself.
  static_cast<void>((*session)->Close(flags.timeout.value));
  return exit;
}

void PrintLeader(const ClientFlags& flags, Client& client, const KeyValue& leader) {
  switch (flags.format()) {
    case Format::kSimple:
      PrintLine(ShowBytes(leader.key, flags));
      PrintLine(ShowBytes(leader.value, flags));
      break;
    case Format::kJson:
      PrintLine(Dump({{"header", HeaderJson(client.LastHeader(), std::nullopt)},
                      {"key", JsonBytes(leader.key, flags)},
                      {"value", JsonBytes(leader.value, flags)},
                      {"rev", leader.create_revision}}));
      break;
    case Format::kTable:
      PrintTable({"KEY", "VALUE", "REVISION"},
                 {{ShowCell(leader.key, flags), ShowCell(leader.value, flags),
                   std::to_string(leader.create_revision)}});
      break;
  }
  std::cout.flush();
}

Exit RunListen(const ClientFlags& flags, const ContendFlags& contend, TakenSignals& signals) {
  auto client = Connect(flags);
  if (!client.ok()) return Fail(Exit::kBadArguments, client.status().message());
  ElectionObserver observer((*client)->kv(), contend.name);
  while (signals.Wait(milliseconds(0)) == 0 && std::cout.good()) {
    const bool begun = observer.begun();
    const auto leader = observer.Next(begun ? milliseconds(200) : flags.timeout.value);
    if (leader.ok()) {
      PrintLeader(flags, **client, *leader);
    } else if (leader.code() != Code::kDeadlineExceeded || !observer.begun()) {
      return Fail(leader.status());
    }
  }
  return FinishOutput();
}

Exit RunElect(const Program& program, const ContendFlags& contend) {
  const ClientFlags& flags = program.client;
  if (const auto wrong = WrongContention(contend, program)) {
    return Fail(Exit::kBadArguments, *wrong);
  }
  if (contend.listen == contend.value.given()) {
    return Fail(Exit::kBadArguments, "either VALUE or --listen is needed, not both");
  }
  TakenSignals signals;
  if (contend.listen) return RunListen(flags, contend, signals);
  auto client = Connect(flags);
  if (!client.ok()) return Fail(Exit::kBadArguments, client.status().message());
  auto session = OpenSession(flags, contend, **client);
  if (!session.ok()) return Fail(session.status());
  Election election(**session, contend.name);
  const std::string& value = contend.value.text;
  const Status elected = AcquireUnlessStopped(
      election, signals, [&election, &value] { return election.Campaign(value, kForever); });
  Exit exit = Exit::kOk;
  if (!elected.ok()) {
    exit = Fail(elected);
  } else {
    KeyValue leader;
    leader.key = election.key();
    leader.value = value;
    leader.create_revision = election.token();
    PrintLeader(flags, **client, leader);
    exit = FinishOutput();
    const Status held = exit == Exit::kOk ? Hold(election, signals) : Status::Ok();
    if (!held.ok()) exit = FailLost(fmt::format("{} is no longer led", contend.name), held);
  }
  static_cast<void>((*session)->Close(flags.timeout.value));
  return exit;
}

/// What the two have in common.
CLI::App* AddVerbOfContender(Program& program, const std::string& name, const std::string& help,
                             ContendFlags& contend) {
  CLI::App* verb = program.AddClientVerb(program.app, name, help);
  verb->add_option("NAME", contend.name, "the keys of those who contend are below NAME/")
      ->required();
  verb->add_option("--ttl", contend.ttl,
                   "time to live of the session: how long others have to wait if this process dies")
      ->check(IsDuration())
      ->type_name("DURATION")
      ->default_str("10s");
  return verb;
}

}  // namespace

void AddLockVerbs(Program& program) {
  auto lock = std::make_shared<ContendFlags>();
  CLI::App* verb = AddVerbOfContender(
      program, "lock",
      "acquire a lock, print its key and hold it until SIGINT or SIGTERM; with -- COMMAND, hold it "
      "while that runs",
      *lock);
  verb->footer(
      "COMMAND gets RAFTKV_LOCK_KEY and RAFTKV_LOCK_REV in its environment. The latter is the "
      "fencing token, which rises from holder to holder: a resource is safe if it refuses a lower "
      "one than it has seen. The exit code is that of COMMAND. If the lock is lost, COMMAND gets "
      "SIGTERM, and after 5 s SIGKILL, and the exit code is 4. --timeout is for the cluster to "
      "answer; the wait for the lock has no limit.");
  verb->callback(
      [&program, lock] { program.run = [&program, lock] { return RunLock(program, *lock); }; });

  auto elect = std::make_shared<ContendFlags>();
  verb = AddVerbOfContender(
      program, "elect",
      "campaign with VALUE, print key and value once elected, and lead until SIGINT or SIGTERM",
      *elect);
  elect->value.AddTo(*verb, "VALUE", "what this candidate says while it leads");
  verb->add_flag("--listen", elect->listen,
                 "do not campaign: print key and value of each leader as it changes");
  verb->callback(
      [&program, elect] { program.run = [&program, elect] { return RunElect(program, *elect); }; });
}

}  // namespace raftkv::cmd
