// What may a store answer, said as plainly as it can be said?
//
// A store in one thread, and a search without any cleverness that tries every order: what the
// checker of linearizability is itself checked against.
#pragma once

#include <map>
#include <string>

#include "tests/support/linearizability/history.h"

namespace raftkv::test {

class ModelStore {
 public:
  /// With all that can be told.
  ClientAnswer Execute(const ClientOp& op);
  [[nodiscard]] const std::map<std::string, std::string>& data() const { return data_; }

 private:
  ClientAnswer Increment(const ClientOp& op);
  ClientAnswer Txn(const ClientOp& op);
  ClientAnswer Scan(const KeyRange& range) const;

  std::map<std::string, std::string> data_;
};

/// Whether an operation that in truth returned `truth` may have been answered so.
bool AnswerFits(const ClientOp& op, const ClientAnswer& truth, const ClientAnswer& answer);

/// Every order, one after the other; for a handful of operations.
bool HasOrder(const History& history);

}  // namespace raftkv::test
