#include "tests/support/maelstrom/maelstrom_txn.h"

#include <algorithm>
#include <utility>

#include "lib/base/check.h"

namespace raftkv::test::maelstrom {
namespace {

constexpr std::size_t kGroups = 16;
constexpr std::size_t kHotGroups = 2;
constexpr std::size_t kKeysAGroup = 3;
constexpr int kTransactionsAGroup = 80;
constexpr int kDoubtfulAGroup = 4;
constexpr std::uint64_t kMostOperations = 4;

/// As asked, with a value in each read.
bool Fits(const Json& asked, const Json& told) {
  if (!told.is_array() || told.size() != asked.size()) return false;
  for (std::size_t i = 0; i < asked.size(); ++i) {
    if (!told[i].is_array() || told[i].size() != asked[i].size()) return false;
    if (told[i][0] != asked[i][0] || KeyOf(told[i]) != KeyOf(asked[i])) return false;
    if (!IsRead(asked[i]) && ValueOf(told[i]) != ValueOf(asked[i])) return false;
  }
  return true;
}

}  // namespace

bool IsRead(const Json& operation) { return operation.at(0) == "r"; }

std::string KeyOf(const Json& operation) { return operation.at(1).dump(); }

std::string ValueOf(const Json& operation) { return operation.at(2).dump(); }

std::string Describe(const Transaction& transaction, std::uint64_t request) {
  constexpr std::size_t kMostShown = 600;
  std::string text = "#" + std::to_string(request) + " client " +
                     std::to_string(transaction.client) + " (" +
                     std::to_string(transaction.asked_ms) + " to ";
  text += transaction.outcome == Outcome::kOk ? std::to_string(transaction.ended_ms) : "?";
  text += " ms): " + transaction.operations.dump().substr(0, kMostShown);
  switch (transaction.outcome) {
    case Outcome::kOk: return text;
    case Outcome::kFailed: return text + " -> failed";
    default: return text + " -> unknown";
  }
}

TxnWorkload::TxnWorkload(std::string writes) : writes_(std::move(writes)) {
  in_use_.resize(kGroups);
  for (std::size_t i = 0; i < kGroups; ++i) UseNewGroup(i);
}

void TxnWorkload::UseNewGroup(std::size_t place) {
  constexpr std::size_t kMostDone = 8;
  Group& group = in_use_[place];
  if (!group.keys.empty()) done_.push_back(std::move(group));
  if (done_.size() > kMostDone) done_.pop_front();
  group = {};
  group.left = kTransactionsAGroup;
  for (std::size_t i = 0; i < kKeysAGroup; ++i) group.keys.push_back(DistinctValue(next_key_++));
}

Json TxnWorkload::Draw(Random& random) {
  const std::size_t place = random.Below(random.Below(2) == 0 ? kHotGroups : kGroups);
  if (in_use_[place].left == 0 || in_use_[place].doubtful >= kDoubtfulAGroup) UseNewGroup(place);
  Group& group = in_use_[place];
  --group.left;
  Json operations = Json::array();
  const std::uint64_t count = 1 + random.Below(kMostOperations);
  for (std::uint64_t i = 0; i < count; ++i) {
    const Json& key = group.keys[random.Below(group.keys.size())];
    if (random.Below(2) == 0) {
      operations.push_back(Json::array({"r", key, nullptr}));
    } else {
      operations.push_back(Json::array({writes_, key, DistinctValue(next_value_++)}));
    }
  }
  return {{"type", "txn"}, {"txn", std::move(operations)}};
}

std::vector<Json> TxnWorkload::FinalRequests() {
  std::vector<Json> requests;
  const auto add = [&requests](const Group& group) {
    Json operations = Json::array();
    for (const Json& key : group.keys) operations.push_back(Json::array({"r", key, nullptr}));
    requests.push_back({{"type", "txn"}, {"txn", std::move(operations)}});
  };
  for (const Group& group : in_use_) add(group);
  for (const Group& group : done_) add(group);
  return requests;
}

void TxnWorkload::OnAsk(std::uint64_t request, std::uint32_t client) {
  RAFTKV_CHECK(request == transactions_.size(), request);  // both count from 0
  Transaction& asked = transactions_.emplace_back();
  asked.operations = body(request).at("txn");
  asked.client = client;
  asked.asked = events_.size();
  asked.asked_ms = now_ms();
  events_.push_back(request);
}

void TxnWorkload::OnOk(std::uint64_t request, const Json& answer) {
  const auto told = answer.find("txn");
  if (told == answer.end() || !Fits(body(request).at("txn"), *told)) {
    Report("the answer to " + body(request).dump() + " was " + answer.dump());
    return;
  }
  transactions_[request].operations = *told;
  End(request, Outcome::kOk);
}

Outcome TxnWorkload::OnError(std::uint64_t request, std::int64_t, Outcome outcome) {
  if (outcome == Outcome::kFailed) {
    End(request, outcome);
  } else {
    OnGiveUp(request);
  }
  return outcome;
}

void TxnWorkload::OnGiveUp(std::uint64_t request) {
  End(request, Outcome::kUnknown);
  const Json& operations = transactions_[request].operations;
  if (std::all_of(operations.begin(), operations.end(), IsRead)) return;
  for (Group& group : in_use_) {
    const auto found = std::find(group.keys.begin(), group.keys.end(), operations.front().at(1));
    if (found != group.keys.end()) ++group.doubtful;
  }
}

void TxnWorkload::End(std::uint64_t request, Outcome outcome) {
  Transaction& ended = transactions_[request];
  ended.outcome = outcome;
  ended.ended = events_.size();
  ended.ended_ms = now_ms();
  events_.push_back(request);
}

}  // namespace raftkv::test::maelstrom
