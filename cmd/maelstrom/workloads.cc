#include "cmd/maelstrom/workloads.h"

#include <random>
#include <utility>

#include <fmt/format.h>

#include "cmd/maelstrom/txn.h"
#include "lib/base/mutants.h"  // check:allow include: only the tests' own build sees more than false

namespace raftkv::cmd::maelstrom {
namespace {

/// Keys of lin-kv and transactions, and the one counter, do not get in each other's way.
constexpr char kKeyPrefix[] = "key ";
constexpr char kCounterKey[] = "counter";

std::string DrawProcessId() {
  std::random_device device;
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", device(), device(), device(), device());
}

/// Safety: what may have been carried out, or still may be, is answered by kTimeout or kCrash.
ErrorCode CodeOf(const Status& status) {
  switch (status.code()) {
    case Code::kInvalidArgument: return ErrorCode::kMalformedRequest;
    case Code::kNotLeader:
    case Code::kUnavailable:
    case Code::kDeadlineExceeded:
    case Code::kNoSpace: return ErrorCode::kTemporarilyUnavailable;
    case Code::kUnknownOutcome:
    case Code::kSessionExpired:
      return RAFTKV_MUTANT(kUnknownIsDefinite) ? ErrorCode::kTemporarilyUnavailable
                                               : ErrorCode::kTimeout;
    default: return ErrorCode::kCrash;
  }
}

}  // namespace

Answer Failure(const Status& status) { return Answer::Error(CodeOf(status), status.message()); }

Answer Missing(const std::string& type, const char* field) {
  return Answer::Error(ErrorCode::kMalformedRequest,
                       fmt::format("the request '{}' has no field '{}'", type, field));
}

std::string StoreKey(const Value& key) { return kKeyPrefix + ToText(key); }

Answer Answer::Error(ErrorCode code, const std::string& text) {
  return {"error", fmt::format(",\"code\":{},\"text\":{}", static_cast<int>(code), ToText(text))};
}

Workloads::Workloads(std::chrono::milliseconds timeout)
    : timeout_(timeout), process_id_(DrawProcessId()) {}

void Workloads::Handle(const std::string& type, const Value& body, KV& kv,
                       const std::string& node_id, Done done) {
  if (type == "echo") return Echo(body, done);
  if (type == "read") return Read(body, kv, done);
  if (type == "write") return Write(body, kv, done);
  if (type == "cas") return CompareAndSwap(body, kv, done);
  if (type == "txn") return HandleTxn(body, kv, timeout_, std::move(done));
  if (type == "add") return Add(body, kv, done);
  if (type == "generate") return Generate(node_id, done);
  done(Answer::Error(ErrorCode::kNotSupported, fmt::format("unknown request '{}'", type)));
}

void Workloads::Echo(const Value& body, const Done& done) {
  const Value* echo = Find(body, "echo");
  if (echo == nullptr) return done(Missing("echo", "echo"));
  done({"echo_ok", ",\"echo\":" + ToText(*echo)});
}

void Workloads::Generate(const std::string& node_id, const Done& done) {
  const std::string id = fmt::format("{}-{}-{}", node_id, process_id_, ++generated_);
  done({"generate_ok", ",\"id\":" + ToText(id)});
}

// --- lin-kv.

void Workloads::Read(const Value& body, KV& kv, const Done& done) {
  const Value* key = Find(body, "key");
  if (key == nullptr) return ReadCounter(kv, done);  // the counters read without one
  ReadOptions options;
  options.timeout = timeout_;
  if (RAFTKV_MUTANT(kLocalReads)) options.consistency = Consistency::kLocal;
  kv.GetAsync(StoreKey(*key), options, [done](const Result<KeyValue>& found) {
    if (found.ok()) return done({"read_ok", ",\"value\":" + found->value});
    if (found.code() == Code::kNotFound) {
      return done(Answer::Error(ErrorCode::kKeyDoesNotExist, "no such key"));
    }
    done(Failure(found.status()));
  });
}

void Workloads::Write(const Value& body, KV& kv, const Done& done) {
  const Value* key = Find(body, "key");
  if (key == nullptr) return done(Missing("write", "key"));
  const Value* value = Find(body, "value");
  if (value == nullptr) return done(Missing("write", "value"));
  WriteOptions options;
  options.timeout = timeout_;
  kv.PutAsync(StoreKey(*key), ToText(*value), options, [done](const Result<WriteResult>& written) {
    done(written.ok() ? Answer{"write_ok", {}} : Failure(written.status()));
  });
}

void Workloads::CompareAndSwap(const Value& body, KV& kv, const Done& done) {
  const Value* key = Find(body, "key");
  if (key == nullptr) return done(Missing("cas", "key"));
  const Value* from = Find(body, "from");
  if (from == nullptr) return done(Missing("cas", "from"));
  const Value* to = Find(body, "to");
  if (to == nullptr) return done(Missing("cas", "to"));
  WriteOptions options;
  options.timeout = timeout_;
  const auto swapped = [done](const Result<WriteResult>& result) {
    if (result.ok()) return done({"cas_ok", {}});
    if (result.code() != Code::kCompareFailed) return done(Failure(result.status()));
    const bool missing = result.status().message() == kNoSuchKey;
    done(Answer::Error(missing ? ErrorCode::kKeyDoesNotExist : ErrorCode::kPreconditionFailed,
                       result.status().message()));
  };
  kv.CompareAndSwapAsync(StoreKey(*key), ToText(*from), ToText(*to), options, swapped);
}

// --- Counters.

void Workloads::ReadCounter(KV& kv, const Done& done) {
  ReadOptions options;
  options.timeout = timeout_;
  kv.GetAsync(kCounterKey, options, [done](const Result<KeyValue>& found) {
    if (found.ok()) return done({"read_ok", ",\"value\":" + found->value});
    if (found.code() == Code::kNotFound) return done({"read_ok", ",\"value\":0"});
    done(Failure(found.status()));
  });
}

void Workloads::Add(const Value& body, KV& kv, const Done& done) {
  const auto delta = FindInteger(body, "delta");
  if (!delta) {
    return done(Answer::Error(ErrorCode::kMalformedRequest,
                              "the request 'add' has no field 'delta' with a 64-bit integer"));
  }
  WriteOptions options;
  options.timeout = timeout_;
  kv.IncrementAsync(kCounterKey, *delta, options, [done](const Result<IncrementResult>& added) {
    done(added.ok() ? Answer{"add_ok", {}} : Failure(added.status()));
  });
}

}  // namespace raftkv::cmd::maelstrom
