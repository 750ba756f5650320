#include "cmd/maelstrom/txn.h"

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "lib/base/mutants.h"  // check:allow include: only the tests' own build sees more than false

namespace raftkv::cmd::maelstrom {
namespace {

using Clock = std::chrono::steady_clock;

/// A transaction of the store has at most 4,096 compares and operations, and a key takes a compare,
/// a put and two gets.
constexpr std::size_t kMaxOperations = 1024;
/// A read repeated gives its value again, so the answer may be larger than what the store returns.
constexpr std::size_t kMaxAnswerBytes = 8 << 20;

struct MicroOp {
  enum class Kind : unsigned char { kRead, kWrite, kAppend };
  Kind kind = Kind::kRead;
  std::string key;       ///< of the store
  std::string key_text;  ///< as JSON
  std::string value;     ///< as JSON; a read has none
};

Status Invalid(std::string why) { return {Code::kInvalidArgument, std::move(why)}; }

/// `place` counts from 1.
Result<MicroOp> ParseMicroOp(const Value& operation, std::size_t place) {
  constexpr std::size_t kParts = 3;
  if (!operation.is_array() || operation.size() != kParts) {
    return Invalid(fmt::format(
        "operation {} is not a list of function, key and value, such as [\"r\", 1, null]", place));
  }
  MicroOp parsed;
  if (operation[0] == "r") {
    parsed.kind = MicroOp::Kind::kRead;
  } else if (operation[0] == "w") {
    parsed.kind = MicroOp::Kind::kWrite;
  } else if (operation[0] == "append") {
    parsed.kind = MicroOp::Kind::kAppend;
  } else {
    return Invalid(fmt::format(
        "operation {} has an unknown function; known are \"r\", \"w\" and \"append\"", place));
  }
  parsed.key = StoreKey(operation[1]);
  parsed.key_text = ToText(operation[1]);
  if (parsed.kind != MicroOp::Kind::kRead) {
    parsed.value = ToText(operation[2]);
  } else if (!operation[2].is_null()) {
    return Invalid(fmt::format("operation {} is a read with a value; it must be null", place));
  }
  return parsed;
}

Result<std::vector<MicroOp>> Parse(const Value& operations) {
  if (!operations.is_array()) return Invalid("the field 'txn' is not a list of operations");
  if (operations.size() > kMaxOperations) {
    return Invalid(fmt::format("{} operations are too many for one transaction: it has at most {}",
                               operations.size(), kMaxOperations));
  }
  std::vector<MicroOp> parsed;
  for (const Value& operation : operations) {
    auto one = ParseMicroOp(operation, parsed.size() + 1);
    if (!one.ok()) return one.status();
    parsed.push_back(std::move(one).value());
  }
  return parsed;
}

/// The texts of lists are canonical, so that an element can be added without parsing them.
void AppendTo(std::optional<std::string>& list, const std::string& element) {
  if (!list) {
    list = "[" + element + "]";
    return;
  }
  list->pop_back();
  if (list->size() > 1) *list += ',';
  *list += element + "]";
}

/// One request, until its answer. What it writes depends on what is there if it appends to a key
/// that it has not written before. Such a transaction reads first, and commits on the condition
/// that nothing has changed since; if something has, it goes on with what it was told instead.
/// Any other one commits at once, without a condition.
class TxnCall : public std::enable_shared_from_this<TxnCall> {
 public:
  TxnCall(std::vector<MicroOp> operations, KV& kv, std::chrono::milliseconds timeout, Done done)
      : operations_(std::move(operations)),
        kv_(kv),
        deadline_(Clock::now() + timeout),
        done_(std::move(done)) {
    std::set<std::string> written;
    for (const MicroOp& each : operations_) {
      const bool is_new = written.count(each.key) == 0;
      if (each.kind != MicroOp::Kind::kWrite && is_new) seen_.try_emplace(each.key);
      if (each.kind == MicroOp::Kind::kAppend && is_new) depends_ = true;
      if (each.kind != MicroOp::Kind::kRead) written.insert(each.key);
    }
  }

  void Start() {
    if (!depends_) return Commit();
    std::vector<std::string> keys;
    for (const auto& [key, value] : seen_) keys.push_back(key);
    ReadOptions options;
    options.timeout = Left();
    kv_.GetManyAsync(std::move(keys), options,
                     [self = shared_from_this()](const Result<GetManyResult>& found) {
                       if (!found.ok()) return self->done_(Failure(found.status()));
                       auto value = found->kvs.begin();
                       for (auto& [key, seen] : self->seen_) seen = *value++;
                       self->Commit();
                     });
  }

 private:
  struct Effect {
    std::string answer;                       ///< the list of operations
    std::map<std::string, std::string> puts;  ///< the last value of each key written
  };

  [[nodiscard]] std::chrono::milliseconds Left() const {
    return std::chrono::duration_cast<std::chrono::milliseconds>(deadline_ - Clock::now());
  }

  void Commit() {
    const Result<Effect> effect = Run();
    if (!effect.ok()) return done_(Failure(effect.status()));
    TxnRequest request;
    for (const auto& [key, value] : seen_) {
      request.success.push_back(Op::Get(key));
      if (!depends_) continue;
      request.failure.push_back(Op::Get(key));
      if (RAFTKV_MUTANT(kAppendWithoutCompare)) continue;
      request.compares.push_back(
          Compare::ModRevision(key, Compare::kEqual, value ? value->mod_revision : 0));
    }
    for (const auto& [key, value] : effect->puts) request.success.push_back(Op::Put(key, value));
    WriteOptions options;
    options.timeout = Left();
    kv_.TxnAsync(std::move(request), options,
                 [self = shared_from_this()](const Result<TxnResult>& result) {
                   if (!result.ok()) return self->done_(Failure(result.status()));
                   self->OnResult(*result);
                 });
  }

  void OnResult(const TxnResult& result) {
    // Both branches begin with the gets, in this order.
    auto each = result.results.begin();
    for (auto& [key, seen] : seen_) {
      seen.reset();
      if (!each->found.kvs.empty()) seen = each->found.kvs.front();
      ++each;
    }
    if (result.succeeded) return Succeed();
    if (Left().count() > 0) return Commit();
    done_(Answer::Error(ErrorCode::kTxnConflict,
                        "other transactions changed its keys until its time was over; try again"));
  }

  void Succeed() {
    const Result<Effect> effect = Run();
    // It has been carried out, so this must not be definite.
    if (!effect.ok()) {
      return done_(Answer::Error(ErrorCode::kTimeout, effect.status().message()));
    }
    done_({"txn_ok", ",\"txn\":" + effect->answer});
  }

  /// What the operations do to the state that was seen. InvalidArgument: they cannot be carried
  /// out.
  [[nodiscard]] Result<Effect> Run() const {
    std::map<std::string, std::optional<std::string>> state;
    for (const auto& [key, seen] : seen_) {
      state[key] = seen ? std::optional<std::string>(seen->value) : std::nullopt;
    }
    Effect effect;
    for (const MicroOp& each : operations_) {
      std::optional<std::string>& value = state[each.key];
      const char* function = "r";
      if (each.kind == MicroOp::Kind::kWrite) {
        function = "w";
        value = each.value;
      } else if (each.kind == MicroOp::Kind::kAppend) {
        function = "append";
        if (value && !value->starts_with('[')) {
          return Invalid(
              fmt::format("the value of key {} is not a list, so nothing can be appended",
                          each.key_text.substr(0, kMostShown)));
        }
        AppendTo(value, each.value);
      }
      if (each.kind != MicroOp::Kind::kRead) effect.puts.try_emplace(each.key);
      effect.answer += fmt::format(
          "{}[\"{}\",{},{}]", effect.answer.empty() ? "[" : ",", function, each.key_text,
          each.kind == MicroOp::Kind::kRead ? value.value_or("null") : each.value);
      if (effect.answer.size() > kMaxAnswerBytes) {
        return Invalid(fmt::format("the answer is larger than {} bytes", kMaxAnswerBytes));
      }
    }
    effect.answer += effect.answer.empty() ? "[]" : "]";
    for (auto& [key, value] : effect.puts) value = state[key].value();
    return effect;
  }

  static constexpr std::size_t kMostShown = 100;

  const std::vector<MicroOp> operations_;
  KV& kv_;
  const Clock::time_point deadline_;
  const Done done_;
  /// The keys whose values were there before the transaction matter to it, and what was seen of
  /// them last.
  std::map<std::string, std::optional<KeyValue>> seen_;
  bool depends_ = false;
};

}  // namespace

void HandleTxn(const Value& body, KV& kv, std::chrono::milliseconds timeout, Done done) {
  const Value* operations = Find(body, "txn");
  if (operations == nullptr) return done(Missing("txn", "txn"));
  auto parsed = Parse(*operations);
  if (!parsed.ok()) return done(Failure(parsed.status()));
  std::make_shared<TxnCall>(std::move(parsed).value(), kv, timeout, std::move(done))->Start();
}

}  // namespace raftkv::cmd::maelstrom
