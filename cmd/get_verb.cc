// The verb that reads: get.
#include <chrono>
#include <cstdint>
#include <iostream>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cmd/flags.h"
#include "cmd/output.h"
#include "cmd/range_flags.h"

namespace raftkv::cmd {
namespace {

struct GetFlags {
  RangeFlags keys;
  std::uint64_t limit = 0;
  std::string order = "ascend";
  const CLI::Option* order_given = nullptr;
  std::string sort_by = "key";
  bool reverse = false;
  std::uint64_t min_mod_revision = 0;
  std::uint64_t max_mod_revision = 0;
  std::uint64_t min_create_revision = 0;
  std::uint64_t max_create_revision = 0;
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

  /// The first answer is there, of a store at `revision`. Once; later calls do nothing.
  void Begin(Client& client, std::uint64_t revision) {
    if (std::exchange(begun_, true) || flags_.format() != Format::kJson) return;
    std::cout << R"({"header":)" << Dump(HeaderJson(client.LastHeader(), revision))
              << R"(,"kvs":[)";
  }

  void Pair(const KeyValue& kv) {
    switch (flags_.format()) {
      case Format::kSimple:
        if (!get_.print_value_only) PrintLine(ShowBytes(kv.key, flags_));
        if (!get_.keys_only) PrintLine(ShowBytes(kv.value, flags_));
        break;
      case Format::kJson: std::cout << (pairs_ ? "," : "") << Dump(PairJson(kv, flags_)); break;
      case Format::kTable:
        rows_.push_back({ShowCell(kv.key, flags_), ShowCell(kv.value, flags_),
                         std::to_string(kv.mod_revision)});
        break;
    }
    ++pairs_;
  }
  [[nodiscard]] std::uint64_t pairs() const { return pairs_; }

  /// The range was cut short: what was begun is ended, so that a reader of JSON has a document, and
  /// one that says so.
  Exit Cut(const Status& status) {
    if (flags_.format() == Format::kJson && begun_) {
      std::cout << R"(],"count":)" << pairs_ << R"(,"more":true,"error":)" << Dump(status.message())
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
  const ClientFlags& flags_;
  const GetFlags& get_;
  bool begun_ = false;
  std::uint64_t pairs_ = 0;
  std::vector<std::vector<std::string>> rows_;
};

Consistency ConsistencyOf(const std::string& name) {
  if (name == "local") return Consistency::kLocal;
  if (name == "lease") return Consistency::kLease;
  return name == "bounded" ? Consistency::kBounded : Consistency::kLinearizable;
}

OrderBy OrderOf(const std::string& name) {
  if (name == "mod" || name == "modify") return OrderBy::kModRevision;
  if (name == "create") return OrderBy::kCreateRevision;
  if (name == "version") return OrderBy::kVersion;
  return name == "value" ? OrderBy::kValue : OrderBy::kKey;
}

/// What is wrong with the flags, as a line to be printed; nullopt: nothing.
std::optional<std::string> Wrong(const GetFlags& get) {
  if (auto wrong = get.keys.Wrong()) return wrong;
  if (auto wrong = Contradiction({{"--keys-only", get.keys_only},
                                  {"--print-value-only", get.print_value_only},
                                  {"--count-only", get.count_only}})) {
    return wrong;
  }
  if (auto wrong =
          Contradiction({{"--order", get.order_given->count() > 0}, {"--reverse", get.reverse}})) {
    return wrong;
  }
  const auto above = [](std::uint64_t min, std::uint64_t max) { return max != 0 && min > max; };
  const char* const why = " is above its maximum, and no key is in between";
  if (above(get.min_mod_revision, get.max_mod_revision)) return std::string("--min-mod-rev") + why;
  if (above(get.min_create_revision, get.max_create_revision)) {
    return std::string("--min-create-rev") + why;
  }
  return std::nullopt;
}

ScanOptions OptionsOf(const ClientFlags& flags, const GetFlags& get) {
  ScanOptions options;
  options.timeout = flags.timeout.value;
  options.consistency = ConsistencyOf(get.consistency);
  options.max_staleness = get.max_staleness.value;
  options.limit = get.limit;
  options.revision = get.revision;
  options.keys_only = get.keys_only;
  options.count_only = get.count_only;
  options.order = OrderOf(get.sort_by);
  options.reverse = get.reverse || get.order == "descend";
  options.min_mod_revision = get.min_mod_revision;
  options.max_mod_revision = get.max_mod_revision;
  options.min_create_revision = get.min_create_revision;
  options.max_create_revision = get.max_create_revision;
  // Only JSON says it.
  options.skip_count = flags.format() != Format::kJson;
  return options;
}

Exit RunGet(const ClientFlags& flags, const GetFlags& get) {
  if (const auto wrong = Wrong(get)) return Fail(Exit::kBadArguments, *wrong);
  const ScanOptions options = OptionsOf(flags, get);
  ClientOptions client_options;
  client_options.follow_leader = options.consistency != Consistency::kLocal;
  auto client = Connect(flags, std::move(client_options));
  if (!client.ok()) return Fail(Exit::kBadArguments, client.status().message());

  using std::chrono::steady_clock;
  const auto deadline = steady_clock::now() + flags.timeout.value;
  PairPrinter printer(flags, get);
  RangeIterator it = (*client)->kv().Range(get.keys.range(), options);
  // Nobody takes the rest once stdout fails.
  while (std::cout.good() && it.Next()) {
    if (printer.pairs() > 0 && steady_clock::now() >= deadline) {
      return printer.Cut({Code::kDeadlineExceeded,
                          "the range could not be read within the timeout; raise --timeout"});
    }
    printer.Begin(**client, it.store_revision());
    printer.Pair(*it);
  }
  if (!it.status().ok()) return printer.Cut(it.status());
  printer.Begin(**client, it.store_revision());
  printer.End(it.count(), it.more());
  const Exit printed = FinishOutput();
  const bool missing = get.count_only ? it.count() == 0 : printer.pairs() == 0;
  if (get.fail_if_missing && missing) return Fail(Exit::kKeyMissing, "no such key");
  return printed;
}

/// An option that is the bound of a revision; 0 is none.
void AddBound(CLI::App& verb, const std::string& name, std::uint64_t& bound,
              const std::string& help) {
  verb.add_option(name, bound, help)
      ->check(IsNumber(0, std::numeric_limits<std::uint64_t>::max()))
      ->type_name("N");
}

void AddOrderFlags(CLI::App& verb, GetFlags& get) {
  verb.add_option("--limit", get.limit, "largest number of pairs to return; 0: no limit")
      ->check(IsNumber(0, std::numeric_limits<std::uint64_t>::max()))
      ->type_name("N");
  get.order_given = verb.add_option("--order", get.order, "ascend or descend")
                        ->transform(CLI::IsMember({"ascend", "descend"}, CLI::ignore_case))
                        ->capture_default_str();
  verb.add_flag("--reverse", get.reverse, "short for --order descend");
  verb.add_option("--sort-by", get.sort_by,
                  "key, create (revision), mod (revision), version or value; what is sorted by "
                  "anything but key has to fit into one answer")
      ->transform(
          CLI::IsMember({"key", "create", "mod", "modify", "version", "value"}, CLI::ignore_case))
      ->capture_default_str();
  AddBound(verb, "--min-mod-rev", get.min_mod_revision,
           "leave out keys that were last written before revision N");
  AddBound(verb, "--max-mod-rev", get.max_mod_revision,
           "leave out keys that were last written after revision N");
  AddBound(verb, "--min-create-rev", get.min_create_revision,
           "leave out keys that were created before revision N");
  AddBound(verb, "--max-create-rev", get.max_create_revision,
           "leave out keys that were created after revision N");
}

}  // namespace

void AddGetVerb(Program& program) {
  auto get = std::make_shared<GetFlags>();
  CLI::App* verb = program.AddClientVerb(program.app, "get", "read a key or the range [KEY, END)");
  get->keys.AddTo(*verb, "read");
  verb->add_option("--rev", get->revision,
                   "read the state right after this revision; 0: the latest")
      ->check(IsNumber(0, std::numeric_limits<std::uint64_t>::max()))
      ->type_name("N");
  AddOrderFlags(*verb, *get);
  verb->add_flag("--keys-only", get->keys_only, "print keys only");
  verb->add_flag("--print-value-only", get->print_value_only, "print values only");
  verb->add_flag("--count-only", get->count_only,
                 "print the number of keys in the range only, whatever the other flags");
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
