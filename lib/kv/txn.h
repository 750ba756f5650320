// How is a transaction carried out: all of it or nothing?
//
// It is planned first, against the state before it: its compares, those of nested transactions
// included (as etcd has it), then each operation of the branches that are taken, reads with the
// writes before them laid over that state. Whatever refuses the transaction shows then. After that
// its writes are carried out, and none of them can be refused: a branch writes a key once
// (txn_limits.h), so that an increment meets the value that was planned for. Nothing is ever
// undone.
#pragma once

#include <cstddef>
#include <cstdint>

#include <raftkv/status.h>

#include "lib/kv/parse.h"
#include "lib/kv/pending_write.h"
#include "lib/kv/request.h"

namespace raftkv::kv {

/// What the results of a request may still hold in keys and values (kMaxCallAnswerBytes).
class AnswerRoom {
 public:
  void BeginCall() { call_bytes_ = 0; }
  /// False: there is no room, and `refusal` says so.
  [[nodiscard]] bool Take(std::string_view key, std::string_view value, OperationResult& refusal);
  /// What a pair takes of it.
  static std::size_t BytesOf(std::string_view key, std::string_view value);

 private:
  std::size_t bytes_ = 0;
  std::size_t call_bytes_ = 0;
};

/// Whether `compare` holds for the keys as if everything pending were written.
Result<bool> Holds(const ParsedCompare& compare, PendingWrite& pending);

/// Fills `previous` with what is in `range`. Where that has no room `result` becomes a refusal.
Status CollectPrevious(const RangeView& range, PendingWrite& pending, AnswerRoom& room,
                       OperationResult& result);

/// At `revision`, which it takes if it changes something.
Status ExecuteTxn(const ParsedTxn& txn, std::uint64_t revision, PendingWrite& pending,
                  AnswerRoom& room, OperationResult& result);

}  // namespace raftkv::kv
