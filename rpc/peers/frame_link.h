// How does a link reach its peer over the frames of a host's transport? (states: rpc/peers/link.h)
//
// Each hello opens a link under a number of its own. Frames may get lost silently: a hello is
// repeated until it is answered, and the link ends when the peer reports that it does not know the
// link, or sends a hello under another boot.
#pragma once

#include <cstdint>
#include <string>

#include "rpc/peers/frame_peers.h"
#include "rpc/peers/link.h"

namespace raftkv::rpc {

class FrameLink final : public Link {
 public:
  FrameLink(FramePeers& peers, Peer peer);

  /// Of the last hello sent.
  [[nodiscard]] LinkId id() const { return id_; }

  using Link::OnAnswer;
  /// The peer reports that it does not know the link.
  void OnClosed();
  /// The peer has sent a hello under `boot`.
  void OnBoot(node::Boot boot);

 private:
  void Open() override;
  void SayHello(const node::Hello& hello) override;
  void RepeatHello() override;
  bool AskAgain(const node::Hello& hello) override;
  bool Close() override;
  void Flush() override;
  void RunLast(OnceFunction<void()> work) override;

  FramePeers& peers_;
  LinkId id_;
  std::string hello_;  ///< the frame
  std::uint64_t next_sequence_ = 1;
};

}  // namespace raftkv::rpc
