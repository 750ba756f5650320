// The raftkv program: reads the command line and runs the one verb that it names.
#include <exception>
#include <iostream>
#include <memory>
#include <string>

#include <CLI/CLI.hpp>

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

Exit Main(int argc, char** argv) {
  Program program;
  program.app.name("raftkv");
  program.app.require_subcommand(0, 1);  // a wrong verb is named where none would be "required"
  AddClientFlags(program);
  AddServeVerb(program);
  AddGetVerb(program);
  AddKvVerbs(program);
  AddEndpointVerbs(program);
  AddMemberVerbs(program);
  AddSnapshotVerbs(program);
  AddBenchVerbs(program);
  AddRekeyVerb(program);
  AddMaelstromVerb(program);
  AddVersionVerb(program);
  try {
    program.app.parse(argc, argv);
  } catch (const CLI::Success& asked_for_help) {
    program.app.exit(asked_for_help, std::cout, std::cerr);
    return FinishOutput();
  } catch (const CLI::ParseError& error) {
    return Fail(Exit::kBadArguments, std::string(error.what()) + " (see raftkv --help)");
  }
  if (!program.run) return Fail(Exit::kBadArguments, "which verb? (see raftkv --help)");
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
