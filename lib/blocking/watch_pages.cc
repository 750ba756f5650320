#include "lib/blocking/watch_pages.h"

#include "lib/base/mutants.h"

namespace raftkv {
namespace {

std::size_t BytesOf(const KeyValue& kv) {
  return sizeof(KeyValue) + kv.key.size() + kv.value.size();
}

std::size_t BytesOf(const WatchEvent& event) {
  return BytesOf(event.kv) + (event.previous.has_value() ? BytesOf(*event.previous) : 0);
}

}  // namespace

void WatchPages::Emit(std::deque<WatchResponse>& responses, bool more) {
  if (open_.events.empty()) return;
  open_.more = more;
  responses.push_back(std::exchange(open_, {}));
  open_bytes_ = 0;
}

void WatchPages::Take(WatchPage page, std::deque<WatchResponse>& responses) {
  const bool begins = position_.next == 0;
  const bool is_empty = page.events.empty();
  position_ = page.position;
  for (WatchEvent& event : page.events) {
    if (event.kv.mod_revision != open_.revision) Emit(responses, /*more=*/false);
    if (open_bytes_ >= max_response_bytes_) Emit(responses, /*more=*/true);
    open_.revision = event.kv.mod_revision;
    open_bytes_ += BytesOf(event);
    open_.events.push_back(std::move(event));
  }
  const bool is_whole = position_.next > open_.revision || RAFTKV_MUTANT(kRevisionSplitByPage);
  if (is_whole) Emit(responses, /*more=*/false);
  // Behind all events, by one position: it cannot overtake any. A member that is behind, or a watch
  // of what is to come, has nothing to tell.
  const std::uint64_t through =
      RAFTKV_MUTANT(kProgressOfMember) ? page.revision : position_.next - 1;
  const bool is_news = through >= told_ && page.revision >= through && position_.delivered == 0;
  if (!is_empty || !is_news || !(begins || tells_progress_)) return;
  told_ = through;
  responses.push_back({.revision = through, .events = {}, .more = false});
}

}  // namespace raftkv
