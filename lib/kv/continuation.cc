#include "lib/kv/continuation.h"

#include "lib/base/bytes.h"
#include "lib/base/check.h"
#include "lib/base/mutants.h"

namespace raftkv::kv {

namespace {

/// Behind the revision.
constexpr std::size_t kCountAt = sizeof(std::uint64_t);
constexpr std::size_t kKeyAt = kCountAt + sizeof(std::uint64_t);

}  // namespace

void CompletePage(const ReadOp& read, ScanResult& page) {
  page.store_revision = page.revision;
  if (read.revision != 0) page.revision = read.revision;
  if (!page.more || page.kvs.empty() || read.order.NeedsAll()) return;
  AppendBigEndian64(page.continuation, page.revision);
  AppendBigEndian64(page.continuation, page.count);
  page.continuation += page.kvs.back().key;
}

Status ContinueAt(std::string_view continuation, ReadOp& read) {
  const auto revision = TakeBigEndian64(continuation);
  const bool whole = revision.has_value() && TakeBigEndian64(continuation).has_value();
  if (!whole || *revision == 0 || continuation.empty()) {
    return {Code::kInvalidArgument,
            "the continuation is not one that a scan has returned: pass it on unchanged"};
  }
  if (read.revision != 0 && read.revision != *revision) {
    return {Code::kInvalidArgument,
            "the continuation is of a scan of another revision: pass the same revision again"};
  }
  const Range& range = read.range;
  const bool before_end = range.kind == Range::Kind::kUnbounded || continuation < range.end;
  if (continuation < range.begin || !before_end) {
    return {Code::kInvalidArgument,
            "the continuation is of a scan of another range: pass the same range again"};
  }
  if (read.order.descending) {
    read.range.kind = Range::Kind::kBounded;
    read.range.end = std::string(continuation);
    if (RAFTKV_MUTANT(kReversePageRepeats)) read.range.end += '\0';
    if (RAFTKV_MUTANT(kReversePageSkips)) read.range.end.pop_back();
  } else {
    read.range.begin = std::string(continuation) + '\0';
  }
  read.revision = *revision;
  return Status::Ok();
}

void CarryCount(std::string_view continuation, ScanResult& page) {
  RAFTKV_CHECK(continuation.size() > kKeyAt, continuation.size());
  const std::string_view count = continuation.substr(kCountAt, kKeyAt - kCountAt);
  std::string_view bytes = count;
  page.count = *TakeBigEndian64(bytes);
  if (!page.continuation.empty()) page.continuation.replace(kCountAt, count.size(), count);
}

}  // namespace raftkv::kv
