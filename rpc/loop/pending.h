// How does a callback of lib/node fulfil a KJ promise?
//
// The callback may be called after the promise was dropped (then it does nothing). If it is
// destroyed without having been called, the promise fails.
#pragma once

#include <utility>

#include <kj/async.h>

#include "lib/base/once_function.h"

namespace raftkv::rpc {

template <class T>
struct Pending {
  kj::Promise<T> promise;
  OnceFunction<void(T)> done;
};

template <class T>
Pending<T> NewPending() {
  auto paf = kj::newPromiseAndFulfiller<T>();
  return {kj::mv(paf.promise), [fulfiller = kj::mv(paf.fulfiller)](T value) mutable {
            fulfiller->fulfill(std::move(value));
          }};
}

}  // namespace raftkv::rpc
