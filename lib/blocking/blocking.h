// How does a blocking call wait? Each one is its asynchronous twin and a promise.
//
// Inside a callback it would wait for the thread that it runs on: InvalidArgument.
#pragma once

#include <future>
#include <memory>
#include <utility>

#include <raftkv/status.h>

#include "lib/base/host_code.h"

namespace raftkv {

/// `start(callback)` starts the call, which ends by itself at its timeout.
template <class T, class Start>
T WaitFor(const Start& start) {
  if (Status may = MayBlock("a blocking call"); !may.ok()) return may;
  // Shared: the promise must outlive set_value on the other thread.
  const auto promise = std::make_shared<std::promise<T>>();
  std::future<T> future = promise->get_future();
  start([promise](T result) { promise->set_value(std::move(result)); });
  return future.get();
}

}  // namespace raftkv
