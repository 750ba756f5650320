// The verbs that write: put, del, cas, incr.
#include <unistd.h>

#include <charconv>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "cmd/flags.h"
#include "cmd/input.h"
#include "cmd/output.h"
#include "cmd/range_flags.h"

namespace raftkv::cmd {
namespace {

Result<std::string> ReadValueFromStdin(std::uint32_t max_value_bytes) {
  Result<std::string> value = ReadToEnd(STDIN_FILENO, max_value_bytes);
  if (!value.ok()) return Status(value.code(), "stdin " + value.status().message());
  if (value->size() > max_value_bytes) {
    return Status(Code::kInvalidArgument,
                  fmt::format("the value on stdin is larger than the limit of {} bytes; split "
                              "it over several keys",
                              max_value_bytes));
  }
  return value;
}

struct PutFlags {
  std::string key;
  Positional value;
};

Exit RunPut(const ClientFlags& flags, const PutFlags& put) {
  auto client = Connect(flags);
  if (!client.ok()) return Fail(Exit::kBadArguments, client.status().message());
  std::string value;
  if (put.value.given()) {
    value = put.value.text;
  } else {
    auto from_stdin = ReadValueFromStdin(Limits{}.max_value_bytes);
    if (from_stdin.code() == Code::kIOError) {
      return Fail(Exit::kFileError, from_stdin.status().message());
    }
    if (!from_stdin.ok()) return Fail(from_stdin.status());
    value = std::move(from_stdin).value();
  }
  const auto result = (*client)->kv().Put(put.key, std::move(value), {flags.timeout.value});
  if (!result.ok()) return Fail(result.status());
  PrintAnswer({"RESULT", "OK"}, (*client)->LastHeader(), result->revision, flags);
  return FinishOutput();
}

struct DelFlags {
  RangeFlags keys;
};

Exit RunDel(const ClientFlags& flags, const DelFlags& del) {
  if (const auto wrong = del.keys.Wrong()) return Fail(Exit::kBadArguments, *wrong);
  auto client = Connect(flags);
  if (!client.ok()) return Fail(Exit::kBadArguments, client.status().message());
  KV& kv = (*client)->kv();
  const WriteOptions options{flags.timeout.value};
  const auto result = del.keys.IsSingle() ? kv.Delete(del.keys.key, options)
                                          : kv.DeleteRange(del.keys.range(), options);
  if (!result.ok()) return Fail(result.status());
  PrintAnswer({"DELETED", std::to_string(result->deleted), {{"deleted", result->deleted}}},
              (*client)->LastHeader(), result->revision, flags);
  return FinishOutput();
}

struct CasFlags {
  std::string key;
  std::string first;
  Positional second;
  bool absent = false;
};

Exit RunCas(const ClientFlags& flags, const CasFlags& cas) {
  if (cas.absent == cas.second.given()) {
    return Fail(Exit::kBadArguments, "cas takes KEY EXPECTED NEW, or KEY NEW --absent");
  }
  auto client = Connect(flags);
  if (!client.ok()) return Fail(Exit::kBadArguments, client.status().message());
  const auto expected = cas.absent ? std::nullopt : std::optional(cas.first);
  const auto result = (*client)->kv().CompareAndSwap(
      cas.key, expected, cas.absent ? cas.first : cas.second.text, {flags.timeout.value});
  const bool succeeded = result.ok();
  const auto revision = succeeded ? std::optional(result->revision) : std::nullopt;
  if (!succeeded && result.code() != Code::kCompareFailed) return Fail(result.status());
  PrintAnswer({"RESULT", succeeded ? "SUCCESS" : "FAILURE", {{"succeeded", succeeded}}},
              (*client)->LastHeader(), revision, flags);
  const Exit printed = FinishOutput();
  return succeeded ? printed : Exit::kCompareFailed;
}

struct IncrFlags {
  std::string key;
  std::string delta = "1";
};

Exit RunIncr(const ClientFlags& flags, const IncrFlags& incr) {
  std::int64_t delta = 0;
  const char* begin = incr.delta.data();
  const char* const end = begin + incr.delta.size();
  if (incr.delta.size() > 1 && *begin == '+' && begin[1] != '-') ++begin;
  const auto [rest, error] = std::from_chars(begin, end, delta);
  if (error != std::errc() || rest != end) {
    return Fail(Exit::kBadInput,
                fmt::format("DELTA: '{}' is not a signed 64-bit decimal number", incr.delta));
  }
  auto client = Connect(flags);
  if (!client.ok()) return Fail(Exit::kBadArguments, client.status().message());
  const auto result = (*client)->kv().Increment(incr.key, delta, {flags.timeout.value});
  if (!result.ok()) return Fail(result.status());
  PrintAnswer({"VALUE", std::to_string(result->value), {{"value", result->value}}},
              (*client)->LastHeader(), result->revision, flags);
  return FinishOutput();
}

}  // namespace

void AddKvVerbs(Program& program) {
  const ClientFlags& client = program.client;

  auto put = std::make_shared<PutFlags>();
  CLI::App* verb = program.AddClientVerb(program.app, "put", "write a key");
  verb->add_option("KEY", put->key)->required();
  put->value.AddTo(*verb, "VALUE", "value to write (default: read from stdin)");
  verb->callback(
      [&program, &client, put] { program.run = [&client, put] { return RunPut(client, *put); }; });

  auto del = std::make_shared<DelFlags>();
  verb = program.AddClientVerb(program.app, "del", "delete a key or the range [KEY, END)");
  del->keys.AddTo(*verb, "delete");
  verb->callback(
      [&program, &client, del] { program.run = [&client, del] { return RunDel(client, *del); }; });

  auto cas = std::make_shared<CasFlags>();
  verb = program.AddClientVerb(program.app, "cas",
                               "replace a value if it is the expected one (compare-and-swap)");
  verb->add_option("KEY", cas->key)->required();
  verb->add_option("EXPECTED", cas->first, "value that the key must have; omitted with --absent")
      ->required();
  cas->second.AddTo(*verb, "NEW", "value to write");
  verb->add_flag("--absent", cas->absent,
                 "write only if the key does not exist: cas KEY NEW --absent");
  verb->callback(
      [&program, &client, cas] { program.run = [&client, cas] { return RunCas(client, *cas); }; });

  auto incr = std::make_shared<IncrFlags>();
  verb = program.AddClientVerb(program.app, "incr",
                               "add to a counter (a signed 64-bit decimal number)");
  verb->add_option("KEY", incr->key)->required();
  verb->add_option("DELTA", incr->delta)->capture_default_str();
  verb->callback([&program, &client, incr] {
    program.run = [&client, incr] { return RunIncr(client, *incr); };
  });
}

}  // namespace raftkv::cmd
