// How is an answer written down?
#pragma once

#include <cstdint>

#include "lib/base/bytes.h"
#include "lib/kv/request.h"

namespace raftkv::kv {

/// `results` may be empty: every operation is ok without anything to say.
Bytes EncodeResponse(const Response& response);

}  // namespace raftkv::kv
