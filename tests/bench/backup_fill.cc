// Fills a member with values of which the first half is drawn, the rest text.
// usage: bench_backup_fill ENDPOINT MIB
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <future>
#include <memory>
#include <string>

#include <raftkv/client.h>

#include "lib/base/random.h"

namespace raftkv {
namespace {

constexpr std::size_t kValueBytes = 4096;
constexpr std::size_t kBatchPuts = 64;
constexpr std::size_t kUnderWay = 16;

std::string DrawValue(Random& chance) {
  std::string value;
  value.reserve(kValueBytes);
  while (value.size() < kValueBytes / 2) {
    std::uint64_t drawn = chance.Next();
    for (int i = 0; i < 8; ++i, drawn >>= 8) value.push_back(static_cast<char>(drawn));
  }
  while (value.size() < kValueBytes) value.append("raftkv! ");
  return value;
}

int Run(const std::string& endpoint, std::uint64_t mib) {
  ClientOptions options;
  options.endpoints = {endpoint};
  auto client = Client::Connect(options);
  if (!client.ok()) return 1;
  Random chance{1};
  std::deque<std::future<bool>> open;
  bool ok = true;
  const std::uint64_t values = mib * (1 << 20) / kValueBytes;
  for (std::uint64_t i = 0; i < values && ok;) {
    Batch batch;
    for (std::size_t n = 0; n < kBatchPuts && i < values; ++n, ++i) {
      batch.Put("key" + std::to_string(chance.Next()), DrawValue(chance));
    }
    auto written = std::make_shared<std::promise<bool>>();
    open.push_back(written->get_future());
    WriteOptions patient;
    patient.timeout = std::chrono::seconds(60);
    (*client)->kv().WriteAsync(std::move(batch), patient, [written](Result<WriteResult> result) {
      if (!result.ok()) std::fprintf(stderr, "%s\n", result.status().ToString().c_str());
      written->set_value(result.ok());
    });
    while (open.size() > kUnderWay) {
      ok = open.front().get() && ok;
      open.pop_front();
    }
  }
  for (auto& written : open) ok = written.get() && ok;
  return ok ? 0 : 1;
}

}  // namespace
}  // namespace raftkv

int main(int argc, char** argv) {
  if (argc != 3) return 128;
  return raftkv::Run(argv[1], std::strtoull(argv[2], nullptr, 10));
}
