#include "rpc/loop/outbound.h"

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

kj::Promise<std::unique_ptr<Outbound>> Dial(EventLoop& loop, const std::string& address,
                                            Duration timeout, std::size_t max_message_bytes) {
  auto connect = loop.network()
                     .parseAddress(address.c_str())
                     .then([](kj::Own<kj::NetworkAddress>&& resolved) {
                       auto connecting = resolved->connect();
                       return connecting.attach(kj::mv(resolved));
                     })
                     .then([max_message_bytes](kj::Own<kj::AsyncIoStream>&& stream) {
                       ConfigureSocket(*stream);
                       return std::make_unique<Outbound>(kj::mv(stream), max_message_bytes);
                     });
  return loop.timer().timeoutAfter(ToKj(timeout), kj::mv(connect));
}

}  // namespace raftkv::rpc
