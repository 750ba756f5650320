// How does a callback of lib/node fulfil a KJ promise?
//
// The callback may be copied, may come after the promise was dropped (then it does nothing), and,
// if it is destroyed without having been called, fails the promise.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include <kj/async.h>

namespace raftkv::rpc {

template <class T>
struct Pending {
  kj::Promise<T> promise;
  std::function<void(T)> done;
};

template <class T>
Pending<T> NewPending() {
  auto paf = kj::newPromiseAndFulfiller<T>();
  auto fulfiller = std::make_shared<kj::Own<kj::PromiseFulfiller<T>>>(kj::mv(paf.fulfiller));
  return {kj::mv(paf.promise), [fulfiller](T value) { (*fulfiller)->fulfill(std::move(value)); }};
}

}  // namespace raftkv::rpc
