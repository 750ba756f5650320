// What may arrive on a connection, and how did it end?
//
// Sits between the RPC system and a socket. It bounds the size of incoming messages (small before
// the handshake, the request limit after it) and, with a budget, of all incomplete ones; bounds the
// calls whose answers the other side has not released; reads no messages while too much waits to be
// written; and tells its owner at once when and why the connection ended. RpcSystem itself would
// first try to send a last message to a peer that may no longer read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include <capnp/serialize-async.h>
#include <kj/async-io.h>

#include "rpc/loop/read_ahead.h"

namespace raftkv::rpc {

/// Extra room for the fields of the RPC protocol, and for several peer messages in one.
inline constexpr std::size_t kMessageSlackBytes = 8 << 20;
inline constexpr std::size_t kHandshakeBytes = 256 * 1024;

class CheckedStream final : public capnp::MessageStream {
 public:
  /// `stream` outlives this.
  CheckedStream(kj::AsyncIoStream& stream, std::size_t max_message_bytes);
  ~CheckedStream() noexcept(false);

  void SetMaxMessageBytes(std::size_t max_message_bytes) { max_message_bytes_ = max_message_bytes; }
  /// Reads no further message while `pause` says so; asked before each message that is read, and
  /// again after each one that was written.
  void PauseReadingWhile(std::function<bool()> pause) { pause_ = std::move(pause); }
  [[nodiscard]] std::uint64_t messages_written() const { return messages_written_; }
  /// Large messages wait for room in `budget`, which outlives this.
  void SetBudget(ByteBudget& budget) { ahead_.SetBudget(budget); }
  /// Of the other side's calls: a side that never finishes any would have every answer kept
  /// forever.
  void SetMaxOpenCalls(std::uint32_t max) { max_open_calls_ = max; }

  [[nodiscard]] std::uint64_t messages_read() const { return messages_read_; }
  /// The known size of a message that has begun to arrive and is incomplete; 0: there is none, or
  /// it waits because of us.
  [[nodiscard]] std::size_t unfinished_bytes() const {
    return reading_ && !ahead_.waits_for_budget() ? ahead_.message_bytes() : 0;
  }

  struct End {
    /// Empty: the other side closed the connection.
    std::string reason;
    /// The other side sent something other than a message of the protocol, or one that is too
    /// large.
    bool offence = false;
    /// The offence: it speaks TLS, on a connection without.
    bool speaks_tls = false;
  };
  /// Resolves once, when the connection ended; call it once.
  kj::Promise<End> Ended() { return kj::mv(ended_); }

  kj::Promise<kj::Maybe<capnp::MessageReaderAndFds>> tryReadMessage(
      kj::ArrayPtr<kj::AutoCloseFd> fd_space, capnp::ReaderOptions options,
      kj::ArrayPtr<capnp::word> scratch) override;
  kj::Promise<void> writeMessage(
      kj::ArrayPtr<const int> fds,
      kj::ArrayPtr<const kj::ArrayPtr<const capnp::word>> segments) override;
  kj::Promise<void> writeMessages(
      kj::ArrayPtr<kj::ArrayPtr<const kj::ArrayPtr<const capnp::word>>> messages) override;
  kj::Maybe<int> getSendBufferSize() override { return inner_.getSendBufferSize(); }
  kj::Promise<void> end() override { return inner_.end(); }

 private:
  kj::Promise<void> Watch(kj::Promise<void> write);
  void CountCall(capnp::MessageReader& message);
  void MayReadAgain();
  void Finish(const kj::Exception& exception);

  ReadAhead ahead_;
  capnp::AsyncIoMessageStream inner_;
  std::size_t max_message_bytes_;
  std::uint64_t messages_written_ = 0;
  std::uint64_t messages_read_ = 0;
  bool reading_ = false;
  std::uint32_t max_open_calls_ = 0;  ///< 0: no bound
  std::uint32_t open_calls_ = 0;
  std::function<bool()> pause_;
  kj::Maybe<kj::Own<kj::PromiseFulfiller<void>>> paused_;  // the reader waits for it
  kj::Promise<void> look_again_ = nullptr;
  kj::Promise<End> ended_ = nullptr;
  kj::Own<kj::PromiseFulfiller<End>> end_;
};

}  // namespace raftkv::rpc
