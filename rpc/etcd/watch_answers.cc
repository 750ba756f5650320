#include "rpc/etcd/watch_answers.h"

#include <utility>

#include "rpc/etcd/key_range.h"

namespace raftkv::etcd {

namespace {

/// Of a pair, besides key and value: tags, lengths and counts.
constexpr std::size_t kEventPairBytes = 48;

std::size_t PairBytes(const raftkv::KeyValue& kv) {
  return kEventPairBytes + kv.key.size() + kv.value.size();
}

Event ToEvent(WatchEvent event) {
  Event to;
  to.type =
      event.kind == WatchEvent::Kind::kDelete ? EventTypeNames::kDelete : EventTypeNames::kPut;
  to.kv = ToEtcd(std::move(event.kv));
  if (event.previous.has_value()) to.prev_kv = ToEtcd(*std::move(event.previous));
  return to;
}

}  // namespace

std::size_t BytesOf(const WatchEvent& event) {
  return PairBytes(event.kv) + (event.previous.has_value() ? PairBytes(*event.previous) : 0);
}

std::vector<WatchResponse> AnswersOf(const ResponseHeader& header, std::int64_t watch_id,
                                     std::vector<WatchEvent> events, std::size_t fragment_bytes) {
  std::vector<WatchResponse> answers;
  std::size_t bytes = 0;
  for (WatchEvent& event : events) {
    const std::size_t takes = BytesOf(event);
    const bool is_full = fragment_bytes != 0 && bytes + takes > fragment_bytes && bytes > 0;
    if (answers.empty() || is_full) {
      if (is_full) answers.back().fragment = true;
      WatchResponse& answer = answers.emplace_back();
      answer.header = header;
      answer.watch_id = watch_id;
      bytes = 0;
    }
    bytes += takes;
    answers.back().events.push_back(ToEvent(std::move(event)));
  }
  return answers;
}

}  // namespace raftkv::etcd
