// On which event loop do fuzz targets run that need one? A thread has one at most, and the targets
// are one program in the ordinary tests.
#pragma once

#include <kj/async.h>

namespace raftkv::fuzz {

inline kj::WaitScope& TheWaitScope() {
  static kj::EventLoop loop;
  static kj::WaitScope scope(loop);
  return scope;
}

}  // namespace raftkv::fuzz
