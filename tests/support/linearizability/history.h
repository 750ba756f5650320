// What did clients ask of the store, what were they told, and in which order?
//
// A workload appends to a History as things happen: a call when it is made, its answer when it has
// come. The order of these events is all that counts; times are kept to be shown.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <raftkv/kv.h>

namespace raftkv::test {

struct ClientOp {
  enum class Kind : std::uint8_t {
    kPut,
    kGet,
    kDelete,
    kCompareAndSwap,
    kIncrement,
    kBatch,
    kMultiGet,
    kScan,
    kDeleteRange,
    kTxn,
  };

  static ClientOp Put(std::string key, std::string value);
  static ClientOp Get(std::string key);
  static ClientOp Delete(std::string key);
  static ClientOp CompareAndSwap(std::string key, std::optional<std::string> expected,
                                 std::string desired);
  static ClientOp Increment(std::string key, std::int64_t delta);
  /// All or nothing, in order.
  static ClientOp Write(const Batch& batch);
  /// All at one instant.
  static ClientOp MultiGet(std::vector<std::string> keys);
  static ClientOp Scan(KeyRange range);
  static ClientOp DeleteRange(KeyRange range);
  /// If all keys have what is expected of them, the puts are carried out, at most one for each key,
  /// be it one of these or another; otherwise it tells what they have.
  static ClientOp Txn(std::vector<std::pair<std::string, std::optional<std::string>>> expected,
                      const Batch& puts);

  Kind kind = Kind::kGet;
  std::string key;
  std::string value;                    ///< put, desired of a compare and swap
  std::optional<std::string> expected;  ///< of a compare and swap
  std::int64_t delta = 0;
  std::vector<Batch::Operation> batch;
  std::vector<std::pair<std::string, std::optional<std::string>>> all_expected;  ///< of a txn
  std::vector<std::string> keys;
  KeyRange range;
};

/// What a call returned that was carried out. What the store did not say is left out, and then
/// fits anything.
struct ClientAnswer {
  /// Of a put, a batch, a compare and swap that swapped; of a delete that did not say how many.
  static ClientAnswer Done() { return {}; }
  /// Of a get.
  static ClientAnswer Value(std::optional<std::string> value);
  /// Of a delete: how many keys there were. Of an increment: the new value (it must be known).
  /// Of a scan: how many keys are in the range.
  static ClientAnswer Number(std::int64_t number);
  /// Of a compare and swap that found another value, or an increment of what is no number or would
  /// leave the range: it took no effect.
  static ClientAnswer Refused();
  /// Of a compare and swap that tells what it found.
  static ClientAnswer Found(std::optional<std::string> actual);
  /// Of a multi-get or scan, in the order of the keys. `more`: a scan that ends at its last pair.
  static ClientAnswer Pairs(std::vector<std::pair<std::string, std::string>> pairs,
                            bool more = false);
  /// Of a transaction that did not find what it expected.
  static ClientAnswer FoundPairs(std::vector<std::pair<std::string, std::string>> pairs);

  bool refused = false;
  bool has_value = false;  ///< `value` was told
  bool more = false;
  std::optional<std::string> value;
  std::optional<std::int64_t> number;
  std::vector<std::pair<std::string, std::string>> pairs;
};

class History {
 public:
  using Id = std::uint32_t;
  static constexpr std::uint32_t kNever = UINT32_MAX;

  enum class Outcome : std::uint8_t {
    kUnknown,  ///< may take effect at any time after its call, or never
    kOk,
    kFailed,  ///< never took effect
  };
  struct Record {
    std::uint32_t client = 0;
    ClientOp op;
    ClientAnswer answer;  ///< if ok
    Outcome outcome = Outcome::kUnknown;
    std::uint32_t called = 0;  ///< number of the event
    std::uint32_t returned = kNever;
    std::uint64_t called_ms = 0;
    std::uint64_t returned_ms = 0;
  };

  /// Shown with the events that follow.
  void set_time_ms(std::uint64_t time_ms) { time_ms_ = time_ms; }

  /// A call that nothing more is said about is of unknown outcome.
  Id Invoke(std::uint32_t client, ClientOp op);
  /// At most one of these for each call.
  void Ok(Id id, ClientAnswer answer = ClientAnswer::Done());
  void Fail(Id id) { Return(id, Outcome::kFailed); }
  void Unknown(Id id) { Return(id, Outcome::kUnknown); }

  [[nodiscard]] const std::vector<Record>& records() const { return records_; }
  /// One line.
  [[nodiscard]] std::string Describe(Id id) const;

 private:
  void Return(Id id, Outcome outcome);

  std::vector<Record> records_;
  std::uint32_t events_ = 0;
  std::uint64_t time_ms_ = 0;
};

}  // namespace raftkv::test
