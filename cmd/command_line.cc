#include "cmd/command_line.h"

#include <algorithm>
#include <iostream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "cmd/output.h"

namespace raftkv::cmd {
namespace {

// In CLI11 "++" ends a verb. An argument of the shell holds no zero byte, so that with one behind
// it the argument is none that CLI11 knows, and none that anybody could have typed.
constexpr std::string_view kPlusPlus = "++";
const std::string kHiddenPlusPlus("++\0", 3);

std::string Shown(const std::string& argument) {
  return argument == kHiddenPlusPlus ? std::string(kPlusPlus) : argument;
}

bool LooksLikeFlag(const std::string& argument) {
  return argument.size() > 1 && argument.front() == '-';
}

// "raftkv endpoint status": how the verb `app` is called.
std::string NameOf(const CLI::App& app) {
  const CLI::App* const parent = app.get_parent();
  return parent == nullptr ? app.get_name() : NameOf(*parent) + " " + app.get_name();
}

const CLI::App& LastVerb(const CLI::App& app) {
  const auto verbs = app.get_subcommands();
  return verbs.empty() ? app : LastVerb(*verbs.back());
}

bool HasVerbs(const CLI::App& app) {
  return !app.get_subcommands([](const CLI::App*) { return true; }).empty();
}

Status Wrong(const CLI::App& verb, const std::string& what) {
  return Status(Code::kInvalidArgument, fmt::format("{} (see {} --help)", what, NameOf(verb)));
}

// Of what nobody has taken.
Status Surplus(const CLI::App& root, const std::vector<std::string>& given) {
  std::vector<std::string> surplus = root.remaining(/*recurse=*/true);
  if (surplus.empty()) return Wrong(root, "an argument was not expected");
  std::transform(surplus.begin(), surplus.end(), surplus.begin(), Shown);
  const std::string& first = surplus.front();
  // What stands first is meant as a verb, even if one comes behind it.
  const CLI::App& verb = first == given.front() ? root : LastVerb(root);
  if (LooksLikeFlag(first))
    return Wrong(verb, fmt::format("{} has no flag {}", NameOf(verb), first));
  if (HasVerbs(verb)) return Wrong(verb, fmt::format("{} has no verb '{}'", NameOf(verb), first));
  return Wrong(verb,
               fmt::format("too many arguments for {}: {}", NameOf(verb), fmt::join(surplus, " ")));
}

// What a flag without a value may be set to, in its environment variable for example.
std::string CheckSwitch(const std::string& text) {
  static const std::vector<std::string> kTexts = {"true", "false", "1",   "0",
                                                  "on",   "off",   "yes", "no"};
  if (std::find(kTexts.begin(), kTexts.end(), text) != kTexts.end()) return {};
  return "'" + text + "' is neither true nor false";
}

void Prepare(CLI::App& app) {
  for (CLI::Option* option : app.get_options([](const CLI::Option*) { return true; })) {
    const auto show = [](std::string& text) {
      text = Shown(text);
      return std::string();
    };
    option->transform(CLI::Validator(show, ""));
    if (option->get_items_expected_max() == 0) {
      option->check(CLI::Validator([](std::string& text) { return CheckSwitch(text); }, ""));
    }
  }
  for (CLI::App* verb : app.get_subcommands([](CLI::App*) { return true; })) Prepare(*verb);
}

/// Takes what follows "--" off the arguments of a verb that runs a command: to CLI11 it would be
/// further positional arguments, such as END of the range if that is left out.
void TakeCommand(Program& program, std::vector<std::string>& given) {
  const auto verbs = program.app.get_subcommands([](const CLI::App*) { return true; });
  const auto is_verb = [&verbs](const std::string& argument) {
    return std::any_of(verbs.begin(), verbs.end(),
                       [&](const CLI::App* each) { return each->get_name() == argument; });
  };
  const auto verb = std::find_if(given.begin(), given.end(), is_verb);
  if (verb == given.end() || (*verb != "watch" && *verb != "lock")) return;
  const auto dashes = std::find(verb, given.end(), "--");
  if (dashes == given.end()) return;
  program.command.assign(std::next(dashes), given.end());
  given.erase(dashes, given.end());
}

}  // namespace

Status ParseCommandLine(Program& program, int argc, char** argv) {
  Prepare(program.app);
  std::vector<std::string> given(std::next(argv, std::min(argc, 1)), std::next(argv, argc));
  TakeCommand(program, given);
  std::vector<std::string> arguments;
  bool only_positional = false;
  for (const std::string& argument : given) {
    only_positional = only_positional || argument == "--";
    const bool without_value = argument.size() > 3 && argument.starts_with("--") &&
                               argument.find('=') == argument.size() - 1;
    if (!only_positional && without_value) {
      return Wrong(program.app,
                   fmt::format("{} has no value: leave the flag out, or give it one", argument));
    }
    const bool hide = !only_positional && argument == kPlusPlus;
    arguments.push_back(hide ? kHiddenPlusPlus : argument);
  }
  std::reverse(arguments.begin(), arguments.end());  // as CLI11 wants them
  try {
    program.app.parse(std::move(arguments));
  } catch (const CLI::Success& asked_for_help) {
    program.app.exit(asked_for_help, std::cout, std::cerr);
    program.run = FinishOutput;
  } catch (const CLI::ExtrasError&) {
    return Surplus(program.app, given);
  } catch (const CLI::ParseError& error) {
    return Wrong(LastVerb(program.app), error.what());
  }
  return Status::Ok();
}

}  // namespace raftkv::cmd
