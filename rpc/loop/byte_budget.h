// How much memory may all incomplete messages use together?
//
// One budget for many connections: a large message is read only once its bytes fit; until then they
// stay with the sender. Lives on the loop.
#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>
#include <utility>

#include <kj/async.h>

#include "lib/base/check.h"

namespace raftkv::rpc {

class ByteBudget {
 public:
  explicit ByteBudget(std::size_t capacity) : capacity_(capacity) {}
  ByteBudget(const ByteBudget&) = delete;
  ByteBudget& operator=(const ByteBudget&) = delete;

  /// Returns its bytes when it is destroyed, which must be before its budget is.
  class Hold {
   public:
    Hold(ByteBudget& budget, std::size_t bytes) : budget_(budget), bytes_(bytes) {
      budget_.used_ += bytes_;
    }
    ~Hold() {
      RAFTKV_CHECK(budget_.used_ >= bytes_, budget_.used_, bytes_);
      budget_.used_ -= bytes_;
      budget_.Serve();
    }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

   private:
    ByteBudget& budget_;
    const std::size_t bytes_;
  };

  /// At once if there is room, otherwise in turn once others have returned theirs. A request larger
  /// than the whole budget waits until it is alone.
  kj::Promise<kj::Own<Hold>> Take(std::size_t bytes) {
    if (waiting_.empty() && Fits(bytes)) return kj::heap<Hold>(*this, bytes);
    auto pair = kj::newPromiseAndFulfiller<kj::Own<Hold>>();
    waiting_.push_back({bytes, kj::mv(pair.fulfiller)});
    return kj::mv(pair.promise);
  }

  [[nodiscard]] std::size_t used() const { return used_; }

 private:
  struct Waiting {
    std::size_t bytes;
    kj::Own<kj::PromiseFulfiller<kj::Own<Hold>>> fulfiller;
  };

  [[nodiscard]] bool Fits(std::size_t bytes) const {
    return used_ == 0 || (used_ <= capacity_ && bytes <= capacity_ - used_);
  }

  void Serve() {
    while (!waiting_.empty()) {
      Waiting& next = waiting_.front();
      const bool gone = !next.fulfiller->isWaiting();
      if (!gone && !Fits(next.bytes)) return;
      Waiting served = std::move(next);
      waiting_.pop_front();
      if (!gone) served.fulfiller->fulfill(kj::heap<Hold>(*this, served.bytes));
    }
  }

  const std::size_t capacity_;
  std::size_t used_ = 0;
  std::deque<Waiting> waiting_;
};

}  // namespace raftkv::rpc
