// What do clients ask of the nodes, and were they told the truth?
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "lib/base/random.h"

namespace raftkv::test::maelstrom {

using Json = nlohmann::json;

enum class Outcome : std::uint8_t {
  kOk,
  kRefused,  ///< an answer as well: there is no such key, or another value
  kFailed,   ///< an error that says that it did not happen and never will
  kUnknown,  ///< an error that does not say that, or no answer in time
};

/// Each request is asked once, and ends once or never. One thread.
class Workload {
 public:
  virtual ~Workload() = default;

  /// The body of a request that would suit now, without `msg_id`.
  virtual Json Draw(Random& random) = 0;
  /// `client` asks this now.
  std::uint64_t Ask(std::uint32_t client, std::uint64_t now_ms, Json body);
  /// What came back.
  Outcome Answer(std::uint64_t request, std::uint64_t now_ms, const Json& body);
  /// Nothing came back in time.
  void GiveUp(std::uint64_t request, std::uint64_t now_ms);

  /// From here on there are no faults: what each node is asked in the end.
  virtual std::vector<Json> FinalRequests() { return {}; }
  /// Looks at all that was told; what was wrong, the first few. None if all is well.
  std::vector<std::string> Judge();

 protected:
  virtual void OnAsk(std::uint64_t /*request*/, std::uint32_t /*client*/) {}
  /// An answer of the type that belongs to the request.
  virtual void OnOk(std::uint64_t request, const Json& body) = 0;
  /// An error with `code`, of which `outcome` is what the protocol says.
  virtual Outcome OnError(std::uint64_t request, std::int64_t code, Outcome outcome) = 0;
  virtual void OnGiveUp(std::uint64_t request) = 0;
  virtual void OnJudge() {}

  [[nodiscard]] const Json& body(std::uint64_t request) const { return bodies_.at(request); }
  [[nodiscard]] bool Is(std::uint64_t request, const char* type) const {
    return body(request).at("type") == type;
  }
  [[nodiscard]] std::uint64_t now_ms() const { return now_ms_; }
  void Report(std::string problem);

 private:
  Outcome Misanswered(std::uint64_t request, const Json& answer);

  std::vector<Json> bodies_;
  std::uint64_t now_ms_ = 0;
  std::vector<std::string> problems_;
};

/// "echo", "lin-kv", "txn-rw-register", "txn-list-append", "g-counter", "pn-counter" or
/// "unique-ids"; nothing for another name.
std::unique_ptr<Workload> NewWorkload(const std::string& name);

// Each in a file of its own.
std::unique_ptr<Workload> NewLinKv();
std::unique_ptr<Workload> NewTxnRegister();
std::unique_ptr<Workload> NewTxnList();
std::unique_ptr<Workload> NewCounter(bool may_shrink);
std::unique_ptr<Workload> NewEcho();
std::unique_ptr<Workload> NewUniqueIds();

/// A value that no other `number` gives; all kinds of JSON take turns.
Json DistinctValue(std::uint64_t number);

}  // namespace raftkv::test::maelstrom
