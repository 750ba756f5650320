// Fills a member with small keys and deletes them all as one range; says how long that takes and
// how long other writes wait meanwhile.
// usage: bench_range_delete ENDPOINT KEYS
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <raftkv/client.h>

namespace raftkv {
namespace {

using std::chrono::steady_clock;

constexpr std::uint64_t kBatchPuts = 500;
constexpr std::size_t kUnderWay = 8;
constexpr std::chrono::seconds kPatience(120);

double SecondsSince(steady_clock::time_point begin) {
  return std::chrono::duration<double>(steady_clock::now() - begin).count();
}

std::string KeyOf(std::uint64_t number) {
  char text[40];
  std::snprintf(text, sizeof text, "range/%012llu", static_cast<unsigned long long>(number));
  return text;
}

bool Fill(KV& kv, std::uint64_t keys) {
  std::deque<std::future<bool>> open;
  bool ok = true;
  for (std::uint64_t i = 0; i < keys && ok;) {
    Batch batch;
    for (std::uint64_t n = 0; n < kBatchPuts && i < keys; ++n, ++i) {
      batch.Put(KeyOf(i), std::string(100, static_cast<char>('a' + i % 26)));
    }
    auto written = std::make_shared<std::promise<bool>>();
    open.push_back(written->get_future());
    WriteOptions patient;
    patient.timeout = kPatience;
    kv.WriteAsync(std::move(batch), patient,
                  [written](Result<WriteResult> result) { written->set_value(result.ok()); });
    while (open.size() > kUnderWay) {
      ok = open.front().get() && ok;
      open.pop_front();
    }
  }
  for (auto& written : open) ok = written.get() && ok;
  return ok;
}

int Run(const std::string& endpoint, std::uint64_t keys) {
  ClientOptions options;
  options.endpoints = {endpoint};
  auto client = Client::Connect(options);
  auto other = Client::Connect(options);
  if (!client.ok() || !other.ok()) return 1;
  auto begin = steady_clock::now();
  if (!Fill((*client)->kv(), keys)) return 1;
  std::printf("fill %.2f s\n", SecondsSince(begin));
  std::atomic<bool> stopping{false};
  std::vector<double> waits_ms;
  std::thread writer([&] {
    WriteOptions patient;
    patient.timeout = kPatience;
    while (!stopping) {
      const auto put_begin = steady_clock::now();
      if (!(*other)->kv().Put("other", "value", patient).ok()) std::printf("a put failed\n");
      waits_ms.push_back(SecondsSince(put_begin) * 1000);
    }
  });
  begin = steady_clock::now();
  WriteOptions patient;
  patient.timeout = kPatience;
  const auto deleted = (*client)->kv().DeleteRange(KeyRange::Prefix("range/"), patient);
  const double delete_s = SecondsSince(begin);
  stopping = true;
  writer.join();
  if (!deleted.ok()) {
    std::fprintf(stderr, "%s\n", deleted.status().ToString().c_str());
    return 1;
  }
  std::sort(waits_ms.begin(), waits_ms.end());
  std::printf("deleted %llu keys in %.2f s; %zu other puts: median %.1f ms, longest %.1f ms\n",
              static_cast<unsigned long long>(deleted->deleted), delete_s, waits_ms.size(),
              waits_ms[waits_ms.size() / 2], waits_ms.back());
  begin = steady_clock::now();
  const auto rest = (*client)->kv().Scan(KeyRange::Prefix("range/"));
  if (!rest.ok() || rest->count != 0) return 1;
  std::printf("scan of the empty range %.1f ms\n", SecondsSince(begin) * 1000);
  return 0;
}

}  // namespace
}  // namespace raftkv

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: bench_range_delete ENDPOINT KEYS\n");
    return 2;
  }
  return raftkv::Run(argv[1], std::strtoull(argv[2], nullptr, 10));
}
