// The transactions of session clients: several keys are changed together if they are as they were
// seen last, or read together.
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/sim/clients/clients.h"
#include "tests/sim/world.h"

namespace raftkv::sim {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

Pairs PairsOf(const TxnResult& result) {
  Pairs pairs;
  for (const OpResult& each : result.results) {
    for (const KeyValue& kv : each.found.kvs) pairs.emplace_back(kv.key, kv.value);
  }
  return pairs;
}

}  // namespace

/// Two or three, in order.
std::vector<std::string> Clients::DrawKeys() {
  std::set<std::string> keys;
  for (int i = 0; i < 3; ++i) keys.insert(DrawKey());
  return {keys.begin(), keys.end()};
}

void Clients::Txn(Client& client) {
  TxnRequest txn;
  std::vector<std::pair<std::string, std::optional<std::string>>> expected;
  Batch puts;
  for (const std::string& key : DrawKeys()) {
    const auto seen = client.last_seen.find(key);
    const std::string value = NewValue(client.id);
    if (seen == client.last_seen.end()) {
      expected.emplace_back(key, std::nullopt);
      txn.compares.push_back(Compare::Missing(key));
    } else {
      expected.emplace_back(key, seen->second);
      txn.compares.push_back(Compare::Value(key, Compare::kEqual, seen->second));
    }
    txn.success.push_back(Op::Put(key, value));
    txn.failure.push_back(Op::Get(key));
    puts.Put(key, value);
  }
  const Call call = Begin(client, OpKind::kTxn, test::ClientOp::Txn(std::move(expected), puts), {});
  client.kv->TxnAsync(std::move(txn), {Timeout()},
                      [this, call, puts](const Result<TxnResult>& result) {
                        if (!stopped_ && result.ok()) {
                          auto& seen = call.client->last_seen;
                          for (const auto& put : puts.operations()) {
                            if (result->succeeded) seen[put.key] = put.value;
                            if (!result->succeeded) seen.erase(put.key);
                          }
                          for (auto& [key, value] : PairsOf(*result)) seen[key] = value;
                        }
                        EndTxn(call, result);
                      });
}

void Clients::ReadTxn(Client& client) {
  const std::vector<std::string> keys = DrawKeys();
  TxnRequest txn;
  for (const std::string& key : keys) txn.success.push_back(Op::Get(key));
  const Call call = Begin(client, OpKind::kReadTxn, test::ClientOp::MultiGet(keys), {});
  client.kv->TxnAsync(std::move(txn), {Timeout()},
                      [this, call](const Result<TxnResult>& result) { EndTxn(call, result); });
}

void Clients::EndTxn(const Call& call, const Result<TxnResult>& result) {
  const bool reads_only = call.kind == OpKind::kReadTxn;
  const bool changed = result.ok() && result->succeeded && !reads_only;
  test::ClientAnswer answer;
  if (result.ok() && reads_only) answer = test::ClientAnswer::Pairs(PairsOf(*result));
  if (result.ok() && !result->succeeded) {
    answer = test::ClientAnswer::FoundPairs(PairsOf(*result));
  }
  EndWrite(call, result.status(), result.ok() ? result->revision : 0, std::move(answer), changed);
}

}  // namespace raftkv::sim
