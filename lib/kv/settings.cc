#include "lib/kv/settings.h"

#include <array>
#include <charconv>
#include <optional>

#include "lib/base/address.h"
#include "lib/kv/layout.h"
#include "lib/kv/record.h"

namespace raftkv::kv {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor = 1;
};

constexpr std::array<Unit, 5> kTimes = {
    {{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}}};
constexpr std::array<Unit, 4> kSizes = {
    {{"B", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}}};

struct Setting {
  std::string_view name;
  std::uint64_t Settings::*value = nullptr;
  bool is_time = false;
  std::uint64_t least = 0;
  std::uint64_t most = 0;
};

constexpr std::uint64_t kYearMs = 366ULL * 86'400'000;
constexpr std::uint64_t kMostBytes = 1ULL << 40;

constexpr std::array<Setting, 3> kSettings = {{
    {.name = "event-bytes", .value = &Settings::event_bytes, .least = 1 << 20, .most = 1 << 30},
    {.name = "history", .value = &Settings::history_ms, .is_time = true, .most = kYearMs},
    {.name = "history-bytes",
     .value = &Settings::history_bytes,
     .least = 1 << 20,
     .most = kMostBytes},
}};

template <std::size_t N>
std::optional<std::uint64_t> Parse(std::string_view text, const std::array<Unit, N>& units) {
  std::uint64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number);
  if (parsed.ec != std::errc()) return std::nullopt;
  const std::string_view rest(parsed.ptr, static_cast<std::size_t>(end - parsed.ptr));
  for (const Unit& unit : units) {
    std::uint64_t product = 0;
    const bool fits = !__builtin_mul_overflow(number, unit.factor, &product);
    if (rest == unit.name && fits) return product;
  }
  // A size may be a plain number of bytes.
  const bool is_plain = rest.empty() && units.front().name == kSizes.front().name;
  return is_plain ? std::optional(number) : std::nullopt;
}

template <std::size_t N>
std::string ShowNumber(std::uint64_t number, const std::array<Unit, N>& units) {
  const Unit* best = &units.front();
  for (const Unit& unit : units) {
    if (number != 0 && number % unit.factor == 0) best = &unit;
  }
  if (number == 0 && units.front().name == kTimes.front().name) return "0s";
  return std::to_string(number / best->factor) + std::string(best->name);
}

std::string ShowValue(const Setting& setting, std::uint64_t value) {
  return setting.is_time ? ShowNumber(value, kTimes) : ShowNumber(value, kSizes);
}

const Setting* Find(std::string_view name) {
  for (const Setting& setting : kSettings) {
    if (setting.name == name) return &setting;
  }
  return nullptr;
}

}  // namespace

Result<std::string> ChangeSetting(std::string_view name, std::string_view value,
                                  Settings& settings) {
  const Setting* const setting = Find(name);
  if (setting == nullptr) {
    std::string known;
    for (const Setting& one : kSettings) {
      known += (known.empty() ? "" : ", ") + std::string(one.name);
    }
    return Status(Code::kInvalidArgument,
                  "there is no setting " + Quoted(name) + ": there are " + known);
  }
  const auto number = setting->is_time ? Parse(value, kTimes) : Parse(value, kSizes);
  if (!number.has_value() || *number < setting->least || *number > setting->most) {
    const char* const how =
        setting->is_time ? "a duration such as 90s, 10m or 2h" : "a size such as 64MiB or 1GiB";
    return Status(Code::kInvalidArgument, std::string(name) + " cannot be " + Quoted(value) +
                                              ": it is " + how + ", from " +
                                              ShowValue(*setting, setting->least) + " to " +
                                              ShowValue(*setting, setting->most));
  }
  settings.*(setting->value) = *number;
  return ShowValue(*setting, *number);
}

std::vector<std::pair<std::string, std::string>> ShowSettings(const Settings& settings) {
  std::vector<std::pair<std::string, std::string>> shown;
  for (const Setting& setting : kSettings) {
    shown.emplace_back(setting.name, ShowValue(setting, settings.*(setting.value)));
  }
  return shown;
}

std::string SettingKey(std::string_view name) {
  return std::string(1, kSettingPrefix) + std::string(name);
}

Result<Settings> LoadSettings(View& view) {
  Settings settings;
  for (const Setting& setting : kSettings) {
    const auto record = view.Get(SettingKey(setting.name));
    if (!record.ok()) return record.status();
    if (!record->has_value()) continue;
    std::string_view value = **record;
    if (Status status = TakeFormatVersion(value, "a setting"); !status.ok()) return status;
    if (!ChangeSetting(setting.name, value, settings).ok()) {
      return Status(Code::kCorruption,
                    "the record of the setting " + std::string(setting.name) + " is damaged");
    }
  }
  return settings;
}

}  // namespace raftkv::kv
