#include "storage/local_log/log_iterator.h"

#include <algorithm>
#include <string>
#include <utility>

#include "lib/base/host_code.h"
#include "lib/base/time.h"
#include "storage/local_log/local_log.h"

namespace raftkv::storage {

namespace {

constexpr std::size_t kPrefetchBytes = 256 << 10;

}  // namespace

Result<LogEntry> LocalLogIterator::Next() {
  if (used_ == ahead_.size()) {
    Result<std::vector<raft::Entry>> read = log_.ReadFrom(next_, kPrefetchBytes);
    if (!read.ok()) return read.status();
    ahead_ = std::move(*read);
    used_ = 0;
  }
  const raft::Entry& entry = ahead_[used_++];
  next_ = entry.index.Next();
  return LogEntry{entry.index.value, std::string(entry.payload.view())};
}

Result<LogEntry> LocalLogIterator::Next(std::chrono::milliseconds timeout) {
  if (Status may = MayBlock("Next"); !may.ok()) return may;
  const auto deadline = std::chrono::steady_clock::now() + BoundedTimeout(timeout);
  while (true) {
    Result<LogEntry> entry = Next();
    if (entry.code() != Code::kNotFound) return entry;
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    // Cut and written anew between the two, it may be gone again.
    if (Status there = log_.WaitFor(next_, left); !there.ok()) return there;
  }
}

}  // namespace raftkv::storage
