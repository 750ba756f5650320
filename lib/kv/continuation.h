// Where does a scan continue, and at which revision? What a page's answer hands to its caller, who
// hands it back as it is.
#pragma once

#include <string>
#include <string_view>

#include <raftkv/status.h>

#include "lib/kv/request.h"

namespace raftkv::kv {

/// Completes `page`, as it was decoded, which answers `read`: the revision that it shows, the one
/// that the store had come to, and what asks for the page after it. That is of the same revision,
/// whichever member answers it.
void CompletePage(const ReadOp& read, ScanResult& page);
/// Makes `read`, of the whole range, one of the next page. InvalidArgument: `continuation` is
/// malformed, or of another range or revision.
Status ContinueAt(std::string_view continuation, ReadOp& read);
/// Gives `page`, which came of `continuation`, the count of the first page: the range is counted
/// once.
void CarryCount(std::string_view continuation, ScanResult& page);

}  // namespace raftkv::kv
