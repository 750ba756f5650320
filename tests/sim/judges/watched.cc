#include "tests/sim/judges/watched.h"

#include <algorithm>
#include <utility>

#include "lib/kv/watch.h"
#include "tests/sim/world.h"

namespace raftkv::sim {

namespace {

bool IsBefore(const WatchPosition& a, const WatchPosition& b) {
  return a.next != b.next ? a.next < b.next : a.delivered < b.delivered;
}

std::string Text(const WatchPosition& position) {
  return "revision " + std::to_string(position.next) + " after " +
         std::to_string(position.delivered) + " of its events";
}

std::string Text(const WatchResponse& response) {
  const std::string of = " of revision " + std::to_string(response.revision);
  if (response.is_progress()) return "progress" + of;
  return std::to_string(response.events.size()) + " events" + of +
         (response.more ? ", and that more follow" : "");
}

}  // namespace

void Watched::Fail(const char* checker, const Watch& watch, const std::string& what) {
  world_.Fail(checker, watch.told.name + " " + what);
}

std::size_t Watched::Begin(WatchTold watch) {
  watch.position = {.next = watch.start, .delivered = 0};
  watches_.push_back({.told = std::move(watch)});
  return watches_.size() - 1;
}

void Watched::OnAsked(std::size_t number) {
  Watch& watch = watches_.at(number);
  if (watch.begun) return;
  watch.written = world_.clients().WriteFloor();
  watch.compacted = compacted_;
}

void Watched::OnCompacted(std::uint64_t revision) { compacted_ = std::max(compacted_, revision); }

void Watched::OnAnswer(const Host& host, const Bytes& request, const Result<Bytes>& answer) {
  if (answer.code() == Code::kCorruption) {
    world_.Fail("answers", host.name + " cannot read its events: " + answer.status().ToString());
  }
  if (!answer.ok()) return;
  const auto op = kv::DecodeWatchRequest(request.view(), Limits());
  const auto page = op.ok() ? kv::DecodeWatchResponse(answer->view(), *op) : op.status();
  if (page.ok()) return;
  world_.Fail("answers", host.name + " answers a watch of " + Text(op->position) +
                             " wrongly: " + page.status().ToString());
}

/// The first page.
void Watched::CheckBegin(const Watch& watch, const WatchPage& page) {
  if (watch.told.start == 0 && !page.events.empty()) {
    Fail("watches begin", watch, "is told events before it knows where it begins");
  }
  if (watch.told.start == 0 && page.position.next <= watch.written) {
    Fail("watches begin", watch,
         "begins at revision " + std::to_string(page.position.next) + ", but " +
             std::to_string(watch.written) + " was acknowledged before it was asked for");
  }
  if (watch.told.start != 0 && watch.told.start < watch.compacted) {
    Fail("compacted watches", watch,
         "begins at revision " + std::to_string(watch.told.start) + ", but a compact up to " +
             std::to_string(watch.compacted) + " was acknowledged before it was asked for");
  }
}

void Watched::OnPage(std::size_t number, const WatchPosition& asked, const WatchPage& page) {
  Watch& watch = watches_.at(number);
  const std::uint64_t reached = world_.checks().revision();
  if (page.revision > reached) {
    Fail("watch positions", watch,
         "is told of revision " + std::to_string(page.revision) + ", which no member has");
  }
  if (!std::exchange(watch.begun, true)) {
    CheckBegin(watch, page);
    if (watch.told.start == 0) watch.told.start = page.position.next;
  }
  const bool ahead = IsBefore(asked, page.position);
  if (!ahead && (!page.events.empty() || IsBefore(page.position, asked))) {
    Fail("watch positions", watch,
         "asks at " + Text(asked) + " and is to go on at " + Text(page.position));
  }
  if (ahead && page.position.next > reached + 1) {
    Fail("watch positions", watch,
         "is to go on at " + Text(page.position) + ", and no member is beyond " +
             std::to_string(reached));
  }
  watch.told.position = page.position;
}

void Watched::OnResponse(std::size_t number, WatchResponse response) {
  Watch& watch = watches_.at(number);
  auto& responses = watch.told.responses;
  if (!responses.empty()) {
    const WatchResponse& last = responses.back().response;
    // A part goes on; what a progress notice tells may have been told just before.
    const bool may_stay = response.is_progress() != last.more;
    const bool goes_back = response.revision < last.revision;
    const bool stays = response.revision == last.revision;
    if (goes_back || (stays && !may_stay) || (last.more && !stays)) {
      Fail("watched events", watch, "is told " + Text(response) + " after " + Text(last));
    }
  }
  responses.push_back({.response = std::move(response), .compacted = world_.checks().compacted()});
}

void Watched::OnCompacted(std::size_t number, const WatchPosition& asked) {
  const Watch& watch = watches_.at(number);
  if (asked.next != 0 && asked.next < world_.checks().compacted()) return;
  Fail("compacted watches", watch,
       "is refused at revision " + std::to_string(asked.next) + ", and no member has compacted it");
}

void Watched::CompareWithModel(const Model& model) {
  for (const Watch& watch : watches_) {
    if (const auto fault = CompareWatch(model, watch.told)) {
      Fail(fault->checker, watch, fault->what);
      return;
    }
  }
}

}  // namespace raftkv::sim
