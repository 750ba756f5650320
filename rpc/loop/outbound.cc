#include "rpc/loop/outbound.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "lib/base/address.h"
#include "rpc/loop/resolver.h"
#include "rpc/loop/sockets.h"

namespace raftkv::rpc {
namespace {

capnp::ReaderOptions Unbounded() {
  // CheckedStream enforces the limits.
  capnp::ReaderOptions options;
  options.traversalLimitInWords = std::uint64_t{1} << 60;
  return options;
}

using Stream = kj::Own<kj::AsyncIoStream>;

/// Connects to several addresses, one after the other and then side by side; the first connection
/// wins. A silent one costs its head start, a refusing one nothing. Dropping the promise
/// ends all of them.
class Race final : private kj::TaskSet::ErrorHandler {
 public:
  Race(kj::PromiseFulfiller<Stream>& fulfiller, EventLoop& loop,
       std::vector<SocketAddress> addresses)
      : fulfiller_(fulfiller), loop_(loop), addresses_(std::move(addresses)), tasks_(*this) {
    StartNext();
  }

 private:
  void StartNext() {
    if (next_ == addresses_.size()) return;
    const std::size_t number = next_++;
    ++running_;
    const SocketAddress& to = addresses_[number];
    // Without a descriptor the system's calls throw instead of failing the promise.
    tasks_.add(kj::evalNow([&] {
                 auto address = loop_.network().getSockaddr(&to.storage, to.size);
                 auto connecting = address->connect();
                 return connecting.attach(kj::mv(address));
               }).then([this](Stream&& stream) { fulfiller_.fulfill(kj::mv(stream)); }));
    tasks_.add(loop_.timer().afterDelay(ToKj(kHeadStart)).then([this, number] {
      if (next_ == number + 1) StartNext();
    }));
  }

  void taskFailed(kj::Exception&& exception) override {
    --running_;
    if (next_ < addresses_.size()) return StartNext();
    if (running_ == 0) fulfiller_.reject(kj::mv(exception));
  }

  kj::PromiseFulfiller<Stream>& fulfiller_;
  EventLoop& loop_;
  const std::vector<SocketAddress> addresses_;
  std::size_t next_ = 0;
  std::size_t running_ = 0;
  kj::TaskSet tasks_;  // last: goes first
};

kj::Promise<Stream> ConnectToAny(EventLoop& loop, std::vector<SocketAddress> addresses) {
  if (addresses.size() > kMaxAddresses) addresses.resize(kMaxAddresses);
  return kj::newAdaptedPromise<Stream, Race>(loop, std::move(addresses));
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
                                            Duration timeout, std::size_t max_message_bytes,
                                            std::shared_ptr<const TlsDialer> tls) {
  const Result<HostPort> parsed = ParseHostPort(address);
  if (!parsed.ok()) {
    return kj::Exception(kj::Exception::Type::FAILED, __FILE__, __LINE__,
                         kj::str(parsed.status().message().c_str()));
  }
  // Without a descriptor or a thread the system's calls throw instead of failing the promise.
  auto connect = kj::evalNow([&] { return Resolve(parsed->host, parsed->port); })
                     .then([&loop](std::vector<SocketAddress>&& addresses) {
                       return ConnectToAny(loop, std::move(addresses));
                     })
                     .then([tls, host = parsed->host](Stream&& stream) -> kj::Promise<Stream> {
                       ConfigureSocket(*stream);
                       if (tls == nullptr) return kj::mv(stream);
                       return tls->Connect(kj::mv(stream), host);
                     })
                     .then([max_message_bytes](Stream&& stream) {
                       return std::make_unique<Outbound>(kj::mv(stream), max_message_bytes);
                     });
  return loop.timer().timeoutAfter(ToKj(timeout), kj::mv(connect));
}

}  // namespace raftkv::rpc
