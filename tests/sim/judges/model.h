// What do the keys hold after each entry of the committed log? Carried out by a map, with nothing
// of lib/kv but the reading of requests.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/kv/parse.h"
#include "lib/kv/request.h"
#include "lib/raft/types.h"
#include "tests/sim/judges/checks.h"

namespace raftkv::sim {

/// When a request was sent first, in ms of true time, by session and sequence.
using SentAt = std::map<std::pair<std::uint64_t, std::uint64_t>, std::uint64_t>;

class Model {
 public:
  Model() = default;
  /// `sent` tells early ends of leases; what is not in it is not judged.
  explicit Model(const SentAt& sent) : sent_(&sent) {}

  /// The next entry and the answer that it was given; what is wrong with that answer, if anything.
  std::string Apply(const raft::Entry& entry, const Checks::Result& result);
  /// What is wrong with `found` as the answer to `asked` in the state as it is now.
  [[nodiscard]] std::string Compare(const kv::ParsedRead& asked, const ScanResult& found) const;
  /// What is wrong with where `found` ends, whose pairs are right. The first read of a request gets
  /// on; it may end before its limit only if the answer may be full.
  [[nodiscard]] static std::string CompareEnd(const kv::ParsedRead& asked, const ScanResult& found,
                                              bool first, bool may_be_full);
  /// The same of leases.
  [[nodiscard]] std::string CompareLeases(const kv::ParsedRead& asked,
                                          const kv::ReadAnswer& found) const;
  /// A lease that should be gone `now_ms`: nobody has kept it alive for its time and `slack_ms`,
  /// and all was well since `well_ms`. Empty: there is none.
  [[nodiscard]] std::string Overdue(std::uint64_t well_ms, std::uint64_t now_ms,
                                    std::uint64_t slack_ms) const;
  [[nodiscard]] std::uint64_t revision() const { return revision_; }
  /// What one revision made of one key, which is the last that it did to it.
  struct Event {
    std::string key;
    std::optional<KeyValue> put;  ///< nullopt: it was deleted
  };
  using Events = std::vector<Event>;
  /// Of each revision, in the order of its operations.
  [[nodiscard]] const std::map<std::uint64_t, Events>& events() const { return events_; }
  [[nodiscard]] std::optional<KeyValue> ValueAt(std::string_view key, std::uint64_t revision) const;

 private:
  struct Value {
    std::string value;
    std::uint64_t mod_revision = 0;
    std::uint64_t create_revision = 0;
    std::uint64_t version = 0;
    std::uint64_t lease = 0;
  };
  struct Lease {
    std::uint64_t ttl_ms = 0;
    std::uint64_t deadline_ms = 0;  ///< of the cluster clock
    /// When it was granted or kept alive last, in true time: when that was sent (0: nobody knows),
    /// and applied.
    std::uint64_t sent_ms = 0;
    std::uint64_t applied_ms = 0;
  };
  using Keys = std::map<std::string, Value, std::less<>>;
  using Item = Keys::value_type;
  /// All of `keys` that `asked` may be shown, in its order, without its limit.
  static std::vector<const Item*> Expected(const Keys& keys, const kv::ParsedRead& asked);
  /// `changed` becomes true where the operation changes something.
  std::string Carry(const kv::ParsedOperation& operation, const kv::OperationResult& result,
                    bool& changed);
  std::string Delete(const kv::RangeView& range, std::int64_t told, bool& changed);
  std::string Increment(const kv::ParsedOperation& operation, const kv::OperationResult& result,
                        bool& changed);
  void Put(std::string_view key, std::string value, std::uint64_t lease = 0);
  /// With what it keeps of the key, which is there then.
  void Put(const kv::ParsedOperation& put);
  /// It keeps something of a key that is not there.
  [[nodiscard]] bool LacksKey(const kv::ParsedOperation& put) const;
  void Note(const std::string& key, std::optional<Value> value);
  // --- Leases.
  [[nodiscard]] bool LacksLease(std::uint64_t id) const { return id != 0 && !leases_.contains(id); }
  std::string CarryLease(const kv::ParsedOperation& operation, const kv::OperationResult& result,
                         bool& changed);
  std::int64_t EndLease(std::uint64_t id);
  std::string Expire();
  // --- Transactions.
  static bool IsIn(const kv::RangeView& range, std::string_view key);
  static bool Holds(const Keys& keys, const kv::ParsedCompare& compare);
  [[nodiscard]] std::string CheckPrevious(const kv::RangeView& range,
                                          const std::vector<KeyValue>& told) const;
  std::string CarryTxn(const kv::ParsedTxn& txn, const kv::OperationResult& result, bool& changed);
  std::string RunTxn(const kv::ParsedTxn& txn, const Keys& before, const kv::TxnOutcome* told,
                     bool& changed, bool& refused);
  std::string CheckRead(const kv::ParsedRead& read, const kv::TxnOperationResult* told) const;
  std::string RunWrite(const kv::ParsedOperation& write, const Keys& before,
                       const kv::TxnOperationResult* told, bool& changed, bool& refused);
  std::string Upkeep(const kv::ParsedOperation& operation, const kv::OperationResult* result);
  [[nodiscard]] Keys KeysAt(std::uint64_t revision) const;
  /// The call at hand is as if it had only done what led to `keys`, and to these events.
  void TakeBackTo(Keys keys, Events events);

  Keys keys_;
  /// What each key became at each revision that changed it.
  std::map<std::string, std::map<std::uint64_t, std::optional<Value>>, std::less<>> past_;
  std::map<std::uint64_t, Events> events_;
  std::uint64_t compacted_ = 0;
  std::uint64_t revision_ = 1;
  std::map<std::uint64_t, Lease> leases_;
  const SentAt* sent_ = nullptr;
  // Of the entry at hand.
  std::uint64_t clock_ms_ = 0;
  std::uint64_t sent_ms_ = 0;
  std::uint64_t applied_ms_ = 0;
  /// By session and sequence: what was answered when it was carried out.
  std::map<std::pair<std::uint64_t, std::uint64_t>, Bytes> answers_;
};

}  // namespace raftkv::sim
