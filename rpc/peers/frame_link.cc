#include "rpc/peers/frame_link.h"

#include <utility>

#include "lib/base/check.h"
#include "rpc/wire/codec.h"

namespace raftkv::rpc {

FrameLink::FrameLink(FramePeers& peers, Peer peer)
    : Link(peers.context_, std::move(peer)), peers_(peers) {}

void FrameLink::RunLast(OnceFunction<void()> work) { peers_.loop_.RunLast(std::move(work)); }

void FrameLink::Open() { Opened(); }

void FrameLink::SayHello(const node::Hello& hello) {
  id_ = {hello.boot.nonce, peers_.next_number_++};
  next_sequence_ = 1;
  hello_ = EncodeFrame({id_, hello});
  RepeatHello();
}

void FrameLink::RepeatHello() { peers_.SendBytes(address(), hello_); }

/// A new hello opens another link, and anything still sent on the old one is dropped.
bool FrameLink::AskAgain(const node::Hello&) { return false; }

bool FrameLink::Close() {
  // It is unknown which of the sent messages have arrived.
  return std::exchange(next_sequence_, 1) > 1;
}

void FrameLink::OnClosed() {
  if (ready()) Lose("it has closed the link");
}

void FrameLink::OnBoot(node::Boot boot) {
  if (ready() && boot != this->boot()) Lose("it has restarted");
}

void FrameLink::Flush() {
  RAFTKV_CHECK(ready());
  DeliverFrame deliver;
  std::size_t words = 0;
  const auto send = [&] {
    deliver.accepter = boot().nonce;
    deliver.sequence = next_sequence_++;
    peers_.Send(address(), {id_, std::exchange(deliver, {})});
    words = 0;
  };
  while (!queue().empty()) {
    const std::size_t more = queue().front().words;
    const bool fits = (words + more) * sizeof(capnp::word) <= peers_.options_.max_batch_bytes;
    if (!deliver.messages.empty() && !fits) send();
    words += more;
    deliver.messages.push_back(TakeQueued());
  }
  send();
}

}  // namespace raftkv::rpc
