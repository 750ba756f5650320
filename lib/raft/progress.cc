#include "lib/raft/progress.h"

#include "lib/base/check.h"

namespace raftkv::raft {

void Inflights::Add(Index last, std::size_t bytes) {
  RAFTKV_CHECK(sent_.empty() || sent_.back().last < last);
  RAFTKV_CHECK(bytes > 0);
  sent_.push_back({last, bytes});
  bytes_ += bytes;
}

void Inflights::FreeThrough(Index match) {
  while (!sent_.empty() && sent_.front().last <= match) {
    RAFTKV_CHECK(bytes_ >= sent_.front().bytes);
    bytes_ -= sent_.front().bytes;
    sent_.pop_front();
  }
  RAFTKV_CHECK(!sent_.empty() || bytes_ == 0, bytes_);
}

void Inflights::Clear() {
  sent_.clear();
  bytes_ = 0;
}

void Progress::BecomeProbe(Index from) {
  RAFTKV_CHECK(from > match, from.value, match.value);
  state = ProgressState::kProbe;
  next = from;
  inflights.Clear();
  probe_sent = false;
  waits_for_entries = false;
}

void Progress::BecomeReplicate() {
  RAFTKV_CHECK(state == ProgressState::kProbe);
  RAFTKV_CHECK(next > match, next.value, match.value);
  RAFTKV_CHECK(inflights.messages() == 0);
  state = ProgressState::kReplicate;
  probe_sent = false;
}

void Progress::BecomeSnapshot() {
  RAFTKV_CHECK(state != ProgressState::kSnapshot);
  state = ProgressState::kSnapshot;
  inflights.Clear();
  probe_sent = false;
}

}  // namespace raftkv::raft
