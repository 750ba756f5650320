// What do clients ask in transactions, and what were they told?
//
// The part that txn-rw-register and txn-list-append share. All keys of a transaction are from one
// group. Some groups are in use at a time, each for a number of transactions, of which only few of
// unknown fate, so that each can be judged soon. Half of the transactions are for few groups, where
// they meet.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "lib/base/random.h"
#include "tests/support/maelstrom/maelstrom_workload.h"

namespace raftkv::test::maelstrom {

struct Transaction {
  static constexpr std::uint64_t kNever = UINT64_MAX;

  /// A list of [function, key, value]: as told if it ended ok, else as asked.
  Json operations;
  std::uint32_t client = 0;
  /// Also while it is open, or if it has not happened for sure.
  Outcome outcome = Outcome::kUnknown;
  // Numbers of events: each that is asked, and each that ends, is one.
  std::uint64_t asked = 0;
  std::uint64_t ended = kNever;
  std::uint64_t asked_ms = 0;
  std::uint64_t ended_ms = 0;
};

class TxnWorkload : public Workload {
 public:
  /// `writes`: the function that is not "r".
  explicit TxnWorkload(std::string writes);

  Json Draw(Random& random) override;
  std::vector<Json> FinalRequests() override;

 protected:
  /// By request.
  [[nodiscard]] const std::vector<Transaction>& transactions() const { return transactions_; }
  /// Each request in the order of its events: that it is asked, and that it ends.
  [[nodiscard]] const std::vector<std::uint64_t>& events() const { return events_; }

 private:
  struct Group {
    std::vector<Json> keys;
    int left = 0;
    int doubtful = 0;
  };

  void UseNewGroup(std::size_t place);
  void OnAsk(std::uint64_t request, std::uint32_t client) override;
  void OnOk(std::uint64_t request, const Json& answer) override;
  Outcome OnError(std::uint64_t request, std::int64_t code, Outcome outcome) override;
  void OnGiveUp(std::uint64_t request) override;
  void End(std::uint64_t request, Outcome outcome);

  const std::string writes_;
  std::vector<Group> in_use_;
  std::deque<Group> done_;
  std::uint64_t next_key_ = 0;
  std::uint64_t next_value_ = 0;
  std::vector<Transaction> transactions_;
  std::vector<std::uint64_t> events_;
};

bool IsRead(const Json& operation);
/// Canonical texts, which are equal if and only if the values are.
std::string KeyOf(const Json& operation);
std::string ValueOf(const Json& operation);
/// One line for a reader.
std::string Describe(const Transaction& transaction, std::uint64_t request);

}  // namespace raftkv::test::maelstrom
