#include "cmd/config_file.h"

#include <filesystem>
#include <set>
#include <vector>

#include <fmt/format.h>

namespace raftkv::cmd {
namespace {

// A file that is larger is no configuration.
constexpr std::uintmax_t kMaxFileBytes = 1 << 20;

// Empty: fine.
std::string Set(const CLI::ConfigItem& item, CLI::App& verb, std::set<std::string>& seen) {
  if (!item.parents.empty()) {
    return fmt::format("section [{}]: there are no sections, only flag = value", item.parents[0]);
  }
  CLI::Option* option = verb.get_option_no_throw("--" + item.name);
  if (option == nullptr || !option->get_configurable()) {
    return fmt::format("'{}' is no flag of raftkv {}", item.name, verb.get_name());
  }
  if (!seen.insert(item.name).second) return fmt::format("'{}' stands there twice", item.name);
  // A list (["n1=...", "n2=..."]) is what the command line joins by commas.
  const std::string value = fmt::format("{}", fmt::join(item.inputs, ","));
  if (item.inputs.size() > 1 && item.name != "cluster") {
    return fmt::format("'{}' takes one value; one with spaces or commas stands in quotes",
                       item.name);
  }
  if (value.empty()) return fmt::format("'{}' has no value", item.name);
  if (value.find_first_of("\"'") != std::string::npos) {
    return fmt::format("'{}' has a quotation mark inside its value", item.name);
  }
  if (option->count() > 0) return {};
  option->add_result(value);
  option->run_callback();
  return {};
}

}  // namespace

Status ReadConfigFile(const std::string& path, CLI::App& verb) {
  const auto bad = [&](const std::string& what) {
    return Status(Code::kInvalidArgument, fmt::format("--config {}: {}", path, what));
  };
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return bad("there is no such file");
  if (std::filesystem::file_size(path, error) > kMaxFileBytes) return bad("is too large");
  try {
    std::set<std::string> seen;
    for (const CLI::ConfigItem& item : CLI::ConfigTOML().from_file(path)) {
      const std::string problem = Set(item, verb, seen);
      if (!problem.empty()) return bad(problem);
    }
  } catch (const CLI::Error& failure) {
    return bad(failure.what());
  }
  return Status::Ok();
}

}  // namespace raftkv::cmd
