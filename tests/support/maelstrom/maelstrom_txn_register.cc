// txn-rw-register: is there an order of all transactions, each within its time, that explains what
// every read was told?
//
// What a transaction reads again, or after its own write, is looked at by itself; what else it
// reads, and what it leaves in its keys, is one step for the linearizability checker. Each value is
// written once, so that a read tells which write it has seen, and that of a value which its own
// transaction wrote over is found as one that nobody wrote.
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/linearizability/linearizability.h"
#include "tests/support/maelstrom/maelstrom_txn.h"

namespace raftkv::test::maelstrom {
namespace {

using Found = std::optional<std::string>;

class TxnRegister : public TxnWorkload {
 public:
  TxnRegister() : TxnWorkload("w") {}

 private:
  void OnJudge() override {
    constexpr std::uint64_t kMostSteps = 20'000'000;
    History history;
    std::vector<bool> is_asked(transactions().size(), false);
    for (const std::uint64_t request : events()) {
      const Transaction& transaction = transactions()[request];
      const auto id = static_cast<History::Id>(request);  // both count from 0
      if (!is_asked[request]) {
        is_asked[request] = true;
        history.set_time_ms(transaction.asked_ms);
        history.Invoke(transaction.client, Step(transaction, request));
        continue;
      }
      history.set_time_ms(transaction.ended_ms);
      switch (transaction.outcome) {
        case Outcome::kOk: history.Ok(id); break;
        case Outcome::kFailed: history.Fail(id); break;
        default: history.Unknown(id); break;
      }
    }
    const CheckResult result = CheckLinearizability(history, kMostSteps);
    if (result.verdict != Verdict::kLinearizable) Report(result.explanation);
  }

  ClientOp Step(const Transaction& transaction, std::uint64_t request) {
    std::vector<std::pair<std::string, Found>> expected;
    std::map<std::string, std::string> last_writes;
    std::map<std::string, Found> known;
    for (const Json& operation : transaction.operations) {
      const std::string key = KeyOf(operation);
      if (!IsRead(operation)) {
        known[key] = last_writes[key] = ValueOf(operation);
        continue;
      }
      if (transaction.outcome != Outcome::kOk) continue;  // it was told nothing
      Found value;
      if (!operation.at(2).is_null()) value = ValueOf(operation);
      const auto [at, is_first] = known.try_emplace(key, value);
      if (is_first) expected.emplace_back(key, value);
      if (at->second != value) {
        Report("not linearizable: key " + key + " changes within a transaction\n  " +
               Describe(transaction, request));
      }
    }
    Batch puts;
    for (const auto& [key, value] : last_writes) puts.Put(key, value);
    return ClientOp::Txn(std::move(expected), puts);
  }
};

}  // namespace

std::unique_ptr<Workload> NewTxnRegister() { return std::make_unique<TxnRegister>(); }

}  // namespace raftkv::test::maelstrom
