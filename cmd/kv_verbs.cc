// The verbs that write: put, del, cas, incr.
#include <unistd.h>

#include <charconv>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

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

/// What was there before, behind the answer in simple output.
void AddPrevious(const std::vector<KeyValue>& previous, const ClientFlags& flags, Answer& answer) {
  for (const KeyValue& kv : previous) {
    answer.simple += '\n' + ShowBytes(kv.key, flags) + '\n' + ShowBytes(kv.value, flags);
  }
}

struct PutFlags {
  std::string key;
  Positional value;
  bool prev_kv = false;
  LeaseIdFlag lease;
  bool ignore_value = false;
  bool ignore_lease = false;
};

Exit RunPut(const ClientFlags& flags, const PutFlags& put) {
  if (put.ignore_value && put.value.given()) {
    return Fail(Exit::kBadArguments, "put takes KEY with --ignore-value, and no VALUE");
  }
  auto client = Connect(flags);
  if (!client.ok()) return Fail(Exit::kBadArguments, client.status().message());
  std::string value;
  if (put.value.given()) {
    value = put.value.text;
  } else if (!put.ignore_value) {
    auto from_stdin = ReadValueFromStdin(Limits{}.max_value_bytes);
    if (from_stdin.code() == Code::kIOError) {
      return Fail(Exit::kFileError, from_stdin.status().message());
    }
    if (!from_stdin.ok()) return Fail(from_stdin.status());
    value = std::move(from_stdin).value();
  }
  const auto result = (*client)->kv().Put(put.key, std::move(value),
                                          {.timeout = flags.timeout.value,
                                           .return_previous = put.prev_kv,
                                           .lease = put.lease.value,
                                           .keep_value = put.ignore_value,
                                           .keep_lease = put.ignore_lease});
  if (!result.ok()) return Fail(result.status());
  Answer answer{"RESULT", "OK"};
  if (result->previous.has_value()) {
    answer.fields["prev_kv"] = PairJson(*result->previous, flags);
    if (flags.format() == Format::kSimple) AddPrevious({*result->previous}, flags, answer);
  }
  PrintAnswer(answer, (*client)->LastHeader(), result->revision, flags);
  return FinishOutput();
}

struct DelFlags {
  RangeFlags keys;
  bool prev_kv = false;
};

Exit RunDel(const ClientFlags& flags, const DelFlags& del) {
  if (const auto wrong = del.keys.Wrong()) return Fail(Exit::kBadArguments, *wrong);
  auto client = Connect(flags);
  if (!client.ok()) return Fail(Exit::kBadArguments, client.status().message());
  KV& kv = (*client)->kv();
  const WriteOptions options{flags.timeout.value, del.prev_kv};
  const auto result = del.keys.IsSingle() ? kv.Delete(del.keys.key, options)
                                          : kv.DeleteRange(del.keys.range(), options);
  if (!result.ok()) return Fail(result.status());
  Answer answer{"DELETED", std::to_string(result->deleted), {{"deleted", result->deleted}}};
  if (del.prev_kv) {
    Json& previous = answer.fields["prev_kvs"] = Json::array();
    for (const KeyValue& kv : result->previous) previous.push_back(PairJson(kv, flags));
    if (flags.format() == Format::kSimple) AddPrevious(result->previous, flags, answer);
  }
  PrintAnswer(answer, (*client)->LastHeader(), result->revision, flags);
  return FinishOutput();
}

struct CasFlags {
  std::string key;
  std::string first;
  Positional second;
  bool absent = false;
  std::optional<std::uint64_t> mod_revision;
  LeaseIdFlag lease;
};

Compare ConditionOf(const CasFlags& cas) {
  if (cas.absent) return Compare::Missing(cas.key);
  if (cas.mod_revision.has_value()) {
    return Compare::ModRevision(cas.key, Compare::kEqual, *cas.mod_revision);
  }
  return Compare::Value(cas.key, Compare::kEqual, cas.first);
}

Exit RunCas(const ClientFlags& flags, const CasFlags& cas) {
  const bool without_expected = cas.absent || cas.mod_revision.has_value();
  if (without_expected == cas.second.given() || (cas.absent && cas.mod_revision.has_value())) {
    return Fail(Exit::kBadArguments,
                "cas takes KEY EXPECTED NEW, KEY NEW --absent, or KEY NEW --mod-revision N");
  }
  auto client = Connect(flags);
  if (!client.ok()) return Fail(Exit::kBadArguments, client.status().message());
  WriteOptions options{flags.timeout.value};
  options.lease = cas.lease.value;
  const auto result = (*client)->kv().Swap(ConditionOf(cas),
                                           without_expected ? cas.first : cas.second.text, options);
  if (!result.ok()) return Fail(result.status());
  Answer answer{
      "RESULT", result->succeeded ? "SUCCESS" : "FAILURE", {{"succeeded", result->succeeded}}};
  if (result->current.has_value()) answer.fields["kv"] = PairJson(*result->current, flags);
  // A failed one has written nothing, so that there is no revision of it.
  const auto revision = result->succeeded ? std::optional(result->revision) : std::nullopt;
  PrintAnswer(answer, (*client)->LastHeader(), revision, flags);
  const Exit printed = FinishOutput();
  return result->succeeded ? printed : Exit::kCompareFailed;
}

struct IncrFlags {
  std::string key;
  std::string delta = "1";
  LeaseIdFlag lease;
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
  WriteOptions options{flags.timeout.value};
  options.lease = incr.lease.value;
  const auto result = (*client)->kv().Increment(incr.key, delta, options);
  if (!result.ok()) return Fail(result.status());
  PrintAnswer({"VALUE", std::to_string(result->value), {{"value", result->value}}},
              (*client)->LastHeader(), result->revision, flags);
  return FinishOutput();
}

CLI::Option* AddLeaseFlag(CLI::App& verb, LeaseIdFlag& lease) {
  return verb
      .add_option("--lease", lease,
                  "ID of the lease to attach the key to, which deletes it when it ends (default: "
                  "none, also if the key was attached to one)")
      ->check(IsLeaseId())
      ->type_name("ID");
}

}  // namespace

void AddKvVerbs(Program& program) {
  const ClientFlags& client = program.client;

  auto put = std::make_shared<PutFlags>();
  CLI::App* verb = program.AddClientVerb(program.app, "put", "write a key");
  verb->add_option("KEY", put->key)->required();
  put->value.AddTo(*verb, "VALUE", "value to write (default: read from stdin)");
  verb->add_flag("--prev-kv", put->prev_kv, "print the pair that was there before");
  verb->add_flag("--ignore-value", put->ignore_value,
                 "leave the value of the key as it is; the key must exist");
  verb->add_flag("--ignore-lease", put->ignore_lease,
                 "leave the key attached to its lease; the key must exist")
      ->excludes(AddLeaseFlag(*verb, put->lease));
  verb->callback(
      [&program, &client, put] { program.run = [&client, put] { return RunPut(client, *put); }; });

  auto del = std::make_shared<DelFlags>();
  verb = program.AddClientVerb(program.app, "del", "delete a key or the range [KEY, END)");
  del->keys.AddTo(*verb, "delete");
  verb->add_flag("--prev-kv", del->prev_kv, "print the pairs that were deleted");
  verb->callback(
      [&program, &client, del] { program.run = [&client, del] { return RunDel(client, *del); }; });

  auto cas = std::make_shared<CasFlags>();
  verb = program.AddClientVerb(program.app, "cas",
                               "replace a value if it is the expected one (compare-and-swap)");
  verb->add_option("KEY", cas->key)->required();
  verb->add_option("EXPECTED", cas->first,
                   "value that the key must have; omitted with --absent and --mod-revision")
      ->required();
  cas->second.AddTo(*verb, "NEW", "value to write");
  verb->add_flag("--absent", cas->absent,
                 "write only if the key does not exist: cas KEY NEW --absent");
  verb->add_option("--mod-revision", cas->mod_revision,
                   "write only if the key was last modified at this revision (0: if it does not "
                   "exist): cas KEY NEW --mod-revision N")
      ->check(IsNumber(0, std::numeric_limits<std::uint64_t>::max()))
      ->type_name("N");
  AddLeaseFlag(*verb, cas->lease);
  verb->callback(
      [&program, &client, cas] { program.run = [&client, cas] { return RunCas(client, *cas); }; });

  auto incr = std::make_shared<IncrFlags>();
  verb = program.AddClientVerb(program.app, "incr",
                               "add to a counter (a signed 64-bit decimal number)");
  verb->add_option("KEY", incr->key)->required();
  verb->add_option("DELTA", incr->delta)->capture_default_str();
  AddLeaseFlag(*verb, incr->lease);
  verb->callback([&program, &client, incr] {
    program.run = [&client, incr] { return RunIncr(client, *incr); };
  });
}

}  // namespace raftkv::cmd
