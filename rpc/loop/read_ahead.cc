#include "rpc/loop/read_ahead.h"

#include <algorithm>
#include <cstring>

#include "lib/base/check.h"

namespace raftkv::rpc {

std::size_t ReadAhead::Take(void* to, std::size_t max_bytes) {
  RAFTKV_CHECK(begin_ <= end_, begin_, end_);
  RAFTKV_CHECK(end_ <= kBufferBytes, end_);
  const std::size_t size = std::min(end_ - begin_, max_bytes);
  if (size > 0) std::memcpy(to, buffer_.data() + begin_, size);
  begin_ += size;
  return size;
}

kj::Promise<std::size_t> ReadAhead::tryRead(void* buffer, std::size_t min_bytes,
                                            std::size_t max_bytes) {
  const std::size_t taken = Take(buffer, max_bytes);
  if (taken > 0 && taken >= min_bytes) return taken;
  // What was read ahead did not do, so nothing of it is left.
  auto* const rest = static_cast<kj::byte*>(buffer) + taken;
  const std::size_t min_rest = min_bytes - taken;
  const std::size_t max_rest = max_bytes - taken;
  if (max_rest >= kBufferBytes) {
    return inner_.tryRead(rest, min_rest, max_rest).then([taken](std::size_t size) {
      return taken + size;
    });
  }
  begin_ = end_ = 0;
  return inner_.tryRead(buffer_.data(), min_rest, kBufferBytes)
      .then([this, rest, taken, max_rest](std::size_t size) {
        end_ = size;  // fewer than wanted only at the end of the stream
        return taken + Take(rest, max_rest);
      });
}

}  // namespace raftkv::rpc
