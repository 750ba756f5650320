#include "cmd/config_file.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include "cmd/input.h"

#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

namespace raftkv::cmd {
namespace {

// A file that is larger is no configuration.
constexpr std::size_t kMaxFileBytes = 1 << 20;

Status Wrong(const std::string& what) { return {Code::kInvalidArgument, what}; }

// A list (["n1=...", "n2=..."]) is what the command line joins by commas.
Result<std::string> JoinedList(const std::string& key, const toml::array& list) {
  if (key != "cluster") return Wrong(fmt::format("'{}' takes one value, not a list", key));
  std::string joined;
  for (const toml::node& node : list) {
    const auto* text = node.as_string();
    if (text == nullptr || text->get().empty() || text->get().find(',') != std::string::npos) {
      return Wrong("each element of 'cluster' must be a string NAME=HOST:PORT in quotes");
    }
    joined += (joined.empty() ? "" : ",") + text->get();
  }
  return joined;
}

// `node` as it would stand on the command line.
Result<std::string> TextOf(const std::string& key, const toml::node& node,
                           const CLI::Option& option) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* list = node.as_array()) return JoinedList(key, *list);
  if (const auto* number = node.as_integer()) {
    const std::string type = option.get_type_name();
    const bool counts = type.starts_with("NUMBER") || type.starts_with("BYTES");
    if (counts) return std::to_string(number->get());
  }
  if (const auto* on = node.as_boolean()) {
    if (option.get_items_expected_max() == 0) return std::string(on->get() ? "true" : "false");
  }
  return Wrong(fmt::format("'{}' takes a string in quotes", key));
}

Status Set(const std::string& key, const toml::node& node, CLI::App& verb) {
  if (node.is_table() || node.is_array_of_tables()) {
    return Wrong(fmt::format("section [{}]: sections are not supported, only flag = value", key));
  }
  CLI::Option* option = verb.get_option_no_throw("--" + key);
  if (option == nullptr || !option->get_configurable()) {
    return Wrong(fmt::format("'{}' is not a flag of raftkv {}", key, verb.get_name()));
  }
  const Result<std::string> value = TextOf(key, node, *option);
  if (!value.ok()) return value.status();
  if (value->empty()) return Wrong(fmt::format("'{}' has no value", key));
  if (value->find('\0') != std::string::npos) {
    return Wrong(fmt::format("'{}' has a zero byte in its value", key));
  }
  if (option->count() > 0) return Status::Ok();
  try {
    option->add_result(*value);
    option->run_callback();
  } catch (const CLI::Error& failure) {
    return Wrong(failure.what());
  }
  return Status::Ok();
}

}  // namespace

Status ReadConfigFile(const std::string& path, CLI::App& verb) {
  const auto bad = [&](std::string_view what) {
    return Wrong(fmt::format("--config {}: {}", path, what));
  };
  const Result<std::string> content = ReadWholeFile(path, kMaxFileBytes);
  if (!content.ok()) return bad(content.status().message());
  if (content->size() > kMaxFileBytes) return bad("is larger than 1 MiB");
  const toml::parse_result parsed = toml::parse(*content);
  if (!parsed) {
    return bad(fmt::format("line {}: {}", parsed.error().source().begin.line,
                           parsed.error().description()));
  }
  for (const auto& [key, node] : parsed.table()) {
    const Status set = Set(std::string(key.str()), node, verb);
    if (!set.ok()) return bad(fmt::format("line {}: {}", key.source().begin.line, set.message()));
  }
  return Status::Ok();
}

}  // namespace raftkv::cmd
