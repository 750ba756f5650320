#include "lib/kv/continuation.h"

#include "lib/base/bytes.h"

namespace raftkv::kv {

std::string EncodeContinuation(ViewId view, std::uint64_t revision, std::string_view last_key) {
  std::string out;
  AppendBigEndian64(out, view.table);
  AppendBigEndian64(out, view.number);
  AppendBigEndian64(out, revision);
  out += last_key;
  return out;
}

Result<std::uint64_t> ContinueAt(std::string_view continuation, ReadOp& read) {
  const auto table = TakeBigEndian64(continuation);
  const auto number = TakeBigEndian64(continuation);
  const auto revision = TakeBigEndian64(continuation);
  const bool whole = table.has_value() && number.has_value() && revision.has_value();
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
  read.range.begin = std::string(continuation) + '\0';
  read.view = {*table, *number};
  return *revision;
}

}  // namespace raftkv::kv
