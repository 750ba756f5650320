#include "lib/kv/continuation.h"

#include "lib/base/bytes.h"

namespace raftkv::kv {

std::string EncodeContinuation(ViewId view, std::string_view last_key) {
  std::string out;
  AppendBigEndian64(out, view.table);
  AppendBigEndian64(out, view.number);
  out += last_key;
  return out;
}

Status ContinueAt(std::string_view continuation, ReadOp& read) {
  const auto table = TakeBigEndian64(continuation);
  const auto number = TakeBigEndian64(continuation);
  if (!table.has_value() || !number.has_value() || *table == 0 || continuation.empty()) {
    return {Code::kInvalidArgument,
            "the continuation is none that a scan has answered with: pass it on as it is"};
  }
  const Range& range = read.range;
  const bool before_end = range.kind == Range::Kind::kUnbounded || continuation < range.end;
  if (continuation < range.begin || !before_end) {
    return {Code::kInvalidArgument,
            "the continuation is of a scan of another range: pass the same range again"};
  }
  read.range.begin = std::string(continuation) + '\0';
  read.view = {*table, *number};
  return Status::Ok();
}

}  // namespace raftkv::kv
