// Where does a scan continue, and in which state? What a page's answer hands to its caller, who
// hands it back as it is.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <raftkv/status.h>

#include "lib/kv/request.h"

namespace raftkv::kv {

std::string EncodeContinuation(ViewId view, std::uint64_t revision, std::uint64_t count,
                               std::string_view last_key);
/// Makes `read`, of the whole range, one of the next page, and returns the revision that the answer
/// must have: a member of an earlier version does not know of views, and would answer from the
/// state of now. InvalidArgument: `continuation` is malformed or of another range.
Result<std::uint64_t> ContinueAt(std::string_view continuation, ReadOp& read);
/// Gives `page`, which came of `continuation`, the count of the first page: the range is counted
/// once.
void CarryCount(std::string_view continuation, ScanResult& page);

}  // namespace raftkv::kv
