// The raftkv program: reads the command line and runs the one verb that it names.
#include <fcntl.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <exception>
#include <iostream>
#include <memory>
#include <string>

#include <CLI/CLI.hpp>

#include "cmd/command_line.h"
#include "cmd/exit_code.h"
#include "cmd/flags.h"
#include "cmd/output.h"
#include "lib/base/build_version.h"

namespace raftkv::cmd {
namespace {

void AddVersionVerb(Program& program) {
  CLI::App* verb = program.AddClientVerb(program.app, "version", "print the version");
  verb->callback([&program] {
    program.run = [&client = program.client] {
      switch (client.format()) {
        case Format::kSimple: PrintLine("raftkv " RAFTKV_VERSION); break;
        case Format::kJson: PrintLine(Dump({{"version", RAFTKV_VERSION}})); break;
        case Format::kTable: PrintTable({"VERSION"}, {{RAFTKV_VERSION}}); break;
      }
      return FinishOutput();
    };
  });
}

// The number of a closed stdin, stdout or stderr would be that of the next file that is opened, and
// an error message would go into a database. What stands there instead refuses to be read, or
// written, so that the verb says that it could not.
bool FillStandardFiles() {
  static constexpr std::array<int, 3> kModes = {O_WRONLY, O_RDONLY, O_RDWR};
  for (int file = 0; file < 3; ++file) {
    if (fcntl(file, F_GETFD) >= 0 || errno != EBADF) continue;
    if (open("/dev/null", kModes.at(static_cast<std::size_t>(file))) != file) return false;
  }
  return true;
}

Exit Main(int argc, char** argv) {
  if (!FillStandardFiles()) {
    return Fail(Exit::kError, "stdin, stdout or stderr is closed, and /dev/null cannot be opened");
  }
  signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is a full disk: the write says so
  Program program;
  program.app.name("raftkv");
  program.app.require_subcommand(0, 1);  // a wrong verb is named where none would be "required"
  AddClientFlags(program);
  AddServeVerb(program);
  AddGetVerb(program);
  AddKvVerbs(program);
  AddTxnVerb(program);
  AddHistoryVerbs(program);
  AddLeaseVerbs(program);
  AddWatchVerb(program);
  AddLockVerbs(program);
  AddEndpointVerbs(program);
  AddMemberVerbs(program);
  AddSnapshotVerbs(program);
  AddBenchVerbs(program);
  AddRekeyVerb(program);
  AddCertVerb(program);
  AddMaelstromVerb(program);
  AddVersionVerb(program);
  const Status parsed = ParseCommandLine(program, argc, argv);
  if (!parsed.ok()) return Fail(Exit::kBadArguments, parsed.message());
  if (!program.run) return Fail(Exit::kBadArguments, "a verb is needed (see raftkv --help)");
  return program.run();
}

}  // namespace
}  // namespace raftkv::cmd

int main(int argc, char** argv) {
  try {
    return static_cast<int>(raftkv::cmd::Main(argc, argv));
  } catch (const std::exception& error) {  // out of memory, no thread: nothing of ours
    return static_cast<int>(raftkv::cmd::Fail(raftkv::cmd::Exit::kError, error.what()));
  }
}
