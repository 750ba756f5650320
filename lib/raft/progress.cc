#include "lib/raft/progress.h"

#include "lib/base/check.h"

namespace raftkv::raft {

void Inflights::Add(Index last, std::size_t bytes) {
  RAFTKV_CHECK(sent_.empty() || sent_.back().last < last);
  sent_.push_back({last, bytes});
  bytes_ += bytes;
}

void Inflights::FreeThrough(Index match) {
  while (!sent_.empty() && sent_.front().last <= match) {
    RAFTKV_CHECK(bytes_ >= sent_.front().bytes);
    bytes_ -= sent_.front().bytes;
    sent_.pop_front();
  }
}

void Inflights::Clear() {
  sent_.clear();
  bytes_ = 0;
}

}  // namespace raftkv::raft
