// The verbs that measure: bench put, bench get, bench txn.
#include <chrono>
#include <cstdint>
#include <memory>
#include <random>
#include <string>

#include <fmt/format.h>

#include "cmd/flags.h"
#include "cmd/histogram.h"
#include "cmd/load.h"
#include "cmd/output.h"

namespace raftkv::cmd {
namespace {

struct BenchFlags {
  LoadOptions load;
  std::uint32_t connections = 1;
  DurationFlag duration;
  bool no_coalesce = false;
};

constexpr std::uint64_t kDefaultTotal = 10'000;
constexpr std::uint64_t kMaxCount = 1'000'000'000'000;
constexpr std::uint64_t kMaxRate = 1'000'000'000;

void PrintResult(const ClientFlags& flags, const BenchFlags& bench, const std::string& operation,
                 const LoadResult& result, const Histogram& histogram) {
  const auto ms = [](std::uint64_t ns) { return static_cast<double>(ns) / 1e6; };
  const std::uint64_t ops = histogram.count();
  const double ops_per_s = result.seconds > 0 ? static_cast<double>(ops) / result.seconds : 0;
  const Json json = {{"op", operation},
                     {"clients", bench.load.clients},
                     {"connections", bench.connections},
                     {"value_size", bench.load.value_bytes},
                     {"ops", ops},
                     {"errors", result.errors},
                     {"seconds", result.seconds},
                     {"ops_per_s", ops_per_s},
                     {"p50_ms", ms(histogram.Quantile(0.5))},
                     {"p90_ms", ms(histogram.Quantile(0.9))},
                     {"p99_ms", ms(histogram.Quantile(0.99))},
                     {"p999_ms", ms(histogram.Quantile(0.999))},
                     {"max_ms", ms(histogram.max())}};
  if (flags.format() == Format::kJson) return PrintLine(Dump(json));
  std::vector<std::vector<std::string>> rows;
  for (const auto& [name, value] : json.items()) {
    rows.push_back({name, value.is_number_float() ? fmt::format("{:.3f}", value.get<double>())
                          : value.is_string()     ? value.get<std::string>()
                                                  : value.dump()});
  }
  PrintTable({operation, ""}, rows);
}

Exit RunBench(const ClientFlags& flags, BenchFlags& bench, const std::string& operation) {
  ClientOptions options;
  options.connections = bench.connections;
  options.coalesce = !bench.no_coalesce;
  auto client = Connect(flags, options);
  if (!client.ok()) return Fail(Exit::kBadArguments, client.status().message());

  LoadOptions& load = bench.load;
  load.operation = operation == "put"   ? LoadOptions::Operation::kPut
                   : operation == "txn" ? LoadOptions::Operation::kTxn
                                        : LoadOptions::Operation::kGet;
  load.duration = bench.duration.value;
  if (load.total == 0 && load.duration.count() == 0) load.total = kDefaultTotal;
  load.timeout = flags.timeout.value;
  load.seed = std::random_device()();
  const auto histogram = std::make_unique<Histogram>();
  const LoadResult result = Load(load, (*client)->kv(), *histogram).Run();
  PrintResult(flags, bench, operation, result, *histogram);
  const Exit printed = FinishOutput();
  if (result.errors == 0) return printed;
  return Fail(
      ExitOf(result.first_error.code()),
      fmt::format("{} calls failed, the first: {}", result.errors, result.first_error.message()));
}

void AddBenchVerb(Program& program, CLI::App& parent, const std::string& operation,
                  const std::string& help) {
  auto flags = std::make_shared<BenchFlags>();
  CLI::App* verb = program.AddClientVerb(parent, operation, help);
  const auto add = [verb](const std::string& name, auto& value, const std::string& text) {
    return verb->add_option(name, value, text)->type_name("N");
  };
  add("--clients", flags->load.clients, "number of concurrent calls")
      ->check(IsNumber(1, 100'000))
      ->capture_default_str();
  add("--connections", flags->connections, "number of connections that the calls are spread over")
      ->check(IsNumber(1, 1000))
      ->capture_default_str();
  auto* total = add("--total", flags->load.total,
                    "number of calls (default: 10000 unless --duration is given)")
                    ->check(IsNumber(1, kMaxCount));
  verb->add_option("--duration", flags->duration, "run for this long instead of --total calls")
      ->check(IsDuration())
      ->type_name("DURATION")
      ->excludes(total);
  add("--value-size", flags->load.value_bytes, "size of a value in bytes")
      ->check(IsNumber(0, Limits{}.max_value_bytes))
      ->capture_default_str();
  add("--key-space", flags->load.key_space, "number of distinct keys")
      ->check(IsNumber(1, kMaxCount))
      ->capture_default_str();
  add("--rate", flags->load.rate, "calls per second; 0: as fast as possible")
      ->check(IsNumber(0, kMaxRate))
      ->capture_default_str();
  verb->add_flag("--no-coalesce", flags->no_coalesce,
                 "send one request per call instead of gathering them");
  verb->callback([&program, flags, operation] {
    program.run = [&client = program.client, flags, operation] {
      return RunBench(client, *flags, operation);
    };
  });
}

}  // namespace

void AddBenchVerbs(Program& program) {
  CLI::App* bench = program.AddClientVerb(program.app, "bench", "measure throughput and latency");
  bench->require_subcommand(0, 1);
  AddBenchVerb(program, *bench, "put", "write random values to random keys");
  AddBenchVerb(program, *bench, "get", "read random keys, linearizable");
  AddBenchVerb(program, *bench, "txn", "read and write a random key in a transaction");
}

}  // namespace raftkv::cmd
