// Which writes of unknown outcome can be known, in hindsight, to have had no effect?
//
// Every value and every delta is used once. What is in no committed entry when the run is over was
// never carried out, and a history without such doubts is quicker to judge. Nothing is hidden by
// it: who reads a value that is not in the log has read what nobody wrote.
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "lib/kv/parse.h"
#include "tests/sim/world.h"

namespace raftkv::sim {

namespace {

struct Committed {
  std::set<std::string, std::less<>> values;
  std::set<std::int64_t> deltas;

  void Add(const raft::Entry& entry) {
    if (entry.kind != raft::EntryKind::kCommand) return;
    kv::MessageBytes storage;
    kv::ParsedRequest request;
    if (!kv::ParseRequest(entry.payload.view(), SIZE_MAX, storage, request).ok()) return;
    for (const kv::ParsedOperation& operation : request.operations) {
      if (operation.kind == kv::ParsedOperation::Kind::kIncrement) deltas.insert(operation.delta);
      values.emplace(operation.value);
    }
  }

  /// May have taken effect.
  [[nodiscard]] bool Has(const test::ClientOp& op) const {
    using Kind = test::ClientOp::Kind;
    switch (op.kind) {
      case Kind::kPut:
      case Kind::kCompareAndSwap: return values.count(op.value) != 0;
      case Kind::kIncrement: return deltas.count(op.delta) != 0;
      case Kind::kBatch:
        for (const Batch::Operation& operation : op.batch) {
          if (!operation.is_delete && values.count(operation.value) == 0) return false;
        }
        return true;
      default: return true;
    }
  }
};

}  // namespace

test::History Clients::Resolved() const {
  Committed committed;
  world_.checks().VisitCommitted([&](const raft::Entry& entry) { committed.Add(entry); });
  const auto& records = history_.records();
  // (record, whether it is its return) by the number of the event.
  std::vector<std::pair<std::size_t, bool>> events(2 * records.size(), {SIZE_MAX, false});
  for (std::size_t i = 0; i < records.size(); ++i) {
    events.at(records[i].called) = {i, false};
    if (records[i].returned != test::History::kNever) events.at(records[i].returned) = {i, true};
  }
  test::History resolved;
  std::vector<test::History::Id> ids(records.size());
  for (const auto& [i, returned] : events) {
    if (i == SIZE_MAX) continue;
    const test::History::Record& record = records[i];
    if (!returned) {
      resolved.set_time_ms(record.called_ms);
      ids[i] = resolved.Invoke(record.client, record.op);
    } else {
      resolved.set_time_ms(record.returned_ms);
      if (record.outcome == test::History::Outcome::kOk) resolved.Ok(ids[i], record.answer);
      if (record.outcome == test::History::Outcome::kFailed) resolved.Fail(ids[i]);
    }
  }
  for (std::size_t i = 0; i < records.size(); ++i) {
    if (records[i].outcome == test::History::Outcome::kUnknown && !committed.Has(records[i].op)) {
      resolved.Fail(ids[i]);
    }
  }
  return resolved;
}

}  // namespace raftkv::sim
