#include "rpc/loop/read_ahead.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "lib/base/check.h"
#include "rpc/tls/plain_guard.h"

namespace raftkv::rpc {

std::size_t ReadAhead::Take(void* to, std::size_t max_bytes) {
  RAFTKV_CHECK(begin_ <= end_, begin_, end_);
  RAFTKV_CHECK(end_ <= kBufferBytes, end_);
  const std::size_t size = std::min(end_ - begin_, max_bytes);
  if (size > 0) std::memcpy(to, buffer_.data() + begin_, size);
  begin_ += size;
  return size;
}

kj::Promise<std::size_t> ReadAhead::ReadLarge(kj::byte* to, std::size_t min_bytes,
                                              std::size_t max_bytes) {
  message_bytes_ += min_bytes;
  if (budget_ == nullptr || min_bytes <= kSmallReadBytes || hold_.get() != nullptr) {
    return inner_.tryRead(to, min_bytes, max_bytes);
  }
  waits_for_budget_ = true;
  return budget_->Take(min_bytes).then(
      [this, to, min_bytes, max_bytes](kj::Own<ByteBudget::Hold>&& hold) {
        waits_for_budget_ = false;
        hold_ = kj::mv(hold);
        return inner_.tryRead(to, min_bytes, max_bytes);
      });
}

kj::Promise<std::size_t> ReadAhead::tryRead(void* buffer, std::size_t min_bytes,
                                            std::size_t max_bytes) {
  const std::size_t taken = Take(buffer, max_bytes);
  if (taken > 0 && taken >= min_bytes) return taken;
  // The data read ahead was not enough, so none of it is left.
  auto* const rest = static_cast<kj::byte*>(buffer) + taken;
  const std::size_t min_rest = min_bytes - taken;
  const std::size_t max_rest = max_bytes - taken;
  if (max_rest >= kBufferBytes) {
    return ReadLarge(rest, min_rest, max_rest).then([taken](std::size_t size) {
      return taken + size;
    });
  }
  begin_ = end_ = 0;
  return inner_.tryRead(buffer_.data(), min_rest, kBufferBytes)
      .then([this, rest, taken, max_rest](std::size_t size) {
        end_ = size;  // fewer than wanted only at the end of the stream
        if (!std::exchange(began_, true)) began_as_tls_ = BeginsAsTls(buffer_.data(), size);
        message_bytes_ += size;
        return taken + Take(rest, max_rest);
      });
}

}  // namespace raftkv::rpc
