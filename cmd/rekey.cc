// The verb that changes the key of a stopped member's data folder: rekey.
#include "storage/member/rekey.h"

#include <iostream>
#include <memory>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "cmd/flags.h"
#include "cmd/output.h"

namespace raftkv::cmd {
namespace {

Exit RunRekey(storage::RekeyOptions options) {
  if (options.dir.empty()) {
    return Fail(Exit::kBadArguments, "--data-dir is missing: the folder of a stopped member");
  }
  options.log_sink = [](node::LogSeverity, const std::string& line) {
    std::cerr << "raftkv: " << line << std::endl;
  };
  const std::string becomes = options.new_key_file.empty()
                                  ? "is not encrypted"
                                  : "is encrypted with the key in " + options.new_key_file;
  const std::string dir = options.dir;
  const Result<storage::Rekeyed> done = storage::Rekey(std::move(options));
  if (!done.ok()) {
    const bool bad = done.code() == Code::kInvalidArgument;
    return Fail(bad ? Exit::kBadArguments : Exit::kError, done.status().message());
  }
  PrintLine(fmt::format("rewrote {} files, {} bytes; data folder {} {}", done->files, done->bytes,
                        dir, becomes));
  return FinishOutput();
}

}  // namespace

void AddRekeyVerb(Program& program) {
  auto options = std::make_shared<storage::RekeyOptions>();
  CLI::App* verb = program.app.add_subcommand(
      "rekey", "encrypt the data of a stopped member with a new key, or decrypt it");
  WithEnvironment(verb->add_option("--data-dir", options->dir, "data folder of the member"));
  verb->add_option("--old-key-file", options->old_key_file,
                   "current key (default: the data is not encrypted)");
  verb->add_option("--new-key-file", options->new_key_file, "new key (default: decrypt the data)");
  verb->callback([&program, options] { program.run = [options] { return RunRekey(*options); }; });
}

}  // namespace raftkv::cmd
