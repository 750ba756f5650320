// How is a page of a watch asked for by what runs on the loop?
#pragma once

#include <raftkv/kv.h>
#include <raftkv/watch.h>

#include "lib/base/once_function.h"
#include "rpc/etcd/backend.h"

namespace raftkv::etcd {

/// As KV::WatchPageAsync, but `done` never runs before this returns.
void AskPage(Backend& backend, KeyRange range, const WatchPageOptions& options,
             OnceFunction<void(Result<WatchPage>)> done);

/// The watch continues at the same position, here or at another time.
inline bool IsPassing(Code code) {
  return code == Code::kDeadlineExceeded || code == Code::kUnavailable || code == Code::kNotLeader;
}

}  // namespace raftkv::etcd
