#include "tests/support/raft/raft_network.h"

#include <algorithm>
#include <utility>

namespace raftkv::test {

void SimNetwork::Send(const Packet& packet) {
  const Link link{packet.message.from, packet.message.to};
  if (!IsCut(link)) links_[link].push_back(packet);
}

std::optional<Packet> SimNetwork::Take() {
  for (auto& [link, queue] : links_) {
    if (!queue.empty() && !IsCut(link)) return Take(link);
  }
  return std::nullopt;
}

std::optional<Packet> SimNetwork::Take(Link link, std::size_t position) {
  const auto found = links_.find(link);
  if (found == links_.end() || found->second.empty() || IsCut(link)) return std::nullopt;
  std::deque<Packet>& queue = found->second;
  const auto at = queue.begin() + static_cast<std::ptrdiff_t>(position % queue.size());
  Packet packet = std::move(*at);
  queue.erase(at);
  return packet;
}

std::size_t SimNetwork::CountOn(Link link) const {
  const auto found = links_.find(link);
  return found == links_.end() ? 0 : found->second.size();
}

std::vector<SimNetwork::Link> SimNetwork::BusyLinks() const {
  std::vector<Link> busy;
  for (const auto& [link, queue] : links_) {
    if (!queue.empty() && !IsCut(link)) busy.push_back(link);
  }
  return busy;
}

std::size_t SimNetwork::Drop(Link link) {
  const std::size_t count = CountOn(link);
  links_.erase(link);
  return count;
}

std::size_t SimNetwork::Duplicate(Link link) {
  const std::size_t count = CountOn(link);
  for (std::size_t i = 0; i < count; ++i) links_[link].push_back(Packet(links_[link][i]));
  return count;
}

std::size_t SimNetwork::Hold(Link link, std::size_t count) {
  const std::size_t taken = std::min(count, CountOn(link));
  for (std::size_t i = 0; i < taken; ++i) {
    held_.push_back(links_[link].front());
    links_[link].pop_front();
  }
  return taken;
}

std::size_t SimNetwork::Release() {
  const std::size_t count = held_.size();
  for (const Packet& packet : held_) {
    links_[{packet.message.from, packet.message.to}].push_back(packet);
  }
  held_.clear();
  return count;
}

}  // namespace raftkv::test
