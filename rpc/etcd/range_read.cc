#include "rpc/etcd/range_read.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/kv/order.h"
#include "lib/kv/refusals.h"
#include "rpc/etcd/current_revision.h"
#include "rpc/etcd/errors.h"
#include "rpc/etcd/range_plan.h"

namespace raftkv::etcd {
namespace {

using std::chrono::milliseconds;

/// A pair in memory, beyond key and value.
constexpr std::size_t kPairBytes = 64;
/// The state that a read of several pages began with may be compacted meanwhile.
constexpr int kMaxAttempts = 5;

class RangeRead : public std::enable_shared_from_this<RangeRead> {
 public:
  RangeRead(RangeReads reads, const RangeRequest& request, MonoTime deadline, RangeDone done)
      : reads_(std::move(reads)),
        plan_(PlanOf(request)),
        named_revision_(request.revision > 0 ? static_cast<std::uint64_t>(request.revision) : 0),
        deadline_(deadline),
        done_(std::move(done)),
        options_(plan_.options) {
    options_.consistency = request.serializable ? Consistency::kLocal : Consistency::kLinearizable;
    options_.revision = named_revision_;
  }
  RangeRead(const RangeRead&) = delete;
  RangeRead& operator=(const RangeRead&) = delete;
  ~RangeRead() { GiveBack(); }

  void Begin() {
    if (plan_.keys.kind == NamedKeys::Kind::kSingle) return AskForKey();
    Ask();
  }

 private:
  [[nodiscard]] milliseconds TimeLeft() const {
    const auto left = deadline_ - reads_.backend.loop.Now();
    return std::max(std::chrono::ceil<milliseconds>(left), milliseconds(0));
  }

  void AskForKey() {
    ReadOptions options = options_;
    options.timeout = TimeLeft();
    reads_.backend.kv.GetManyAsync(
        {plan_.keys.range.begin}, options,
        reads_.life.Guard([self = shared_from_this()](Result<GetManyResult> found) {
          self->OnKey(std::move(found));
        }));
  }

  void OnKey(Result<GetManyResult> found) {
    if (!found.ok()) return Fail(ToOutcome(found.status()));
    std::vector<raftkv::KeyValue> kvs;
    if (found->kvs.front().has_value()) kvs.push_back(*std::move(found->kvs.front()));
    count_ = kvs.size();
    revision_ = found->revision;
    if (Outcome full = Take(std::move(kvs)); !full.ok()) return Fail(std::move(full));
    Finish(/*more=*/false);
  }

  void Ask() {
    options_.timeout = TimeLeft();
    reads_.backend.kv.ScanAsync(plan_.keys.range, options_,
                                reads_.life.Guard([self = shared_from_this()](auto page) {
                                  self->OnPage(std::move(page));
                                }));
  }

  void OnPage(Result<ScanResult> page) {
    if (!page.ok()) return OnFailure(page.status());
    if (options_.continuation.empty()) count_ = page->count;
    revision_ = page->revision;
    if (Outcome full = Take(std::move(page->kvs)); !full.ok()) return Fail(std::move(full));
    const std::uint64_t limit = sorts_here_ ? 0 : plan_.options.limit;
    const bool at_limit = limit != 0 && taken_ >= limit;
    if (at_limit || page->continuation.empty()) {
      if (options_.skip_count && !options_.count_only) count_ = taken_;
      return Finish(page->more);
    }
    if (limit != 0) options_.limit = limit - taken_;
    options_.continuation = std::move(page->continuation);
    Ask();
  }

  Outcome Take(std::vector<raftkv::KeyValue> kvs) {
    std::size_t bytes = 0;
    for (const auto& kv : kvs) bytes += kv.key.size() + kv.value.size() + kPairBytes;
    if (!sorter_.has_value() && bytes_ + bytes > reads_.max_answer_bytes) return TooLarge();
    if (!sorter_.has_value() && !Hold(bytes)) return kTooManyRequests;
    bytes_ += bytes;
    taken_ += kvs.size();
    for (raftkv::KeyValue& kv : kvs) {
      if (!sorter_.has_value()) {
        kvs_.push_back(std::move(kv));
        continue;
      }
      const kv::Counts counts{.mod_revision = kv.mod_revision,
                              .create_revision = kv.create_revision,
                              .version = kv.version,
                              .lease = kv.lease};
      if (!sorter_->Add(kv.key, kv.value, counts, kv.key.size() + kv.value.size() + kPairBytes)) {
        return TooLarge();
      }
    }
    return {};
  }

  void OnFailure(const Status& status) {
    const bool was_lost = status.code() == Code::kCompacted && named_revision_ == 0 &&
                          !options_.continuation.empty() && attempts_ < kMaxAttempts;
    if (was_lost) return Restart();
    const bool sorts_there = options_.order != OrderBy::kKey;
    if (!sorts_there || !kv::IsAnswerTooLarge(status)) return Fail(ToOutcome(status));
    // Once it is all here it takes no more than an answer may, or is refused.
    if (!Hold(reads_.max_answer_bytes)) return Fail(kTooManyRequests);
    const bool by_value = options_.order == OrderBy::kValue;
    options_.order = OrderBy::kKey;
    options_.reverse = false;
    options_.keys_only = options_.keys_only && !by_value;
    sorts_here_ = true;
    Restart();
  }

  void Restart() {
    ++attempts_;
    options_.continuation.clear();
    options_.limit = sorts_here_ ? 0 : plan_.options.limit;
    kvs_.clear();
    taken_ = 0;
    bytes_ = 0;
    if (sorts_here_) {
      sorter_.emplace(kv::OrderOf(plan_.options), plan_.limit, reads_.max_answer_bytes);
    } else {
      GiveBack();
    }
    Ask();
  }

  void Finish(bool more) {
    if (sorter_.has_value()) {
      more = plan_.limit != 0 && sorter_->added() > plan_.limit;
      for (kv::Sorter::Pair& pair : sorter_->Take()) {
        kvs_.push_back({.key = std::move(pair.key),
                        .value = std::move(pair.value),
                        .mod_revision = pair.counts.mod_revision,
                        .create_revision = pair.counts.create_revision,
                        .version = pair.counts.version,
                        .lease = pair.counts.lease});
      }
    }
    answer_ = AnswerOf(plan_, std::exchange(kvs_, {}), count_, more);
    if (named_revision_ == 0) return Answer(revision_);
    if (options_.consistency == Consistency::kLocal) return Answer(0);
    // The state that was asked for is the same at every member; what the store has come to is not.
    WithCurrentRevision(reads_.backend, reads_.life, TimeLeft(),
                        [self = shared_from_this()](const Result<std::uint64_t>& revision) {
                          if (!revision.ok()) return self->Fail(ToOutcome(revision.status()));
                          self->Answer(*revision);
                        });
  }

  void Answer(std::uint64_t revision) {
    answer_.header = MakeHeader(reads_.backend, revision);
    std::exchange(done_, nullptr)({}, std::move(answer_));
  }

  void Fail(Outcome outcome) { std::exchange(done_, nullptr)(std::move(outcome), {}); }

  [[nodiscard]] Outcome TooLarge() const {
    return {GrpcCode::kResourceExhausted, "etcdserver: the range is larger than " +
                                              std::to_string(reads_.max_answer_bytes) +
                                              " bytes: set a limit and read it in parts"};
  }

  bool Hold(std::size_t bytes) {
    if (!reads_.budget->Take(bytes)) return false;
    held_bytes_ += bytes;
    return true;
  }
  void GiveBack() { reads_.budget->Give(std::exchange(held_bytes_, 0)); }

  // Constant after construction.
  const RangeReads reads_;
  const RangePlan plan_;
  const std::uint64_t named_revision_;
  const MonoTime deadline_;

  RangeDone done_;
  ScanOptions options_;  ///< of the next page
  int attempts_ = 1;
  bool sorts_here_ = false;
  std::optional<kv::Sorter> sorter_;
  // Of this attempt.
  std::vector<raftkv::KeyValue> kvs_;
  std::uint64_t taken_ = 0;
  std::size_t bytes_ = 0;
  std::uint64_t count_ = 0;
  std::uint64_t revision_ = 0;
  std::size_t held_bytes_ = 0;
  RangeResponse answer_;  ///< all but its header
};

}  // namespace

void ReadRange(const RangeReads& reads, const RangeRequest& request, MonoTime deadline,
               RangeDone done) {
  std::make_shared<RangeRead>(reads, request, deadline, std::move(done))->Begin();
}

}  // namespace raftkv::etcd
