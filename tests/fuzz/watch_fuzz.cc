// What a watcher asks a member for, and what it is answered: what is understood is encoded again to
// the same, and the events that are handed out come in order and not beyond their position.
#include <algorithm>
#include <string>
#include <vector>

#include "lib/kv/watch.h"
#include "tests/fuzz/fuzz.h"

namespace raftkv::fuzz {
namespace {

void CheckRequest(std::string_view bytes) {
  const Limits limits;
  const Result<kv::WatchOp> op = kv::DecodeWatchRequest(bytes, limits);
  if (!op.ok()) {
    return CheckRefusal(op.status(), {Code::kInvalidArgument, Code::kVersionMismatch});
  }
  RAFTKV_CHECK(op->puts || op->deletes);
  RAFTKV_CHECK(op->max_bytes > 0);
  RAFTKV_CHECK(op->max_bytes <= kv::kWatchPageBytes, op->max_bytes);
  RAFTKV_CHECK(!op->resumes || op->position.next != 0);
  RAFTKV_CHECK(kv::CheckWatch(*op, limits).ok());
  const Bytes encoded = kv::EncodeWatchRequest(*op);
  const Result<kv::WatchOp> again = kv::DecodeWatchRequest(encoded.view(), limits);
  RAFTKV_CHECK(again.ok(), again.status().ToString());
  RAFTKV_CHECK(kv::EncodeWatchRequest(*again) == encoded);
}

kv::Counts CountsOf(const KeyValue& kv) {
  return {.mod_revision = kv.mod_revision,
          .create_revision = kv.create_revision,
          .version = kv.version,
          .lease = kv.lease};
}

kv::WatchEventView ViewOf(const WatchEvent& event) {
  kv::WatchEventView view;
  view.revision = event.kv.mod_revision;
  view.kind = event.kind == WatchEvent::Kind::kPut ? kv::ChangeKind::kPut : kv::ChangeKind::kDelete;
  view.key = event.kv.key;
  view.value = event.kv.value;
  view.counts = CountsOf(event.kv);
  if (event.previous.has_value()) {
    view.previous = {.value = event.previous->value, .counts = CountsOf(*event.previous)};
  }
  return view;
}

void CheckResponse(std::string_view bytes, std::uint64_t from) {
  kv::WatchOp op;
  op.position.next = from;
  const Result<WatchPage> page = kv::DecodeWatchResponse(bytes, op);
  if (!page.ok()) {
    return CheckRefusal(page.status(), {Code::kCorruption, Code::kVersionMismatch});
  }
  RAFTKV_CHECK(page->position.next >= from, page->position.next);
  std::uint64_t revision = from;
  std::vector<kv::WatchEventView> views;
  for (const WatchEvent& event : page->events) {
    RAFTKV_CHECK(event.kv.mod_revision >= revision, event.kv.mod_revision, revision);
    revision = event.kv.mod_revision;
    views.push_back(ViewOf(event));
  }
  RAFTKV_CHECK(views.empty() || revision <= page->position.next, revision);
  const Bytes encoded = kv::EncodeWatchResponse(views, page->position, page->revision);
  const Result<WatchPage> again = kv::DecodeWatchResponse(encoded.view(), op);
  RAFTKV_CHECK(again.ok(), again.status().ToString());
  RAFTKV_CHECK(again->position == page->position);
  RAFTKV_CHECK(again->revision == page->revision);
  RAFTKV_CHECK(again->events.size() == page->events.size());
  for (std::size_t i = 0; i < views.size(); ++i) {
    const WatchEvent& event = again->events[i];
    RAFTKV_CHECK(event.kind == page->events[i].kind);
    RAFTKV_CHECK(event.kv.key == page->events[i].kv.key);
    RAFTKV_CHECK(event.kv.value == page->events[i].kv.value);
    RAFTKV_CHECK(event.kv.mod_revision == page->events[i].kv.mod_revision);
    RAFTKV_CHECK(event.previous.has_value() == page->events[i].previous.has_value());
  }
}

}  // namespace
}  // namespace raftkv::fuzz

RAFTKV_FUZZ_TARGET(watch) {
  if (input.empty()) return;
  const std::size_t which = TakeCase(input, 4);
  if (which == 0) return CheckRequest(input);
  // From three positions: not known yet, in the middle of the seeds' events, beyond them.
  static constexpr std::uint64_t kPositions[] = {0, 5, 1000};
  CheckResponse(input, kPositions[which - 1]);
}
