// The verb that reads: get.
#include <chrono>
#include <cstdint>
#include <iostream>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cmd/flags.h"
#include "cmd/output.h"

namespace raftkv::cmd {
namespace {

struct GetFlags {
  std::string key;
  Positional end;
  bool prefix = false;
  std::uint64_t limit = 0;
  std::uint64_t revision = 0;
  bool keys_only = false;
  bool print_value_only = false;
  bool count_only = false;
  bool fail_if_missing = false;
  std::string consistency = "linearizable";
  DurationFlag max_staleness{std::chrono::seconds(1)};
};

// Prints pairs as they come, page by page, so that a large range needs no memory here (a table
// does: its columns are as wide as the widest cell).
class PairPrinter {
 public:
  PairPrinter(const ClientFlags& flags, const GetFlags& get) : flags_(flags), get_(get) {}

  void Pairs(const Client::Header& header, const ScanResult& page) {
    if (flags_.format() == Format::kJson && !begun_) {
      std::cout << R"({"header":)" << Dump(HeaderJson(header, page.revision)) << R"(,"kvs":[)";
    }
    begun_ = true;
    for (const KeyValue& kv : page.kvs) Pair(kv);
  }

  /// The range was cut short: what was begun is ended, so that a reader of JSON has a document, and
  /// one that says so.
  Exit Cut(const Status& status, std::uint64_t count) {
    if (flags_.format() == Format::kJson && begun_) {
      std::cout << R"(],"count":)" << count << R"(,"more":true,"error":)" << Dump(status.message())
                << "}\n";
    }
    return Fail(status);
  }

  void End(std::uint64_t count, bool more) {
    switch (flags_.format()) {
      case Format::kSimple:
        if (get_.count_only) PrintLine(std::to_string(count));
        break;
      case Format::kJson:
        std::cout << R"(],"count":)" << count << R"(,"more":)" << (more ? "true" : "false")
                  << "}\n";
        break;
      case Format::kTable:
        if (get_.count_only) {
          PrintTable({"COUNT"}, {{std::to_string(count)}});
        } else {
          PrintTable({"KEY", "VALUE", "MOD_REVISION"}, rows_);
        }
        break;
    }
  }

 private:
  void Pair(const KeyValue& kv) {
    switch (flags_.format()) {
      case Format::kSimple:
        if (!get_.print_value_only) PrintLine(ShowBytes(kv.key, flags_));
        if (!get_.keys_only) PrintLine(ShowBytes(kv.value, flags_));
        break;
      case Format::kJson:
        std::cout << (pairs_ ? "," : "")
                  << Dump({{"key", JsonBytes(kv.key, flags_)},
                           {"value", JsonBytes(kv.value, flags_)},
                           {"create_revision", kv.create_revision},
                           {"mod_revision", kv.mod_revision},
                           {"version", kv.version},
                           {"lease", kv.lease}});
        break;
      case Format::kTable:
        rows_.push_back({ShowCell(kv.key, flags_), ShowCell(kv.value, flags_),
                         std::to_string(kv.mod_revision)});
        break;
    }
    ++pairs_;
  }

  const ClientFlags& flags_;
  const GetFlags& get_;
  bool begun_ = false;
  std::uint64_t pairs_ = 0;
  std::vector<std::vector<std::string>> rows_;
};

KeyRange RangeOf(const GetFlags& get) {
  if (get.prefix) return KeyRange::Prefix(get.key);
  return {get.key, get.end.given() ? get.end.text : get.key + '\0'};
}

Consistency ConsistencyOf(const std::string& name) {
  if (name == "local") return Consistency::kLocal;
  if (name == "lease") return Consistency::kLease;
  return name == "bounded" ? Consistency::kBounded : Consistency::kLinearizable;
}

Exit RunGet(const ClientFlags& flags, const GetFlags& get) {
  if (get.prefix && get.end.given())
    return Fail(Exit::kBadArguments, "either END or --prefix, not both");
  if (get.end.given() && get.end.text.empty()) return Fail(Exit::kBadArguments, "END is empty");
  if (get.key.empty() && !get.prefix) {
    return Fail(Exit::kBadArguments, "KEY is empty; every key: get \"\" --prefix");
  }
  ScanOptions options;
  options.consistency = ConsistencyOf(get.consistency);
  options.max_staleness = get.max_staleness.value;
  options.revision = get.revision;
  options.keys_only = get.keys_only;
  options.count_only = get.count_only;
  ClientOptions client_options;
  client_options.follow_leader = options.consistency != Consistency::kLocal;
  auto client = Connect(flags, std::move(client_options));
  if (!client.ok()) return Fail(Exit::kBadArguments, client.status().message());

  using std::chrono::steady_clock;
  const auto deadline = steady_clock::now() + flags.timeout.value;
  const KeyRange range = RangeOf(get);
  PairPrinter printer(flags, get);
  std::uint64_t count = 0;
  bool more = true;
  while (more) {
    options.limit = get.limit ? get.limit - count : 0;
    options.timeout = std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock::now());
    if (options.timeout.count() <= 0) {
      return printer.Cut({Code::kDeadlineExceeded,
                          "the range could not be read within the timeout; raise --timeout"},
                         count);
    }
    const auto page = (*client)->kv().Scan(range, options);
    if (!page.ok()) return printer.Cut(page.status(), count);
    printer.Pairs((*client)->LastHeader(), *page);
    count += page->count;
    more = page->more;
    if (!std::cout.good()) break;  // nobody takes the rest
    if (!more || page->kvs.empty() || count == get.limit) break;
    // All pages are of one state.
    options.continuation = page->continuation;
    if (options.continuation.empty()) {
      return printer.Cut(
          {Code::kVersionMismatch,
           "the member that answered keeps no state for the next page; upgrade it first"},
          count);
    }
  }
  printer.End(count, more);
  const Exit printed = FinishOutput();
  if (get.fail_if_missing && count == 0) return Fail(Exit::kKeyMissing, "no such key");
  return printed;
}

}  // namespace

void AddGetVerb(Program& program) {
  auto get = std::make_shared<GetFlags>();
  CLI::App* verb = program.AddClientVerb(program.app, "get", "read a key or the range [KEY, END)");
  verb->add_option("KEY", get->key)->required();
  get->end.AddTo(*verb, "END", "end of the range, exclusive");
  verb->add_option("--rev", get->revision,
                   "read the state right after this revision; 0: the latest")
      ->check(IsNumber(0, std::numeric_limits<std::uint64_t>::max()))
      ->type_name("N");
  verb->add_flag("--prefix", get->prefix, "read all keys with the prefix KEY");
  verb->add_option("--limit", get->limit, "largest number of pairs to return; 0: no limit")
      ->check(IsNumber(0, std::numeric_limits<std::uint64_t>::max()))
      ->type_name("N");
  auto* keys_only = verb->add_flag("--keys-only", get->keys_only, "print keys only");
  verb->add_flag("--print-value-only", get->print_value_only, "print values only")
      ->excludes(keys_only);
  verb->add_flag("--count-only", get->count_only, "print the number of keys only")
      ->excludes(keys_only);
  verb->add_flag("--fail-if-missing", get->fail_if_missing,
                 "exit with status 8 if no key is found");
  verb->add_option("--consistency", get->consistency,
                   "linearizable; lease: linearizable if no clock drifts beyond --clock-error, "
                   "without a round trip to a quorum; bounded: at most --max-staleness old; local: "
                   "the state of the member asked, without a quorum")
      ->check(CLI::IsMember({"linearizable", "lease", "bounded", "local"}))
      ->capture_default_str();
  verb->add_option("--max-staleness", get->max_staleness,
                   "staleness limit of --consistency bounded")
      ->check(IsDuration())
      ->type_name("DURATION")
      ->default_str("1s");
  verb->callback([&program, get] {
    program.run = [&client = program.client, get] { return RunGet(client, *get); };
  });
}

}  // namespace raftkv::cmd
