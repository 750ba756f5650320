#include "lib/session/multi_get.h"

#include <numeric>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/mutants.h"

namespace raftkv::node {
namespace {

constexpr int kAttempts = 5;

}  // namespace

MultiGet::MultiGet(std::vector<std::string> keys, std::uint64_t revision, Ask ask,
                   Callback<GetManyResult> done)
    : keys_(std::move(keys)), revision_(revision), ask_(std::move(ask)), done_(std::move(done)) {}

void MultiGet::Begin(std::vector<std::string> keys, std::uint64_t revision, Ask ask,
                     Callback<GetManyResult> done) {
  if (keys.empty()) return done(Status(Code::kInvalidArgument, "no key is named"));
  const std::shared_ptr<MultiGet> get(
      new MultiGet(std::move(keys), revision, std::move(ask), std::move(done)));
  get->AskForAll();
}

void MultiGet::AskForAll() {
  ++attempts_;
  result_.kvs.assign(keys_.size(), std::nullopt);
  result_.revision = revision_;
  rest_.resize(keys_.size());
  std::iota(rest_.begin(), rest_.end(), std::size_t{0});
  AskForRest();
}

void MultiGet::AskForRest() {
  const std::uint64_t revision = RAFTKV_MUTANT(kMultiGetOfTwoStates) ? 0 : result_.revision;
  std::vector<kv::ReadOp> reads;
  reads.reserve(rest_.size());
  for (const std::size_t i : rest_) {
    reads.push_back({.range = kv::Range::Single(keys_[i]), .revision = revision});
  }
  ask_(std::move(reads), [self = shared_from_this()](Result<std::vector<kv::ReadAnswer>> answer) {
    self->OnAnswer(std::move(answer));
  });
}

void MultiGet::OnAnswer(Result<std::vector<kv::ReadAnswer>> answer) {
  const bool continues = rest_.size() < keys_.size();
  if (!answer.ok()) {
    const bool lost = continues && revision_ == 0 && answer.code() == Code::kCompacted;
    if (lost && attempts_ < kAttempts) return AskForAll();
    return done_(answer.status());
  }
  RAFTKV_CHECK(answer->size() == rest_.size(), answer->size(), rest_.size());
  RAFTKV_CHECK(!LeftOut(answer->front()));
  const bool asked_for_latest = result_.revision == 0 || RAFTKV_MUTANT(kMultiGetOfTwoStates);
  if (asked_for_latest) result_.revision = answer->front().revision;
  std::vector<std::size_t> left_out;
  for (std::size_t i = 0; i < rest_.size(); ++i) {
    ScanResult& found = (*answer)[i];
    if (LeftOut(found)) left_out.push_back(rest_[i]);
    if (!found.kvs.empty()) result_.kvs[rest_[i]] = std::move(found.kvs.front());
  }
  rest_ = std::move(left_out);
  if (!rest_.empty()) return AskForRest();
  done_(std::move(result_));
}

}  // namespace raftkv::node
