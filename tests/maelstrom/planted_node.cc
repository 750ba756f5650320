// raftkv_maelstrom_planted MUTANT maelstrom [FLAG...]: `raftkv maelstrom` with a bug of
// lib/base/mutants.h in it, which the stand-in for Maelstrom must find.
#include <iostream>
#include <string_view>

#include <CLI/CLI.hpp>

#include "cmd/flags.h"
#include "lib/base/mutants.h"

namespace raftkv::cmd {
namespace {

Mutant MutantNamed(std::string_view name) {
#define RAFTKV_PLANTED(mutant, row, what) \
  if (name == #mutant) return Mutant::mutant;
  RAFTKV_FOR_EACH_MUTANT(RAFTKV_PLANTED)
  RAFTKV_FOR_EACH_MAELSTROM_MUTANT(RAFTKV_PLANTED)
#undef RAFTKV_PLANTED
  return Mutant::kNone;
}

int Main(int argc, char** argv) {
  active_mutant = MutantNamed(argc > 1 ? argv[1] : "");
  if (active_mutant == Mutant::kNone) {
    std::cerr << "raftkv_maelstrom_planted: which mutant? (see lib/base/mutants.h)\n";
    return static_cast<int>(Exit::kBadArguments);
  }
  Program program;
  AddMaelstromVerb(program);
  CLI11_PARSE(program.app, argc - 1, argv + 1);
  return program.run ? static_cast<int>(program.run()) : 1;
}

}  // namespace
}  // namespace raftkv::cmd

int main(int argc, char** argv) { return raftkv::cmd::Main(argc, argv); }
