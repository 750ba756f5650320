// How does a raftkv::LogIterator go along a log that grows and is cut meanwhile?
#pragma once

#include <chrono>
#include <cstddef>
#include <vector>

#include <raftkv/log.h>
#include <raftkv/status.h>

#include "lib/raft/types.h"

namespace raftkv::storage {

class LocalLog;

class LocalLogIterator final : public LogIterator {
 public:
  LocalLogIterator(LocalLog& log, Index from) : log_(log), next_(from) {}

  Result<LogEntry> Next() override;
  Result<LogEntry> Next(std::chrono::milliseconds timeout) override;

 private:
  LocalLog& log_;
  Index next_;
  /// Read ahead: ahead_[used_] is entry next_.
  std::vector<raft::Entry> ahead_;
  std::size_t used_ = 0;
};

}  // namespace raftkv::storage
