// What can happen to messages between the members of a test cluster? They can be delivered in or
// out of order, dropped, doubled, held back for later, and cut off by a partition.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "lib/raft/message.h"

namespace raftkv::test {

/// A message, and which start of its sender it comes from.
struct Packet {
  raft::Message message;
  std::uint64_t boot = 0;
};

class SimNetwork {
 public:
  using Link = std::pair<NodeId, NodeId>;  // from, to

  /// Lost if the link is cut.
  void Send(const Packet& packet);
  /// The next deliverable message, of the first link that has one; nothing if all is quiet.
  std::optional<Packet> Take();
  /// The `position`-th message (modulo their number) of `link`.
  std::optional<Packet> Take(Link link, std::size_t position = 0);
  [[nodiscard]] std::size_t CountOn(Link link) const;
  /// Links that have messages and are not cut.
  [[nodiscard]] std::vector<Link> BusyLinks() const;

  /// Each returns how many messages it concerned.
  std::size_t Drop(Link link);
  std::size_t Duplicate(Link link);
  /// Takes what is under way on `link` aside (`count` at most) until Release().
  std::size_t Hold(Link link, std::size_t count);
  std::size_t Release();

  /// A cut link loses what is sent on it; what was under way arrives after the cut ends.
  void Cut(Link link) { cut_.insert(link); }
  void Mend(Link link) { cut_.erase(link); }
  void MendAll() { cut_.clear(); }
  [[nodiscard]] bool IsCut(Link link) const { return cut_.count(link) > 0; }

 private:
  std::map<Link, std::deque<Packet>> links_;
  std::vector<Packet> held_;
  std::set<Link> cut_;
};

}  // namespace raftkv::test
