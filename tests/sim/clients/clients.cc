#include "tests/sim/clients/clients.h"

#include <algorithm>
#include <utility>

#include "tests/sim/world.h"

namespace raftkv::sim {

namespace {

constexpr std::uint32_t kReopenPpm = 4'000;
constexpr auto kLastTimeout = std::chrono::seconds(5);
constexpr Nanos kLastAgain = 100 * kMillisecond;

/// The call was not carried out, and says so.
bool SaysFailed(Code code) {
  return code == Code::kUnavailable || code == Code::kDeadlineExceeded ||
         code == Code::kSessionExpired || code == Code::kNotLeader || code == Code::kCancelled ||
         code == Code::kNoSpace;
}

}  // namespace

Clients::Client::Client(World& world, std::uint32_t client_id, const ClientPlan& plan)
    : id(client_id),
      channel(world, "c" + std::to_string(client_id),
              {.follow_leader_ppm = plan.follow_leader_ppm,
               .drop_answer_ppm = plan.drop_answer_ppm,
               .chance = world.chance().clients,
               .delays = world.chance().network}) {}

Clients::Clients(World& world) : world_(world), loop_(world) {}
Clients::~Clients() = default;

// --- Their lives.

void Clients::Open(Client& client) {
  node::SessionKvOptions options;
  options.coalesce = world_.plan().clients.coalesce;
  options.seed = world_.chance().clients.Next();
  client.kv = node::NewSessionKv(loop_, client.channel, options);
}

Clients::Client& Clients::Add() {
  const auto id = static_cast<std::uint32_t>(clients_.size() + 1);
  clients_.push_back(std::make_unique<Client>(world_, id, world_.plan().clients));
  Open(*clients_.back());
  return *clients_.back();
}

void Clients::Start() {
  const ClientPlan& plan = world_.plan().clients;
  for (int i = 0; i < plan.sessions; ++i) Next(Add());
  writer_ = &Add();
  reader_ = &Add();
  for (int i = 0; i < plan.raw; ++i) {
    const auto id = static_cast<std::uint32_t>(clients_.size() + raw_.size() + 1);
    raw_.push_back(std::make_unique<RawClient>(world_, id));
    RawNext(*raw_.back());
  }
  LeasedNext();
}

void Clients::RawNext(RawClient& client) {
  const Nanos wait = Between(world_.chance().clients, 0, 2 * world_.plan().clients.mean_interval);
  world_.At(wait, [this, &client] {
    if (ending_) return;
    if (NextOperation() && !Lulls()) client.Step();
    RawNext(client);
  });
}

/// False: it is left out of this run.
bool Clients::NextOperation() {
  const std::uint64_t number = ++world_.stats().operation_steps;
  world_.chance().clients = StreamOf(world_.plan().seed ^ 0x4a00, number);
  return world_.plan().skipped_operations.count(number) == 0;
}

void Clients::Next(Client& client) {
  Random& random = world_.chance().clients;
  Nanos wait = Between(random, 0, 2 * world_.plan().clients.mean_interval);
  const auto life = static_cast<Nanos>(world_.plan().store.session_life_ms) * kMillisecond;
  if (life < 10 * kSecond && Chance(random, world_.plan().clients.idle_ppm)) {
    world_.Count(Fault::kSessionIdle);
    wait = life + kSecond;
  }
  world_.At(wait, [this, &client] {
    if (ending_) return;
    const bool takes_place = NextOperation();
    if (Chance(world_.chance().clients, kReopenPpm)) Open(client);  // and its open calls end
    if (takes_place && client.open < kMaxOpen && !Lulls()) Operate(client);
    Next(client);
  });
}

void Clients::HostDown(const Host& host) {
  for (const auto& client : clients_) client->channel.HostDown(host);
}

void Clients::Leave(const Host& host) {
  for (const auto& client : clients_) {
    if (client.get() == writer_ || client.get() == reader_) continue;
    client->channel.HostDown(host);
    client->channel.Block(host.index);
  }
}

void Clients::Return(const Host& host) {
  for (const auto& client : clients_) {
    if (client.get() == writer_ || client.get() == reader_) continue;
    client->channel.Unblock(host.index);
  }
}

void Clients::Lull(Nanos time) { lull_until_ = world_.now() + time; }
bool Clients::Lulls() const { return world_.now() < lull_until_; }

void Clients::Stop() {
  stopped_ = true;
  for (const auto& client : clients_) {
    client->kv.reset();
    client->channel.Stop();
  }
  loop_.Drop();
}

/// Also without faults a session may have expired while an answer was lost: then the client asks
/// again.
void Clients::OnLastWrite(Client& client, bool ok) {
  if (ok) client.last_written = true;
  if (ok || stopped_) return;
  world_.At(kLastAgain, [this, &client] { Put(client, kLastTimeout, true); });
}

void Clients::WriteOnceEach() {
  ending_ = true;
  for (const auto& client : clients_) Put(*client, kLastTimeout, true);
  for (const auto& client : raw_) client->WriteUntilDone();
}

bool Clients::Done() const {
  return std::all_of(
             clients_.begin(), clients_.end(),
             [](const auto& client) { return client->open == 0 && client->last_written; }) &&
         std::all_of(raw_.begin(), raw_.end(),
                     [](const auto& client) { return client->last_written(); });
}

bool Clients::AllAnswered() const {
  return std::all_of(clients_.begin(), clients_.end(),
                     [](const auto& client) { return client->channel.AllAnswered(); });
}

std::string Clients::WhatIsOpen() const {
  for (const auto& client : clients_) {
    if (client->open > 0)
      return "an operation of client " + std::to_string(client->id) +
             " does not end though faults have stopped";
    if (!client->last_written)
      return "the last write of client " + std::to_string(client->id) +
             " failed though faults have stopped";
  }
  return "the last write of a raw client is not answered though faults have stopped";
}

void Clients::CountRaw() {
  for (const auto& client : raw_) client->Finish();
}

// --- Their operations.

std::string Clients::DrawKey() {
  return "k" + std::to_string(world_.chance().clients.Below(
                   static_cast<std::uint64_t>(world_.plan().clients.keys)));
}
std::string Clients::DrawCounter() {
  return "n" + std::to_string(world_.chance().clients.Below(
                   static_cast<std::uint64_t>(world_.plan().clients.counters)));
}

std::chrono::milliseconds Clients::Timeout() const {
  return std::chrono::milliseconds(world_.plan().clients.timeout / kMillisecond);
}

void Clients::Operate(Client& client) {
  const std::uint64_t draw = world_.chance().clients.Below(100);
  if (draw < 32) {
    Put(client, Timeout(), false);
  } else if (draw < 60) {
    Get(client, world_.plan().core.lease_reads && draw % 2 == 0 ? Consistency::kLease
                                                                : Consistency::kLinearizable);
  } else if (draw < 62) {
    Get(client, Consistency::kLocal);
  } else if (draw < 65) {
    Get(client, Consistency::kBounded);
  } else if (draw < 70) {
    Delete(client);
  } else if (draw < 80) {
    CompareAndSwap(client);
  } else if (draw < 92) {
    Increment(client);
  } else if (draw < 95) {
    WriteBatch(client);
  } else if (draw < 97) {
    world_.chance().clients.Below(3) == 0 ? ReadTxn(client) : Txn(client);
  } else if (draw < 99) {
    Scan(client);
  } else {
    DeleteRange(client);
  }
}

Clients::Call Clients::Begin(Client& client, OpKind kind, test::ClientOp op,
                             const std::string& key) {
  ++client.open;
  history_.set_time_ms(static_cast<std::uint64_t>(world_.now() / kMillisecond));
  const bool stale = kind == OpKind::kLocalGet || kind == OpKind::kBoundedGet;
  Call call{&client, kind, 0, key, write_floor_, !stale};
  call.begun = world_.now();
  if (kind == OpKind::kGet || kind == OpKind::kLeaseGet) call.floor = FloorOf(key, world_.now());
  if (kind == OpKind::kBoundedGet) {
    call.floor = FloorOf(key, world_.now() - InTrueTime(world_.plan().clients.max_staleness));
  }
  if (kind == OpKind::kLocalGet) call.floor = 0;
  if (!call.recorded) return call;
  call.id = history_.Invoke(client.id, std::move(op));
  if (world_.telling()) world_.Trace("%s", history_.Describe(call.id).c_str());
  return call;
}

void Clients::Put(Client& client, std::chrono::milliseconds timeout, bool last) {
  const std::string key = DrawKey();
  const std::string value = NewValue(client.id);
  const Call call = Begin(client, OpKind::kPut, test::ClientOp::Put(key, value), key);
  client.kv->PutAsync(key, value, {timeout}, [this, call, last](const Result<WriteResult>& result) {
    if (last) OnLastWrite(*call.client, result.ok());
    if (result.ok() && !stopped_) {
      auto& floors = key_floor_[call.key];
      if (floors.empty() || floors.back().second < result->revision) {
        floors.emplace_back(world_.now(), result->revision);
      }
    }
    EndWrite(call, result.status(), result.ok() ? result->revision : 0, test::ClientAnswer::Done());
  });
}

void Clients::Get(Client& client, Consistency consistency) {
  const std::string key = world_.chance().clients.Below(4) == 0 ? DrawCounter() : DrawKey();
  Get(client, consistency, key, Timeout());
}

void Clients::Get(Client& client, Consistency consistency, const std::string& key,
                  std::chrono::milliseconds timeout) {
  const OpKind kind = consistency == Consistency::kLocal     ? OpKind::kLocalGet
                      : consistency == Consistency::kBounded ? OpKind::kBoundedGet
                      : consistency == Consistency::kLease   ? OpKind::kLeaseGet
                                                             : OpKind::kGet;
  const Call call = Begin(client, kind, test::ClientOp::Get(key), key);
  ReadOptions options;
  options.timeout = timeout;
  options.consistency = consistency;
  options.max_staleness = world_.plan().clients.max_staleness;
  client.kv->GetAsync(key, options,
                      [this, call](const Result<KeyValue>& result) { EndGet(call, result); });
}

void Clients::Delete(Client& client) {
  const std::string key = world_.chance().clients.Below(4) == 0 ? DrawCounter() : DrawKey();
  const Call call = Begin(client, OpKind::kDelete, test::ClientOp::Delete(key), key);
  client.kv->DeleteAsync(key, {Timeout()}, [this, call](const Result<DeleteResult>& result) {
    const auto deleted = result.ok() ? static_cast<std::int64_t>(result->deleted) : 0;
    EndWrite(call, result.status(), result.ok() ? result->revision : 0,
             test::ClientAnswer::Number(deleted), deleted > 0);
  });
}

void Clients::CompareAndSwap(Client& client) {
  const std::string key = DrawKey();
  const std::string value = NewValue(client.id);
  std::optional<std::string> expected;
  const auto seen = client.last_seen.find(key);
  if (seen != client.last_seen.end()) expected = seen->second;
  const Call call = Begin(client, OpKind::kCompareAndSwap,
                          test::ClientOp::CompareAndSwap(key, expected, value), key);
  client.last_seen[key] = value;
  client.kv->CompareAndSwapAsync(
      key, expected, value, {Timeout()}, [this, call](const Result<WriteResult>& result) {
        EndWrite(call, result.status(), result.ok() ? result->revision : 0,
                 test::ClientAnswer::Done());
      });
}

void Clients::Increment(Client& client) {
  const std::string key = DrawCounter();
  const std::int64_t delta = NewDelta();
  const Call call = Begin(client, OpKind::kIncrement, test::ClientOp::Increment(key, delta), key);
  client.kv->IncrementAsync(key, delta, {Timeout()},
                            [this, call](const Result<IncrementResult>& result) {
                              EndWrite(call, result.status(), result.ok() ? result->revision : 0,
                                       test::ClientAnswer::Number(result.ok() ? result->value : 0));
                            });
}

void Clients::WriteBatch(Client& client) {
  Batch batch;
  const std::uint64_t operations = 2 + world_.chance().clients.Below(2);
  bool puts = false;  // what only deletes may change nothing
  for (std::uint64_t i = 0; i < operations; ++i) {
    if (world_.chance().clients.Below(4) == 0) {
      batch.Delete(DrawKey());
    } else {
      batch.Put(DrawKey(), NewValue(client.id));
      puts = true;
    }
  }
  const Call call = Begin(client, OpKind::kBatch, test::ClientOp::Write(batch), {});
  client.kv->WriteAsync(std::move(batch), {Timeout()},
                        [this, call, puts](const Result<WriteResult>& result) {
                          EndWrite(call, result.status(), result.ok() ? result->revision : 0,
                                   test::ClientAnswer::Done(), puts);
                        });
}

/// Of keys, counters and those of mixed requests, or of all.
KeyRange Clients::DrawScanned() {
  switch (world_.chance().clients.Below(4)) {
    case 0: return {};
    case 1: return KeyRange::Prefix("m");
    default: return DrawRange();
  }
}

/// Of keys, not counters. The end is like no other, so that a range can be told in the log.
KeyRange Clients::DrawRange() {
  std::string first = DrawKey();
  std::string last = DrawKey();
  if (last < first) std::swap(first, last);
  return {std::move(first), std::move(last) + "!" + std::to_string(++values_)};
}

void Clients::Scan(Client& client) {
  Random& random = world_.chance().clients;
  if (random.Below(3) == 0) return GetMany(client);
  if (random.Below(4) == 0) return UseLeases(client);
  ScanOptions options;
  options.timeout = Timeout();
  options.count_only = random.Below(3) == 0;
  options.keys_only = random.Below(3) == 0;
  if (random.Below(2) == 0) options.limit = 1 + random.Below(3);
  if (random.Below(3) == 0) options.consistency = Consistency::kLocal;
  if (random.Below(3) == 0 && write_floor_ > 0) options.revision = 1 + random.Below(write_floor_);
  if (random.Below(8) == 0 && write_floor_ > 0) Compact(client);
  DrawOrder(options);
  ScanPage(client, DrawScanned(), options, {});
}

void Clients::DeleteRange(Client& client) {
  const KeyRange range = DrawRange();
  const Call call = Begin(client, OpKind::kDeleteRange, test::ClientOp::DeleteRange(range), {});
  client.kv->DeleteRangeAsync(range, {Timeout()}, [this, call](const Result<DeleteResult>& result) {
    const auto deleted = result.ok() ? static_cast<std::int64_t>(result->deleted) : 0;
    EndWrite(call, result.status(), result.ok() ? result->revision : 0,
             test::ClientAnswer::Number(deleted), deleted > 0);
  });
}

void Clients::ReadBehind(Host& older, Host& newer) {
  constexpr auto kReadTimeout = std::chrono::milliseconds(300);
  if (ending_) return;
  const auto latest = std::max_element(
      key_floor_.begin(), key_floor_.end(),
      [](const auto& a, const auto& b) { return a.second.back().second < b.second.back().second; });
  if (latest == key_floor_.end() ||
      latest->second.back().second <= older.process->revisions().revision) {
    if (writer_->open > 0) return;
    writer_->channel.Use(newer.index);
    Put(*writer_, Timeout(), false);
  } else if (reader_->open == 0) {
    reader_->channel.Use(older.index);
    const bool lease = world_.plan().core.lease_reads && world_.chance().clients.Below(4) != 0;
    Get(*reader_, lease ? Consistency::kLease : Consistency::kLinearizable, latest->first,
        kReadTimeout);
  }
}

void Clients::Probe(Host& leader, std::chrono::milliseconds timeout) {
  if (ending_ || writer_->open > 0) return;
  writer_->channel.Use(leader.index);
  Put(*writer_, timeout, false);
}

// --- Their answers.

void Clients::CheckWriteOrder(std::uint64_t asked_at, std::uint64_t revision, bool changed) {
  if (changed && !revisions_.insert(revision).second) {
    world_.Fail("revisions are unique", "two writes are told revision " + std::to_string(revision));
  }
  if (revision < asked_at || (changed && revision == asked_at)) {
    world_.Fail("revisions grow", "a write has revision " + std::to_string(revision) + ", but " +
                                      std::to_string(asked_at) +
                                      " was acknowledged before it was asked for");
  }
  write_floor_ = std::max(write_floor_, revision);
}

void Clients::EndWrite(const Call& call, const Status& status, std::uint64_t revision,
                       test::ClientAnswer answer, bool changed) {
  if (stopped_) return;
  history_.set_time_ms(static_cast<std::uint64_t>(world_.now() / kMillisecond));
  if (status.ok()) {
    CheckWriteOrder(call.floor, revision, changed);
    history_.Ok(call.id, std::move(answer));
    return End(call, OpOutcome::kOk);
  }
  if (status.code() == Code::kCompareFailed) {
    history_.Ok(call.id, test::ClientAnswer::Refused());
    return End(call, OpOutcome::kOk);
  }
  if (status.code() == Code::kUnknownOutcome) {
    history_.Unknown(call.id);
    return End(call, OpOutcome::kUnknown);
  }
  if (!SaysFailed(status.code())) {
    world_.Fail("outcomes", "an operation ends with " + status.ToString());
  }
  history_.Fail(call.id);
  End(call, OpOutcome::kFailed);
}

/// What was acknowledged of a put of `key` by `when`.
std::uint64_t Clients::FloorOf(const std::string& key, Nanos when) const {
  const auto floors = key_floor_.find(key);
  if (floors == key_floor_.end()) return 0;
  for (auto floor = floors->second.rbegin(); floor != floors->second.rend(); ++floor) {
    if (floor->first <= when) return floor->second;
  }
  return 0;
}

void Clients::CheckGet(const Call& call, const KeyValue& found) {
  if (found.mod_revision < call.floor) {
    world_.Fail("reads", "a stale read of " + call.key + ": revision " +
                             std::to_string(found.mod_revision) + ", but " +
                             std::to_string(call.floor) + " was acknowledged before");
  }
}

void Clients::EndGet(const Call& call, const Result<KeyValue>& result) {
  if (stopped_) return;
  history_.set_time_ms(static_cast<std::uint64_t>(world_.now() / kMillisecond));
  const bool answered = result.ok() || result.code() == Code::kNotFound;
  if (result.ok()) {
    CheckGet(call, *result);
    call.client->last_seen[call.key] = result->value;
  } else if (result.code() == Code::kNotFound) {
    call.client->last_seen.erase(call.key);
  } else if (!SaysFailed(result.code()) && result.code() != Code::kUnknownOutcome) {
    world_.Fail("outcomes", "a get ends with " + result.status().ToString());
  }
  if (call.recorded && answered) {
    history_.Ok(call.id,
                test::ClientAnswer::Value(result.ok() ? std::optional<std::string>(result->value)
                                                      : std::nullopt));
  } else if (call.recorded) {
    history_.Fail(call.id);
  }
  // One that its client gave up says nothing about the cluster.
  const bool given_up = result.code() == Code::kCancelled;
  if (call.kind == OpKind::kGet && !given_up) world_.NoteRead(call.begun, answered);
  End(call, answered ? OpOutcome::kOk : OpOutcome::kFailed);
}

void Clients::End(const Call& call, OpOutcome outcome) {
  --call.client->open;
  world_.stats().Count(call.kind, outcome);
  if (world_.telling() && call.recorded) {
    world_.Trace("ends: %s", history_.Describe(call.id).c_str());
  }
}

}  // namespace raftkv::sim
