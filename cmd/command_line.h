// What does the command line say, and what is wrong with it?
//
// CLI11 reads it. What it would take for something else is told apart before and after: "++" is an
// argument like any other (CLI11 drops it), "--flag=" has no value (CLI11 takes the next argument
// for one), and what is left over is named in its order.
#pragma once

#include <raftkv/status.h>

#include "cmd/flags.h"

namespace raftkv::cmd {

/// Fills in `program`, all verbs of which were added; prints the help where that is asked for.
/// InvalidArgument says what is wrong.
Status ParseCommandLine(Program& program, int argc, char** argv);

}  // namespace raftkv::cmd
