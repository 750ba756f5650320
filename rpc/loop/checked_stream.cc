#include "rpc/loop/checked_stream.h"

#include <capnp/rpc.capnp.h>
#include <kj/debug.h>

#include "rpc/loop/sockets.h"
#include "rpc/tls/plain_guard.h"

namespace raftkv::rpc {
namespace {

/// Which says more than that its bytes are no message.
kj::Exception SpeaksTls() {
  return {kj::Exception::Type::FAILED, __FILE__, __LINE__, kj::heapString(kSpeaksTls)};
}

}  // namespace

CheckedStream::CheckedStream(kj::AsyncIoStream& stream, std::size_t max_message_bytes)
    : ahead_(stream), inner_(ahead_), max_message_bytes_(max_message_bytes) {
  auto paf = kj::newPromiseAndFulfiller<End>();
  ended_ = kj::mv(paf.promise);
  end_ = kj::mv(paf.fulfiller);
}

CheckedStream::~CheckedStream() noexcept(false) { end_->fulfill(End{"closed here", false}); }

void CheckedStream::Finish(const kj::Exception& exception) {
  const bool lost = exception.getType() == kj::Exception::Type::DISCONNECTED;
  end_->fulfill({ShortReason(exception), !lost, ahead_.began_as_tls()});
}

kj::Promise<kj::Maybe<capnp::MessageReaderAndFds>> CheckedStream::tryReadMessage(
    kj::ArrayPtr<kj::AutoCloseFd> fd_space, capnp::ReaderOptions options,
    kj::ArrayPtr<capnp::word> scratch) {
  if (pause_ && pause_()) {
    auto paf = kj::newPromiseAndFulfiller<void>();
    paused_ = kj::mv(paf.fulfiller);
    return paf.promise.then(
        [this, fd_space, options, scratch] { return tryReadMessage(fd_space, options, scratch); });
  }
  // This is also the limit of the message's size, checked before memory is allocated for it.
  options.traversalLimitInWords = max_message_bytes_ / sizeof(capnp::word);
  options.nestingLimit = 32;
  ahead_.BeginMessage();
  reading_ = true;
  return inner_.tryReadMessage(fd_space, options, scratch)
      .then([this](kj::Maybe<capnp::MessageReaderAndFds>&& message) {
        KJ_IF_MAYBE (whole, message) {
          CountCall(*whole->reader);
        } else {
          end_->fulfill(End{});
        }
        ++messages_read_;
        reading_ = false;
        ahead_.EndMessage();
        return kj::mv(message);
      })
      .then([](kj::Maybe<capnp::MessageReaderAndFds>&& message) { return kj::mv(message); },
            [this](kj::Exception&& exception) -> kj::Maybe<capnp::MessageReaderAndFds> {
              reading_ = false;
              ahead_.EndMessage();
              kj::Exception why =
                  ahead_.began_as_tls() ? SpeaksTls() : kj::Exception(kj::mv(exception));
              Finish(why);
              kj::throwFatalException(kj::mv(why));
            });
}

void CheckedStream::CountCall(capnp::MessageReader& message) {
  if (max_open_calls_ == 0) return;
  switch (message.getRoot<capnp::rpc::Message>().which()) {
    case capnp::rpc::Message::CALL:
    case capnp::rpc::Message::BOOTSTRAP:
      if (open_calls_ >= max_open_calls_) {
        KJ_FAIL_REQUIRE("too many calls without a finished answer");
      }
      ++open_calls_;
      return;
    case capnp::rpc::Message::FINISH:
      if (open_calls_ > 0) --open_calls_;
      return;
    default: return;
  }
}

kj::Promise<void> CheckedStream::Watch(kj::Promise<void> write) {
  return write.then(
      [this] {
        ++messages_written_;
        // The message leaves the queue only after this, and before the loop waits again.
        if (paused_ != nullptr) {
          look_again_ = kj::evalLast([this] { MayReadAgain(); }).eagerlyEvaluate(nullptr);
        }
      },
      [this](kj::Exception&& exception) {
        Finish(exception);
        kj::throwFatalException(kj::mv(exception));
      });
}

void CheckedStream::MayReadAgain() {
  KJ_IF_MAYBE (paused, paused_) {
    if (pause_()) return;
    auto fulfiller = kj::mv(*paused);
    paused_ = nullptr;
    fulfiller->fulfill();
  }
}

kj::Promise<void> CheckedStream::writeMessage(
    kj::ArrayPtr<const int> fds, kj::ArrayPtr<const kj::ArrayPtr<const capnp::word>> segments) {
  return Watch(inner_.writeMessage(fds, segments));
}

kj::Promise<void> CheckedStream::writeMessages(
    kj::ArrayPtr<kj::ArrayPtr<const kj::ArrayPtr<const capnp::word>>> messages) {
  return Watch(inner_.writeMessages(messages));
}

}  // namespace raftkv::rpc
