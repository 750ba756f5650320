#include "rpc/loop/outbound.h"

#include <utility>
#include <vector>

#include "lib/base/address.h"
#include "rpc/loop/resolver.h"
#include "rpc/loop/sockets.h"

namespace raftkv::rpc {
namespace {

capnp::ReaderOptions Unbounded() {
  // CheckedStream puts the bounds in.
  capnp::ReaderOptions options;
  options.traversalLimitInWords = std::uint64_t{1} << 60;
  return options;
}

}  // namespace

Outbound::Outbound(kj::Own<kj::AsyncIoStream> stream, std::size_t max_message_bytes)
    : stream_(kj::mv(stream)),
      checked_(*stream_, max_message_bytes),
      network_(checked_, capnp::rpc::twoparty::Side::CLIENT, Unbounded()),
      rpc_(capnp::makeRpcClient(network_)) {}

wire::Bootstrap::Client Outbound::bootstrap() {
  capnp::MallocMessageBuilder message(8);
  auto vat = message.initRoot<capnp::rpc::twoparty::VatId>();
  vat.setSide(capnp::rpc::twoparty::Side::SERVER);
  return rpc_.bootstrap(vat).castAs<wire::Bootstrap>();
}

kj::Promise<std::string> Outbound::Ended() {
  return checked_.Ended()
      .then([](CheckedStream::End&& end) {
        return end.reason.empty() ? std::string("the other side closed the connection")
                                  : std::move(end.reason);
      })
      .exclusiveJoin(
          network_.onDisconnect().then([] { return std::string("the connection was lost"); }));
}

/// One after the other, until one takes the connection.
kj::Promise<kj::Own<kj::AsyncIoStream>> ConnectToOneOf(EventLoop& loop,
                                                       std::vector<SocketAddress> addresses,
                                                       std::size_t next) {
  auto address = loop.network().getSockaddr(&addresses[next].storage, addresses[next].size);
  auto connecting = kj::evalNow([&] { return address->connect(); }).attach(kj::mv(address));
  if (next + 1 == addresses.size()) return connecting;
  return connecting.catch_(
      [&loop, addresses = std::move(addresses), next](kj::Exception&&) mutable {
        return ConnectToOneOf(loop, std::move(addresses), next + 1);
      });
}

kj::Promise<std::unique_ptr<Outbound>> Dial(EventLoop& loop, const std::string& address,
                                            Duration timeout, std::size_t max_message_bytes) {
  const Result<HostPort> parsed = ParseHostPort(address);
  if (!parsed.ok()) {
    return kj::Exception(kj::Exception::Type::FAILED, __FILE__, __LINE__,
                         kj::str(parsed.status().message().c_str()));
  }
  // Without a descriptor or a thread the system's calls throw instead of failing the promise.
  auto connect = kj::evalNow([&] { return Resolve(parsed->host, parsed->port); })
                     .then([&loop](std::vector<SocketAddress>&& addresses) {
                       return ConnectToOneOf(loop, std::move(addresses), 0);
                     })
                     .then([max_message_bytes](kj::Own<kj::AsyncIoStream>&& stream) {
                       ConfigureSocket(*stream);
                       return std::make_unique<Outbound>(kj::mv(stream), max_message_bytes);
                     });
  return loop.timer().timeoutAfter(ToKj(timeout), kj::mv(connect));
}

}  // namespace raftkv::rpc
