// What do the requests of Maelstrom's workloads do to the store, and what is answered?
//
// An error code is definite only where the request surely had no effect and never will have one.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include <raftkv/kv.h>

#include "cmd/maelstrom/json.h"

namespace raftkv::cmd::maelstrom {

/// As Maelstrom's protocol has them; all but kTimeout and kCrash are definite.
enum class ErrorCode : int {
  kTimeout = 0,
  kNotSupported = 10,
  kTemporarilyUnavailable = 11,
  kMalformedRequest = 12,
  kCrash = 13,
  kKeyDoesNotExist = 20,
  kPreconditionFailed = 22,
  kTxnConflict = 30,
};

/// What stands in an answer's body behind "in_reply_to".
struct Answer {
  std::string type;
  /// ,"name":VALUE for each further field.
  std::string fields;

  static Answer Error(ErrorCode code, const std::string& text);
};

/// The answer to a request that the store did not carry out, or may not have.
Answer Failure(const Status& status);
/// The answer to a request without one of its fields.
Answer Missing(const std::string& type, const char* field);
/// Where the value of a key of lin-kv and of transactions is.
std::string StoreKey(const Value& key);

/// Runs once; on any thread, also before Handle() returns.
using Done = std::function<void(const Answer&)>;

class Workloads {
 public:
  explicit Workloads(std::chrono::milliseconds timeout);

  /// `body` has a type, which is `type`; `kv` outlives the call of `done`.
  void Handle(const std::string& type, const Value& body, KV& kv, const std::string& node_id,
              Done done);

 private:
  void Echo(const Value& body, const Done& done);
  void Read(const Value& body, KV& kv, const Done& done);
  void ReadCounter(KV& kv, const Done& done);
  void Write(const Value& body, KV& kv, const Done& done);
  void CompareAndSwap(const Value& body, KV& kv, const Done& done);
  void Add(const Value& body, KV& kv, const Done& done);
  void Generate(const std::string& node_id, const Done& done);

  const std::chrono::milliseconds timeout_;
  /// Drawn by each process, so ids stay unique over restarts.
  const std::string process_id_;
  std::uint64_t generated_ = 0;
};

}  // namespace raftkv::cmd::maelstrom
