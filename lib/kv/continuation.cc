#include "lib/kv/continuation.h"

#include "lib/base/bytes.h"
#include "lib/base/check.h"
#include "lib/base/mutants.h"

namespace raftkv::kv {

namespace {

/// Behind table, number and revision.
constexpr std::size_t kCountAt = 3 * sizeof(std::uint64_t);
constexpr std::size_t kKeyAt = kCountAt + sizeof(std::uint64_t);

}  // namespace

std::string EncodeContinuation(ViewId view, std::uint64_t revision, std::uint64_t count,
                               std::string_view last_key) {
  std::string out;
  AppendBigEndian64(out, view.table);
  AppendBigEndian64(out, view.number);
  AppendBigEndian64(out, revision);
  AppendBigEndian64(out, count);
  out += last_key;
  return out;
}

Result<std::uint64_t> ContinueAt(std::string_view continuation, ReadOp& read) {
  const auto table = TakeBigEndian64(continuation);
  const auto number = TakeBigEndian64(continuation);
  const auto revision = TakeBigEndian64(continuation);
  const bool whole = table.has_value() && number.has_value() && revision.has_value() &&
                     TakeBigEndian64(continuation).has_value();
  if (!whole || *table == 0 || continuation.empty()) {
    return Status(Code::kInvalidArgument,
                  "the continuation is not one that a scan has returned: pass it on unchanged");
  }
  const Range& range = read.range;
  const bool before_end = range.kind == Range::Kind::kUnbounded || continuation < range.end;
  if (continuation < range.begin || !before_end) {
    return Status(Code::kInvalidArgument,
                  "the continuation is of a scan of another range: pass the same range again");
  }
  if (read.order.descending) {
    read.range.kind = Range::Kind::kBounded;
    read.range.end = std::string(continuation);
    if (RAFTKV_MUTANT(kReversePageRepeats)) read.range.end += '\0';
    if (RAFTKV_MUTANT(kReversePageSkips)) read.range.end.pop_back();
  } else {
    read.range.begin = std::string(continuation) + '\0';
  }
  read.view = {*table, *number};
  return *revision;
}

void CarryCount(std::string_view continuation, ScanResult& page) {
  RAFTKV_CHECK(continuation.size() > kKeyAt, continuation.size());
  const std::string_view count = continuation.substr(kCountAt, kKeyAt - kCountAt);
  std::string_view bytes = count;
  page.count = *TakeBigEndian64(bytes);
  if (!page.continuation.empty()) page.continuation.replace(kCountAt, count.size(), count);
}

}  // namespace raftkv::kv
