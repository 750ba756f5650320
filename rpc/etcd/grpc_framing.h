// How are gRPC's messages, timeouts and status texts written in HTTP/2? (pure text and bytes)
//
// A message is a flag, its length (4 bytes, big-endian), and its bytes; messages do not respect the
// bounds of DATA frames.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "lib/base/time.h"
#include "rpc/etcd/outcome.h"

namespace raftkv::etcd {

inline constexpr std::size_t kMessagePrefixBytes = 5;

/// The value of `grpc-timeout`: 1 to 8 digits and a unit, of H M S m u n. Nothing for anything
/// else. At most a year.
std::optional<Duration> ParseGrpcTimeout(std::string_view text);

/// The value of `grpc-message`: bytes outside of printable ASCII, and '%', as %XX.
std::string PercentEncode(std::string_view text);

/// `message` with its prefix, uncompressed. Its size fits 32 bits.
std::string FrameMessage(std::string_view message);

/// Takes the messages of one call out of the bytes that arrive.
class MessageReader {
 public:
  explicit MessageReader(std::size_t max_message_bytes) : max_message_bytes_(max_message_bytes) {}

  /// Calls `on_message` with each message that `bytes` completes, until it returns false. Its
  /// argument is valid during the call only. Not ok: the stream cannot be read any further.
  Outcome Read(std::string_view bytes, const std::function<bool(std::string_view)>& on_message);

  /// Of an incomplete message: what has arrived of it.
  [[nodiscard]] std::size_t unfinished_bytes() const { return partial_.size(); }
  /// Releases what has arrived of an incomplete message.
  void Drop();

 private:
  /// Why the message that begins with this prefix is refused; ok if it is not.
  [[nodiscard]] Outcome CheckPrefix(std::string_view prefix) const;

  const std::size_t max_message_bytes_;
  std::string partial_;  ///< the prefix included
};

}  // namespace raftkv::etcd
