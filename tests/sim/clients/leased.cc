// Session clients that use leases: they grant them, keep them alive and end them, and write with
// them, on keys of their own. The leases are also those of raw clients (raw_client.cc).
//
// Such a key goes by itself, which the history of the clients knows nothing of: what becomes of
// these calls is judged by the model (judges/model_lease.cc) and by who watches.
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/sim/clients/clients.h"
#include "tests/sim/world.h"

namespace raftkv::sim {

namespace {

constexpr std::uint64_t kLeaseIds = 4;  ///< one more than raw clients name
constexpr std::uint64_t kLeasedKeys = 4;
/// Unlike any other, so that the log does not take them for those of the history.
constexpr std::int64_t kFirstLeasedDelta = 1'000'000'000;

std::uint64_t DrawLeaseId(Random& random) { return 1 + random.Below(kLeaseIds); }
std::string DrawLeasedKey(Random& random) {
  return "l" + std::to_string(random.Below(kLeasedKeys));
}

/// Or, now and then, none.
std::uint64_t DrawAttached(Random& random) {
  return random.Below(5) == 0 ? 0 : DrawLeaseId(random);
}

}  // namespace

void Clients::LeasedNext() {
  const Nanos mean = world_.plan().clients.mean_leased;
  if (mean == 0) return;
  world_.At(Between(world_.chance().leases, mean / 4, 2 * mean), [this] {
    if (ending_) return;
    world_.chance().leases = StreamOf(world_.plan().seed ^ 0x8f00, ++leased_steps_);
    const auto sessions = static_cast<std::uint64_t>(world_.plan().clients.sessions);
    Client& client = *clients_[world_.chance().leases.Below(sessions)];
    if (client.open < kMaxOpen && !Lulls()) UseLeased(client);
    LeasedNext();
  });
}

void Clients::UseLeased(Client& client) {
  const std::uint64_t draw = world_.chance().leases.Below(16);
  if (draw < 3) {
    GrantLease(client);
  } else if (draw < 9) {
    PutLeased(client);
  } else if (draw < 11) {
    LeasedTxn(client);
  } else if (draw < 12) {
    SwapLeased(client);
  } else if (draw < 13) {
    IncrementLeased(client);
  } else if (draw < 15) {
    KeepAlive(client);
  } else {
    RevokeLease(client);
  }
}

/// `changed`: it has a revision of its own.
template <class T>
void Clients::EndLeased(const Call& call, const Result<T>& result, std::uint64_t revision,
                        bool changed) {
  if (stopped_) return;
  const Code code = result.code();
  const bool refused = code == Code::kNotFound || code == Code::kCompareFailed ||
                       (call.kind == OpKind::kLeaseCall && code == Code::kInvalidArgument);
  if (result.ok() && revision != 0) CheckWriteOrder(call.floor, revision, changed);
  if (!result.ok() && !refused && !GotNoAnswer(code)) {
    world_.Fail("outcomes", "a call with a lease ends with " + result.status().ToString());
  }
  End(call, result.ok() || refused          ? OpOutcome::kOk
            : code == Code::kUnknownOutcome ? OpOutcome::kUnknown
                                            : OpOutcome::kFailed);
}

Clients::Call Clients::BeginLeased(Client& client, OpKind kind) {
  ++client.open;
  return {&client, kind, 0, {}, write_floor_, false};
}

std::string Clients::NewLeasedValue() { return "l" + std::to_string(++leased_values_); }

void Clients::GrantLease(Client& client) {
  Random& random = world_.chance().leases;
  const std::chrono::milliseconds ttl(100 + random.Below(2'000));
  const std::uint64_t id = random.Below(4) == 0 ? 0 : DrawLeaseId(random);
  const Call call = BeginLeased(client, OpKind::kLeaseCall);
  client.kv->GrantLeaseAsync(ttl, id, {Timeout()}, [this, call](const Result<LeaseInfo>& result) {
    EndLeased(call, result, 0, false);
  });
}

void Clients::KeepAlive(Client& client) {
  Random& random = world_.chance().leases;
  std::vector<std::uint64_t> ids{DrawLeaseId(random)};
  if (random.Below(2) == 0) ids.push_back(DrawLeaseId(random));
  const Call call = BeginLeased(client, OpKind::kLeaseCall);
  client.kv->KeepAliveAsync(std::move(ids), {Timeout()},
                            [this, call](const Result<std::vector<LeaseInfo>>& result) {
                              EndLeased(call, result, 0, false);
                            });
}

void Clients::RevokeLease(Client& client) {
  const std::uint64_t id = DrawLeaseId(world_.chance().leases);
  const Call call = BeginLeased(client, OpKind::kLeaseCall);
  client.kv->RevokeLeaseAsync(id, {Timeout()}, [this, call](const Result<DeleteResult>& result) {
    EndLeased(call, result, result.ok() ? result->revision : 0, result.ok() && result->deleted > 0);
  });
}

void Clients::PutLeased(Client& client) {
  Random& random = world_.chance().leases;
  const std::string key = DrawLeasedKey(random);
  WriteOptions options;
  options.timeout = Timeout();
  options.lease = DrawAttached(random);
  options.return_previous = random.Below(4) == 0;
  const Call call = BeginLeased(client, OpKind::kLeasedWrite);
  client.kv->PutAsync(key, NewLeasedValue(), options, [this, call](const Result<WriteResult>& r) {
    EndLeased(call, r, r.ok() ? r->revision : 0, true);
  });
}

void Clients::SwapLeased(Client& client) {
  Random& random = world_.chance().leases;
  const std::string key = DrawLeasedKey(random);
  WriteOptions options;
  options.timeout = Timeout();
  options.lease = DrawAttached(random);
  const Call call = BeginLeased(client, OpKind::kLeasedWrite);
  client.kv->CompareAndSwapAsync(key, std::nullopt, NewLeasedValue(), options,
                                 [this, call](const Result<WriteResult>& r) {
                                   EndLeased(call, r, r.ok() ? r->revision : 0, true);
                                 });
}

/// Of a counter that no other kind of write touches.
void Clients::IncrementLeased(Client& client) {
  WriteOptions options;
  options.timeout = Timeout();
  options.lease = DrawAttached(world_.chance().leases);
  const Call call = BeginLeased(client, OpKind::kLeasedWrite);
  const std::int64_t delta = kFirstLeasedDelta + static_cast<std::int64_t>(++leased_values_);
  client.kv->IncrementAsync("ln", delta, options, [this, call](const Result<IncrementResult>& r) {
    EndLeased(call, r, r.ok() ? r->revision : 0, true);
  });
}

/// Keys that come together, with one lease or two; some only while another one is there.
void Clients::LeasedTxn(Client& client) {
  Random& random = world_.chance().leases;
  TxnRequest txn;
  if (random.Below(2) == 0) {
    const std::string key = DrawLeasedKey(random);
    txn.compares.push_back(Compare::Lease(key, Compare::kNotEqual, 0));
  }
  std::set<std::string> keys;  // each once
  for (std::uint64_t i = 1 + random.Below(3); i > 0; --i) keys.insert(DrawLeasedKey(random));
  for (const std::string& key : keys) {
    const std::uint64_t lease = DrawAttached(random);
    txn.success.push_back(Op::Put(key, NewLeasedValue(), lease));
  }
  const std::string key = DrawLeasedKey(random);
  txn.failure.push_back(random.Below(2) == 0 ? Op::Delete(key) : Op::Get(key));
  const Call call = BeginLeased(client, OpKind::kLeasedWrite);
  client.kv->TxnAsync(std::move(txn), {Timeout()}, [this, call](const Result<TxnResult>& r) {
    const bool deleted = r.ok() && !r->succeeded && r->results[0].number > 0;
    EndLeased(call, r, r.ok() ? r->revision : 0, r.ok() && (r->succeeded || deleted));
  });
}

}  // namespace raftkv::sim
