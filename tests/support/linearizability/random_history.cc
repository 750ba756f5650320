#include "tests/support/linearizability/random_history.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>

#include "tests/support/linearizability/model_store.h"

namespace raftkv::test {
namespace {

using Kind = ClientOp::Kind;

bool Percent(Random& random, std::uint64_t percent) { return random.Below(100) < percent; }

/// Makes calls of the shape asked for.
class Calls {
 public:
  Calls(const HistoryShape& shape, Random& random) : shape_(shape), random_(random) {}

  ClientOp Next() {
    if (Percent(random_, shape_.batch_percent)) return NextBatch();
    if (Percent(random_, shape_.range_percent)) return NextOfRange();
    std::string key = Key(random_.Below(shape_.keys));
    if (Percent(random_, shape_.read_percent)) return ClientOp::Get(std::move(key));
    // Counters are keys of their own where values are unique: other values are no numbers.
    if (Percent(random_, shape_.increment_percent)) {
      if (shape_.unique_values) key = "n" + key;
      return ClientOp::Increment(std::move(key), static_cast<std::int64_t>(random_.Below(3)) - 1);
    }
    if (Percent(random_, shape_.swap_percent)) {
      std::optional<std::string> expected = Old(key);
      return ClientOp::CompareAndSwap(key, std::move(expected), New(key));
    }
    if (Percent(random_, shape_.delete_percent)) return ClientOp::Delete(std::move(key));
    return ClientOp::Put(key, New(key));
  }

 private:
  static std::string Key(std::uint64_t number) { return "k" + std::to_string(number); }

  std::uint64_t GroupBegin() {
    if (shape_.group == 0) return 0;
    return random_.Below((shape_.keys + shape_.group - 1) / shape_.group) * shape_.group;
  }
  std::uint64_t GroupSize() const { return shape_.group == 0 ? shape_.keys : shape_.group; }

  std::string New(const std::string& key) {
    std::string value = shape_.unique_values ? "v" + std::to_string(++last_) : Common();
    latest_[key] = value;
    return value;
  }
  std::string Common() {
    static const std::vector<std::string> values = {
        "1", "1", "2", "3", "x", "07", "9223372036854775807"};
    return values[random_.Below(values.size())];
  }
  std::optional<std::string> Old(const std::string& key) {
    if (Percent(random_, 25)) return std::nullopt;
    if (shape_.unique_values) {
      const auto latest = latest_.find(key);
      return latest == latest_.end() ? std::nullopt : std::optional<std::string>(latest->second);
    }
    return Common();
  }

  ClientOp NextTxn() {
    const std::uint64_t begin = GroupBegin();
    std::vector<std::pair<std::string, std::optional<std::string>>> expected;
    Batch puts;
    for (std::uint64_t i = begin; i < begin + GroupSize() && expected.size() < 3; ++i) {
      if (Percent(random_, 30)) continue;
      const std::string key = Key(i);
      // Most keys are read and written, some only the one or the other.
      const std::uint64_t use = random_.Below(4);
      if (use != 0 || expected.empty()) expected.emplace_back(key, Old(key));
      if (use != 1) puts.Put(key, New(key));
    }
    if (expected.empty()) return ClientOp::Get(Key(begin));
    return ClientOp::Txn(std::move(expected), puts);
  }

  ClientOp NextBatch() {
    if (Percent(random_, 40)) return NextTxn();
    Batch batch;
    const std::uint64_t begin = GroupBegin();
    const std::uint64_t parts = 1 + random_.Below(3);
    for (std::uint64_t i = 0; i < parts; ++i) {
      std::string key = Key(begin + random_.Below(GroupSize()));
      if (Percent(random_, 25)) {
        batch.Delete(std::move(key));
      } else {
        std::string value = New(key);
        batch.Put(std::move(key), std::move(value));
      }
    }
    return ClientOp::Write(batch);
  }

  ClientOp NextOfRange() {
    const std::uint64_t begin = GroupBegin();
    const std::uint64_t a = begin + random_.Below(GroupSize());
    const std::uint64_t b = begin + random_.Below(GroupSize());
    if (Percent(random_, 40)) return ClientOp::MultiGet({Key(a), Key(b)});
    KeyRange range{Key(std::min(a, b)), Key(std::max(a, b)) + "~"};
    return Percent(random_, 70) ? ClientOp::Scan(std::move(range))
                                : ClientOp::DeleteRange(std::move(range));
  }

  const HistoryShape& shape_;
  Random& random_;
  std::uint64_t last_ = 0;
  std::map<std::string, std::string> latest_;
};

/// Leaves out what a store need not tell.
ClientAnswer Told(const ClientOp& op, ClientAnswer truth, Random& random) {
  const bool brief = Percent(random, 50);
  if (op.kind == Kind::kDelete && brief) return ClientAnswer::Done();
  if (op.kind == Kind::kCompareAndSwap && truth.refused && brief) return ClientAnswer::Refused();
  if (op.kind == Kind::kScan) {
    if (Percent(random, 30)) {
      return ClientAnswer::Number(static_cast<std::int64_t>(truth.pairs.size()));
    }
    if (truth.pairs.size() > 1 && brief) {
      truth.pairs.pop_back();
      truth.more = true;
    }
  }
  return truth;
}

}  // namespace

History Script::ToHistory() const {
  History history;
  std::vector<History::Id> ids(calls.size());
  for (const Line& line : lines) {
    const Call& call = calls[line.call];
    switch (line.event) {
      case Event::kInvoke: ids[line.call] = history.Invoke(call.client, call.op); break;
      case Event::kOk: history.Ok(ids[line.call], line.answer); break;
      case Event::kFail: history.Fail(ids[line.call]); break;
      case Event::kUnknown: history.Unknown(ids[line.call]); break;
    }
  }
  return history;
}

Script RandomScript(const HistoryShape& shape, Random& random) {
  enum class Phase : std::uint8_t { kIdle, kCalled, kDone };
  struct Client {
    Phase phase = Phase::kIdle;
    std::size_t call = 0;
    ClientAnswer answer;
  };
  Script script;
  ModelStore store;
  Calls calls(shape, random);
  std::vector<Client> clients(shape.clients);
  std::vector<std::size_t> ghosts;  // calls of unknown outcome that may still take effect
  std::size_t busy = 0;
  while (script.calls.size() < shape.operations || busy > 0) {
    if (!ghosts.empty() && Percent(random, 5)) {
      store.Execute(script.calls[ghosts.back()].op);
      ghosts.pop_back();
    }
    const auto which = random.Below(clients.size());
    Client& client = clients[which];
    if (client.phase == Phase::kIdle) {
      if (script.calls.size() == shape.operations) continue;
      client.call = script.calls.size();
      client.phase = Phase::kCalled;
      script.calls.push_back({static_cast<std::uint32_t>(which), calls.Next()});
      script.lines.push_back({Script::Event::kInvoke, client.call, {}});
      ++busy;
    } else if (client.phase == Phase::kCalled) {
      // A transaction of unknown outcome is judged less strictly than a search would.
      const bool is_txn = script.calls[client.call].op.kind == Kind::kTxn;
      const bool unknown = !is_txn && Percent(random, shape.unknown_percent);
      const bool failed = !unknown && Percent(random, shape.failed_percent);
      if (!unknown && !failed) {
        const ClientOp& op = script.calls[client.call].op;
        client.answer = Told(op, store.Execute(op), random);
        client.phase = Phase::kDone;
        continue;
      }
      if (unknown && Percent(random, 70)) ghosts.push_back(client.call);
      const auto event = unknown ? Script::Event::kUnknown : Script::Event::kFail;
      script.lines.push_back({event, client.call, {}});
      client.phase = Phase::kIdle;
      --busy;
    } else {
      script.lines.push_back({Script::Event::kOk, client.call, std::move(client.answer)});
      client.phase = Phase::kIdle;
      --busy;
    }
  }
  return script;
}

namespace {

void MutateAnswer(const ClientOp& op, ClientAnswer& answer, Random& random) {
  static const std::vector<std::optional<std::string>> values = {std::nullopt, "1", "2", "3", "x"};
  if (answer.has_value) {
    answer.value = values[random.Below(values.size())];
  } else if (answer.number.has_value()) {
    *answer.number ^= 1;  // one more or less, and never out of range
  } else if (!answer.pairs.empty()) {
    const std::size_t at = random.Below(answer.pairs.size());
    if (Percent(random, 30)) {
      answer.pairs.erase(answer.pairs.begin() + static_cast<std::ptrdiff_t>(at));
    } else {
      answer.pairs[at].second = values[1 + random.Below(values.size() - 1)].value();
    }
  } else if (op.kind == Kind::kCompareAndSwap || op.kind == Kind::kTxn) {
    answer.refused = !answer.refused;
  } else if (op.kind == Kind::kDelete) {
    answer.number = static_cast<std::int64_t>(random.Below(2));
  } else if (op.kind == Kind::kIncrement) {
    answer = ClientAnswer::Number(1);
  }
}

}  // namespace

void Mutate(Script& script, Random& random) {
  const std::size_t at = random.Below(script.lines.size());
  Script::Line& line = script.lines[at];
  const Script::Event event = line.event;
  if (event == Script::Event::kOk && Percent(random, 80)) {
    if (Percent(random, 10)) {
      line.event = Script::Event::kFail;
    } else {
      MutateAnswer(script.calls[line.call].op, line.answer, random);
    }
    return;
  }
  // Two neighbours change places, unless they are the call and the return of one operation.
  if (at + 1 == script.lines.size() || script.lines[at + 1].call == line.call) return;
  std::swap(line, script.lines[at + 1]);
}

}  // namespace raftkv::test
