#include "rpc/loop/outbound.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "rpc/loop/sockets.h"

namespace raftkv::rpc {
namespace {

capnp::ReaderOptions Unbounded() {
  // CheckedStream puts the bounds in.
  capnp::ReaderOptions options;
  options.traversalLimitInWords = std::uint64_t{1} << 60;
  return options;
}

using Stream = kj::Own<kj::AsyncIoStream>;

/// What is between the commas of KJ's "127.0.0.1:7001,[::1]:7001".
std::vector<std::string> Split(const std::string& list) {
  std::vector<std::string> parts;
  std::size_t from = 0;
  while (from <= list.size() && parts.size() < kMaxAddresses) {
    const std::size_t comma = std::min(list.find(',', from), list.size());
    if (comma > from) parts.push_back(list.substr(from, comma - from));
    from = comma + 1;
  }
  return parts;
}

/// Connects to several addresses, one after the other and then side by side; the first connection
/// wins. One that is silent costs its head start, one that refuses nothing. Dropping the promise
/// ends all of them.
class Race final : private kj::TaskSet::ErrorHandler {
 public:
  Race(kj::PromiseFulfiller<Stream>& fulfiller, EventLoop& loop, std::vector<std::string> addresses)
      : fulfiller_(fulfiller), loop_(loop), addresses_(std::move(addresses)), tasks_(*this) {
    StartNext();
  }

 private:
  void StartNext() {
    if (next_ == addresses_.size()) return;
    const std::size_t number = next_++;
    ++running_;
    // The literal address, so nothing is looked up here.
    tasks_.add(loop_.network()
                   .parseAddress(addresses_[number].c_str())
                   .then([this](kj::Own<kj::NetworkAddress>&& address) {
                     auto connecting = address->connect();
                     return connecting.attach(kj::mv(address)).then([this](Stream&& stream) {
                       fulfiller_.fulfill(kj::mv(stream));
                     });
                   }));
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
  const std::vector<std::string> addresses_;
  std::size_t next_ = 0;
  std::size_t running_ = 0;
  kj::TaskSet tasks_;  // last: goes first
};

kj::Promise<Stream> ConnectToAny(EventLoop& loop, kj::Own<kj::NetworkAddress> resolved) {
  std::vector<std::string> addresses = Split(resolved->toString().cStr());
  if (addresses.size() > 1) return kj::newAdaptedPromise<Stream, Race>(loop, std::move(addresses));
  auto connecting = resolved->connect();
  return connecting.attach(kj::mv(resolved));
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
                     .then([&loop](kj::Own<kj::NetworkAddress>&& resolved) {
                       return ConnectToAny(loop, kj::mv(resolved));
                     })
                     .then([max_message_bytes](kj::Own<kj::AsyncIoStream>&& stream) {
                       ConfigureSocket(*stream);
                       return std::make_unique<Outbound>(kj::mv(stream), max_message_bytes);
                     });
  return loop.timer().timeoutAfter(ToKj(timeout), kj::mv(connect));
}

}  // namespace raftkv::rpc
