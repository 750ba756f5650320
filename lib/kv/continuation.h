// Where does a scan go on, and in which state? What a page's answer hands to its caller, who hands
// it back as it is.
#pragma once

#include <string>
#include <string_view>

#include <raftkv/status.h>

#include "lib/kv/request.h"

namespace raftkv::kv {

std::string EncodeContinuation(ViewId view, std::string_view last_key);
/// Makes `read`, of the whole range, one of the next page. InvalidArgument: `continuation` is
/// malformed or of another range.
Status ContinueAt(std::string_view continuation, ReadOp& read);

}  // namespace raftkv::kv
