// How is a range of any size read, page after page, from one state?
//
// The next page is asked for as soon as one is there, so that it is under way while the caller
// looks at this one.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <future>
#include <memory>
#include <optional>
#include <utility>

#include <raftkv/kv.h>

#include "lib/base/check.h"
#include "lib/base/host_code.h"
#include "lib/base/time.h"

namespace raftkv {
namespace {

using std::chrono::steady_clock;

/// Many pairs, and little to hold twice.
constexpr std::uint32_t kPageBytes = 512 << 10;

/// `count` is then the number of pairs in the end, without another visit of the range.
bool ShowsAll(const ScanOptions& options) {
  return options.limit == 0 && !options.count_only && options.min_mod_revision == 0 &&
         options.max_mod_revision == 0 && options.min_create_revision == 0 &&
         options.max_create_revision == 0;
}

}  // namespace

struct RangeIterator::State {
  /// `until`: when the last page has to be there; none: each has the timeout of the options.
  State(KV& asked_kv, KeyRange asked_range, ScanOptions asked,
        std::optional<steady_clock::time_point> until)
      : kv(asked_kv),
        range(std::move(asked_range)),
        options(std::move(asked)),
        deadline(until),
        shows_all(ShowsAll(options)),
        left(options.limit) {
    options.skip_count = options.skip_count || shows_all;
    Ask();
  }

  void Ask() {
    if (options.limit != 0) options.limit = left;
    if (deadline.has_value()) {
      options.timeout =
          std::max(std::chrono::ceil<std::chrono::milliseconds>(*deadline - steady_clock::now()),
                   std::chrono::milliseconds(0));
    }
    // Shared: the promise must outlive set_value on the other thread, and this object may be gone.
    const auto promise = std::make_shared<std::promise<Result<ScanResult>>>();
    next = promise->get_future();
    kv.ScanAsync(range, options,
                 [promise](Result<ScanResult> result) { promise->set_value(std::move(result)); });
  }

  /// Makes the next page the present one, if there is one.
  bool TakePage() {
    if (!next.valid()) return false;
    if (status = MayBlock("the iterator of a range"); !status.ok()) return false;
    Result<ScanResult> result = next.get();
    status = result.status();
    if (!status.ok()) return false;
    page = *std::move(result);
    if (revision == 0) {
      count = page.count;
      store_revision = page.store_revision;
    }
    revision = page.revision;
    if (shows_all) count = shown + page.kvs.size();
    shown += page.kvs.size();
    if (options.limit != 0) left -= std::min<std::uint64_t>(left, page.kvs.size());
    const bool ends = !page.more || page.kvs.empty() || (options.limit != 0 && left == 0);
    if (ends) return true;
    if (page.continuation.empty()) {
      status = {Code::kVersionMismatch,
                "the answer does not say where the next page begins: upgrade the member"};
      return false;
    }
    options.continuation = std::move(page.continuation);
    Ask();
    return true;
  }

  KV& kv;
  const KeyRange range;
  ScanOptions options;  ///< of the next page
  const std::optional<steady_clock::time_point> deadline;
  const bool shows_all;
  std::uint64_t left;  ///< of the limit
  std::uint64_t shown = 0;
  std::uint64_t revision = 0;
  std::uint64_t store_revision = 0;  ///< as of the first page
  std::uint64_t count = 0;
  std::future<Result<ScanResult>> next;
  ScanResult page;
  std::size_t following = 0;  ///< in the page, behind the present pair
  Status status;
};

RangeIterator::RangeIterator(std::unique_ptr<State> state) : state_(std::move(state)) {}
RangeIterator::RangeIterator(RangeIterator&& other) noexcept = default;
RangeIterator& RangeIterator::operator=(RangeIterator&& other) noexcept = default;
RangeIterator::~RangeIterator() = default;

bool RangeIterator::Next() {
  State& state = *state_;
  if (!state.status.ok()) return false;
  while (state.following >= state.page.kvs.size()) {
    const bool more = state.TakePage();
    state.following = 0;
    if (more) continue;
    state.page.kvs.clear();
    return false;
  }
  ++state.following;
  return true;
}

KeyValue& RangeIterator::operator*() {
  RAFTKV_CHECK(state_->following > 0);
  return state_->page.kvs[state_->following - 1];
}

const Status& RangeIterator::status() const { return state_->status; }
std::uint64_t RangeIterator::revision() const { return state_->revision; }
std::uint64_t RangeIterator::store_revision() const { return state_->store_revision; }
std::uint64_t RangeIterator::count() const { return state_->count; }
bool RangeIterator::more() const { return state_->page.more; }

RangeIterator KV::Range(KeyRange range, ScanOptions options) {
  if (options.page_bytes == 0) options.page_bytes = kPageBytes;
  options.continuation.clear();
  return RangeIterator(std::make_unique<RangeIterator::State>(*this, std::move(range),
                                                              std::move(options), std::nullopt));
}

Result<ScanResult> KV::ScanAll(KeyRange range, ScanOptions options) {
  constexpr int kAttempts = 5;
  if (Status may = MayBlock("a blocking call"); !may.ok()) return may;
  const auto deadline = steady_clock::now() + BoundedTimeout(options.timeout);
  options.continuation.clear();
  Status lost;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    RangeIterator it(std::make_unique<RangeIterator::State>(*this, range, options, deadline));
    ScanResult all;
    while (it.Next()) all.kvs.push_back(std::move(*it));
    if (it.status().ok()) {
      all.count = it.count();
      all.more = it.more();
      all.revision = it.revision();
      all.store_revision = it.store_revision();
      return all;
    }
    lost = it.status();
    if (lost.code() != Code::kCompacted || options.revision != 0) break;
  }
  return lost;
}

}  // namespace raftkv
