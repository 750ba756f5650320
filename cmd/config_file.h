// What does a configuration file say?
//
// TOML: one `flag = value` a line, the flag's name without its dashes, no sections. A flag on the
// command line wins over its environment variable, that over the file.
#pragma once

#include <string>

#include <CLI/CLI.hpp>

#include <raftkv/status.h>

namespace raftkv::cmd {

/// Sets the options of `verb` that were given neither on the command line nor in the environment.
/// InvalidArgument names the file, the line, and what is wrong; then some options may be set.
Status ReadConfigFile(const std::string& path, CLI::App& verb);

}  // namespace raftkv::cmd
