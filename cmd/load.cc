#include "cmd/load.h"

#include <utility>

#include <fmt/format.h>

#include "lib/base/check.h"

namespace raftkv::cmd {
namespace {

constexpr std::size_t kPoolBytes = 4 << 20;
// After a failed call: a cluster that refuses at once must not make us spin.
constexpr std::chrono::milliseconds kPauseAfterError(20);

}  // namespace

Load::Load(LoadOptions options, KV& kv, Histogram& histogram)
    : options_(options), kv_(kv), histogram_(histogram) {
  RAFTKV_CHECK(options_.clients > 0);
  RAFTKV_CHECK(options_.key_space > 0);
  RAFTKV_CHECK(options_.total > 0 || options_.duration.count() > 0);
  Random chance(options_.seed);
  pool_.reserve(kPoolBytes + options_.value_bytes);
  while (pool_.size() < kPoolBytes + options_.value_bytes) {
    const std::uint64_t bits = chance.Next();
    for (int shift = 0; shift < 64; shift += 8) pool_.push_back(static_cast<char>(bits >> shift));
  }
  for (std::uint32_t i = 0; i < options_.clients; ++i) clients_.emplace_back(chance.Next());
}

LoadResult Load::Run() {
  start_ = Clock::now();
  {
    const MutexLock lock(mutex_);
    running_ = options_.clients;
  }
  for (Client& client : clients_) Next(client);
  MutexLock lock(mutex_);
  while (running_ > 0) {
    if (parked_.empty()) {
      changed_.Wait(lock);
      continue;
    }
    const auto [until, client] = parked_.top();
    if (Clock::now() < until) {
      changed_.WaitUntil(lock, until);
      continue;
    }
    parked_.pop();
    lock.Unlock();
    Next(*client);
    lock.Lock();
  }
  result_.seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  return result_;
}

// Gives `client` its next call, at once or when it is due, or lets it go.
void Load::Next(Client& client) {
  const auto now = Clock::now();
  if (!client.due) {
    const std::uint64_t turn = turns_.fetch_add(1, std::memory_order_relaxed);
    if (options_.total > 0 && turn >= options_.total) return Finish();
    client.due = now;
    if (options_.rate > 0) {
      const std::chrono::duration<double> offset(static_cast<double>(turn) /
                                                 static_cast<double>(options_.rate));
      client.due = start_ + std::chrono::duration_cast<Clock::duration>(offset);
    }
  }
  if (options_.duration.count() > 0 && std::max(now, *client.due) - start_ >= options_.duration) {
    return Finish();
  }
  if (*client.due > now) return Park(client, *client.due);
  Send(client, *std::exchange(client.due, std::nullopt));
}

void Load::Send(Client& client, Clock::time_point due) {
  switch (options_.operation) {
    case LoadOptions::Operation::kPut:
      return kv_.PutAsync(
          RandomKey(client), RandomValue(client), {options_.timeout},
          [this, &client, due](Result<WriteResult> result) { Done(client, due, result.status()); });
    case LoadOptions::Operation::kGet:
      return kv_.GetAsync(RandomKey(client), {.timeout = options_.timeout},
                          [this, &client, due](Result<KeyValue> result) {
                            const bool missing = result.code() == Code::kNotFound;
                            Done(client, due, missing ? Status::Ok() : result.status());
                          });
    case LoadOptions::Operation::kTxn:
      return kv_.TxnAsync(
          RandomTxn(client), {options_.timeout},
          [this, &client, due](Result<TxnResult> result) { Done(client, due, result.status()); });
  }
}

void Load::Done(Client& client, Clock::time_point due, const Status& status) {
  const auto now = Clock::now();
  if (status.ok()) {
    histogram_.Record(static_cast<std::uint64_t>((now - due).count()));
    return Next(client);
  }
  {
    const MutexLock lock(mutex_);
    if (result_.errors++ == 0) result_.first_error = status;
  }
  Park(client, now + kPauseAfterError);
}

void Load::Park(Client& client, Clock::time_point until) {
  const MutexLock lock(mutex_);
  parked_.emplace(until, &client);
  changed_.NotifyOne();
}

void Load::Finish() {
  const MutexLock lock(mutex_);
  RAFTKV_CHECK(running_ > 0);
  if (--running_ == 0) changed_.NotifyOne();
}

std::string Load::RandomKey(Client& client) const {
  return fmt::format("bench/{:010}", client.chance.Below(options_.key_space));
}

std::string Load::RandomValue(Client& client) const {
  return pool_.substr(client.chance.Below(kPoolBytes), options_.value_bytes);
}

/// A read-modify-write: a compare that holds, a read and a put of one key.
TxnRequest Load::RandomTxn(Client& client) const {
  const std::string key = RandomKey(client);
  return {{Compare::Version(key, Compare::kLess, UINT64_MAX)},
          {Op::Get(key), Op::Put(key, RandomValue(client))},
          {}};
}

}  // namespace raftkv::cmd
