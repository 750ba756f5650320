#include "cmd/flags.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "cmd/lease_id.h"

namespace raftkv::cmd {
namespace {

// A timeout of more is a mistake, and this much cannot overflow in nanoseconds.
constexpr std::int64_t kMaxDurationMs = std::int64_t{1000} * 86'400 * 365;

// The decimal digits at the beginning of `text`, which are taken off it. Nothing: there are none,
// there are too many, or they start with a zero that would mean octal elsewhere.
std::optional<std::uint64_t> TakeDigits(std::string_view& text) {
  std::uint64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  const auto digits = static_cast<std::size_t>(rest - text.data());
  if (error != std::errc() || (digits > 1 && text.front() == '0')) return std::nullopt;
  text.remove_prefix(digits);
  return number;
}

CLI::Validator IsBytesWith(std::string_view end, const std::string& examples) {
  const auto check = [end, examples](std::string& text) -> std::string {
    BytesFlag bytes;
    const bool has_end = text.ends_with("/s");
    if ((!has_end || end == "/s") && lexical_cast(text, bytes)) return {};
    return "'" + text + "' is not a size in bytes, such as " + examples;
  };
  return {check, ""};
}

}  // namespace

bool lexical_cast(const std::string& text, DurationFlag& duration) {
  static constexpr std::array<std::pair<std::string_view, std::int64_t>, 4> kUnits = {
      {{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}}};
  std::string_view rest = text;
  const auto number = TakeDigits(rest);
  if (!number) return false;
  for (const auto& [unit, factor] : kUnits) {
    if (rest != unit) continue;
    if (*number > static_cast<std::uint64_t>(kMaxDurationMs / factor)) return false;
    duration.value = std::chrono::milliseconds(static_cast<std::int64_t>(*number) * factor);
    return true;
  }
  return false;
}

CLI::Validator IsDuration() {
  const auto check = [](std::string& text) -> std::string {
    DurationFlag duration;
    if (lexical_cast(text, duration) && duration.value.count() > 0) return {};
    return "'" + text + "' is not a duration from 1ms to 8760h, such as 500ms, 5s or 1m";
  };
  return {check, ""};
}

bool lexical_cast(const std::string& text, BytesFlag& bytes) {
  static constexpr std::array<std::pair<std::string_view, unsigned>, 5> kUnits = {
      {{"", 0}, {"B", 0}, {"KiB", 10}, {"MiB", 20}, {"GiB", 30}}};
  std::string_view rest = text;
  if (rest.ends_with("/s")) rest.remove_suffix(2);
  const auto number = TakeDigits(rest);
  if (!number) return false;
  for (const auto& [unit, shift] : kUnits) {
    if (rest != unit) continue;
    if (*number > (std::numeric_limits<std::uint64_t>::max() >> shift)) return false;
    bytes.value = *number << shift;
    return true;
  }
  return false;
}

CLI::Validator IsBytes() { return IsBytesWith("", "65536, 64KiB, 256MiB or 1GiB"); }
CLI::Validator IsRate() { return IsBytesWith("/s", "65536, 64KiB/s, 256MiB/s or 1GiB/s"); }

bool lexical_cast(const std::string& text, LeaseIdFlag& id) {
  const auto number = ParseLeaseId(text);
  id.value = number.value_or(0);
  return number.has_value();
}

CLI::Validator IsLeaseId() {
  const auto check = [](std::string& text) -> std::string {
    return ParseLeaseId(text).has_value() ? std::string() : NoLeaseId(text);
  };
  return {check, ""};
}

CLI::Validator IsNumber(std::uint64_t min, std::uint64_t max) {
  const auto check = [min, max](std::string& text) -> std::string {
    std::string_view rest = text;
    const auto number = TakeDigits(rest);
    if (number && rest.empty() && *number >= min && *number <= max) return {};
    return fmt::format("'{}' is not a whole number from {} to {}", text, min, max);
  };
  return {check, ""};
}

CLI::Option* WithEnvironment(CLI::Option* option) {
  std::string name = "RAFTKV_" + option->get_lnames().front();
  for (char& c : name) {
    c = c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return option->envname(name);
}

Format ClientFlags::format() const {
  if (write_out == "json") return Format::kJson;
  return write_out == "table" ? Format::kTable : Format::kSimple;
}

std::vector<std::string> ClientFlags::endpoint_list() const {
  return CLI::detail::split(endpoints, ',');
}

CLI::App* Program::AddClientVerb(CLI::App& parent, const std::string& name,
                                 const std::string& help) {
  CLI::App* verb = parent.add_subcommand(name, help);
  verb->fallthrough();
  return verb;
}

void AddClientFlags(Program& program) {
  ClientFlags& flags = program.client;
  CLI::App& app = program.app;
  WithEnvironment(app.add_option("--endpoints", flags.endpoints, "members to connect to"))
      ->type_name("HOST:PORT,...")
      ->capture_default_str();
  WithEnvironment(app.add_option("--cluster-id", flags.cluster_id,
                                 "id of the cluster to talk to (default: the cluster of the first "
                                 "member reached)"))
      ->type_name("ID");
  WithEnvironment(app.add_option("--timeout", flags.timeout, "time limit for the whole command"))
      ->check(IsDuration())
      ->type_name("DURATION")
      ->default_str("5s");
  WithEnvironment(app.add_option("-w,--write-out", flags.write_out, "output format"))
      ->check(CLI::IsMember({"simple", "json", "table"}))
      ->capture_default_str();
  WithEnvironment(app.add_flag("--hex", flags.hex,
                               "print keys and values as hexadecimal escapes, such as \\x68\\x69"));
  WithEnvironment(app.add_flag("--json-strings", flags.json_strings,
                               "print keys and values in JSON as text instead of base64"));
  WithEnvironment(app.add_option("--cacert", flags.tls.cacert,
                                 "CA of the members' certificates (default: no TLS)"))
      ->type_name("FILE");
  WithEnvironment(app.add_option("--cert", flags.tls.cert,
                                 "certificate of this client, for members with --client-cert-auth"))
      ->type_name("FILE");
  WithEnvironment(app.add_option("--key", flags.tls.key, "private key of --cert"))
      ->type_name("FILE");
}

std::optional<std::uint32_t> ParseNumber(std::string_view text) {
  const auto number = TakeDigits(text);
  if (!number || !text.empty() || *number > std::numeric_limits<std::uint32_t>::max()) {
    return std::nullopt;
  }
  return static_cast<std::uint32_t>(*number);
}

Result<std::vector<MemberAddress>> ParseCluster(const std::string& text) {
  std::vector<MemberAddress> members;
  if (text.empty()) return members;
  for (const std::string& part : CLI::detail::split(text, ',')) {
    const auto equals = part.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == part.size()) {
      return Status(Code::kInvalidArgument,
                    fmt::format("--cluster: '{}' is not NAME=HOST:PORT", part));
    }
    members.push_back({part.substr(0, equals), part.substr(equals + 1)});
  }
  return members;
}

Result<QuorumOptions> ParseQuorum(std::string_view text) {
  using Kind = QuorumOptions::Kind;
  if (text == "majority") return QuorumOptions{Kind::kMajority};
  if (text == "zones") return QuorumOptions{Kind::kZones};
  constexpr std::string_view kFlexible = "flexible:";
  if (text.substr(0, kFlexible.size()) == kFlexible) {
    const std::string_view sizes = text.substr(kFlexible.size());
    const auto comma = sizes.find(',');
    if (comma != std::string_view::npos) {
      const auto commit = ParseNumber(sizes.substr(0, comma));
      const auto election = ParseNumber(sizes.substr(comma + 1));
      if (commit && election) return QuorumOptions{Kind::kFlexible, *commit, *election};
    }
  }
  return Status(
      Code::kInvalidArgument,
      fmt::format("--quorum: '{}' is not one of majority, zones, flexible:COMMIT,ELECTION", text));
}

Result<std::unique_ptr<Client>> Connect(const ClientFlags& flags, ClientOptions options) {
  options.endpoints = flags.endpoint_list();
  options.cluster = flags.cluster_id;
  options.tls = flags.tls;
  return Client::Connect(std::move(options));
}

}  // namespace raftkv::cmd
