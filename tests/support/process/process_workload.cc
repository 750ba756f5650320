#include "tests/support/process/process_workload.h"

#include <algorithm>
#include <charconv>

namespace raftkv::test {
namespace {

constexpr std::size_t kMaxProblems = 20;

void RaiseTo(std::atomic<std::uint64_t>& number, std::uint64_t value) {
  std::uint64_t now = number.load();
  while (now < value && !number.compare_exchange_weak(now, value)) {
  }
}

}  // namespace

std::uint64_t CountedKey::Floor() const { return std::max(acknowledged.load(), seen.load()); }

std::string CountedKey::Check(const Result<KeyValue>& answer, std::uint64_t floor) {
  std::uint64_t number = 0;
  if (answer.ok()) {
    const std::string& value = answer->value;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error != std::errc() || *end != '\0') return key + ": '" + value + "' was never written";
  } else if (answer.code() != Code::kNotFound) {
    return key + ": " + answer.status().ToString();
  }
  if (number > begun) return key + ": " + std::to_string(number) + " was never written";
  RaiseTo(seen, number);
  if (number >= floor) return {};
  return key + " went back: " + std::to_string(number) + " was read, but " + std::to_string(floor) +
         " was acknowledged or read before";
}

Workload::Workload(ProcessCluster& cluster, Options options) : options_(options) {
  for (std::size_t i = 0; i < options_.writers; ++i) {
    keys_.push_back(std::make_unique<CountedKey>());
    keys_.back()->key = "w" + std::to_string(i);
  }
  for (std::size_t i = 0; i < options_.writers + options_.readers + 1; ++i) {
    clients_.push_back(cluster.Connect(i));
  }
  for (std::size_t i = 0; i < clients_.size(); ++i) {
    threads_.emplace_back([this, i] {
      Client& client = *clients_[i];
      if (i < keys_.size()) return Write(*keys_[i], client);
      if (i == keys_.size()) return Increment(client);
      Read(client);
    });
  }
}

void Workload::Stop() {
  stop_ = true;
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

bool Workload::WaitForProgress(std::uint64_t count, std::chrono::milliseconds timeout) {
  std::vector<std::uint64_t> wanted;
  for (const auto& key : keys_) wanted.push_back(key->acknowledged + count);
  return WaitFor(timeout, [&] {
    for (std::size_t i = 0; i < keys_.size(); ++i) {
      if (keys_[i]->acknowledged < wanted[i]) return false;
    }
    return true;
  });
}

std::vector<std::string> Workload::Problems() {
  const std::lock_guard lock(mutex_);
  return problems_;
}

void Workload::Report(const std::string& problem) {
  const std::lock_guard lock(mutex_);
  if (problems_.size() < kMaxProblems) problems_.push_back(problem);
}

void Workload::Write(CountedKey& key, Client& client) {
  while (!stop_) {
    const std::uint64_t number = ++key.begun;
    const auto result = client.kv().Put(key.key, std::to_string(number), {options_.timeout});
    if (!result.ok()) return Report("put " + key.key + ": " + result.status().ToString());
    key.acknowledged = number;
  }
}

void Workload::Increment(Client& client) {
  while (!stop_) {
    const auto result = client.kv().Increment("counter", 1, {options_.timeout});
    if (!result.ok()) return Report("incr: " + result.status().ToString());
    const std::uint64_t expected = ++increments_;
    if (static_cast<std::uint64_t>(result->value) != expected) {
      Report("incr returned " + std::to_string(result->value) + " instead of " +
             std::to_string(expected));
      return;
    }
  }
}

void Workload::Read(Client& client) {
  for (std::size_t i = 0; !stop_; ++i) {
    CountedKey& key = *keys_[i % keys_.size()];
    const std::uint64_t floor = key.Floor();
    const auto answer = client.kv().Get(key.key, {.timeout = options_.timeout});
    const std::string problem = key.Check(answer, floor);
    if (!problem.empty()) return Report("get " + problem);
    ++reads_;
  }
}

}  // namespace raftkv::test
