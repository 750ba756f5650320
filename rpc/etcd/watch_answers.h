// How do the events of a watch become answers?
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <raftkv/watch.h>

#include "rpc/etcd/messages.h"

namespace raftkv::etcd {

/// About what an event takes in an answer.
std::size_t BytesOf(const WatchEvent& event);

/// One answer with all `events` of the watcher `watch_id` or, with `fragment_bytes` (0: none),
/// several of about that size at most (by more at most one event), all but the last marked as
/// `fragment`: the client puts them together again. So nothing else may be sent between them.
std::vector<WatchResponse> AnswersOf(const ResponseHeader& header, std::int64_t watch_id,
                                     std::vector<WatchEvent> events, std::size_t fragment_bytes);

}  // namespace raftkv::etcd
