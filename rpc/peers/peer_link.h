// How does a link reach its peer over a connection of our own? (states: rpc/peers/link.h)
//
// A connection reports its loss, so nothing is sent twice: it is closed, and opened again.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "rpc/loop/outbound.h"
#include "rpc/peers/link.h"
#include "rpc/peers/peers.h"

namespace raftkv::rpc {

class PeerLink final : public Link, private kj::TaskSet::ErrorHandler {
 public:
  PeerLink(Peers& peers, Peer peer);
  ~PeerLink() noexcept;

 private:
  using Answered = capnp::Response<wire::Bootstrap::PeerResults>;

  void Open() override;
  void SayHello(const node::Hello& hello) override;
  void RepeatHello() override;
  bool AskAgain(const node::Hello& hello) override;
  bool Close() override;
  void Flush() override;
  void RunLast(OnceFunction<void()> work) override;

  void Connected(std::unique_ptr<Outbound> connection);
  /// An answer counts for the current connection only, and resolves the promise inside one of its
  /// tasks: anything that may end the connection goes through Defer.
  kj::Promise<Answered> Ask(const node::Hello& hello);
  /// Runs `work` in a later turn, if the connection (or the attempt at one) is still the same then.
  template <class Work>
  void Defer(Work work);
  /// True: all queued messages went into the return of a call of the peer.
  bool Answer();
  void Deliver();
  void TakeAnswers(wire::Peer::DeliverResults::Reader results);
  void taskFailed(kj::Exception&& exception) override;

  Peers& peers_;
  std::uint64_t connections_ = 0;  ///< and attempts, so far
  std::size_t calls_ = 0;
  std::size_t call_words_ = 0;

  std::unique_ptr<Outbound> connection_;
  std::optional<wire::Bootstrap::Client> bootstrap_;
  /// From the answer to our hello.
  std::optional<wire::Peer::Client> remote_;
  /// Answered calls that were read: releasing each sends a message (Finish). They are released
  /// together with the next call, so that the other side is not woken up for them alone.
  std::vector<capnp::Response<wire::Peer::DeliverResults>> answered_;
  // Destroyed first: their promises refer to all of the above. `connection_tasks_` belong to the
  // current connection (or the attempt at one), `link_tasks_` of the link.
  std::optional<kj::TaskSet> connection_tasks_;
  kj::TaskSet link_tasks_;
};

}  // namespace raftkv::rpc
