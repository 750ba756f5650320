#include "rpc/client/client_link.h"

#include <utility>

#include <kj/debug.h>

#include "lib/base/check.h"
#include "lib/node/member.h"
#include "rpc/loop/sockets.h"

namespace raftkv::rpc {
namespace {

// For answers; a read's answer is at most about the request limit.
constexpr std::size_t kMaxAnswerBytes = 64 << 20;

constexpr Duration kLookEvery = std::chrono::milliseconds(100);
/// Pings and their answers are smaller.
constexpr std::uint64_t kSmallMessageBytes = 512;

kj::Exception Refusal(const std::string& why) {
  return {kj::Exception::Type::FAILED, __FILE__, __LINE__, kj::heapString(why.c_str())};
}

// A link may be released inside one of its own promises, so it is destroyed in a later turn.
std::shared_ptr<ClientLink> Share(EventLoop& loop, std::unique_ptr<ClientLink> link) {
  return {link.release(), [&loop](ClientLink* gone) {
            loop.RunLater([owned = std::shared_ptr<ClientLink>(gone)] {});
          }};
}

}  // namespace

ClientLink::ClientLink(EventLoop& loop, std::string address, std::shared_ptr<ClusterPin> pin,
                       std::unique_ptr<Outbound> connection)
    : loop_(loop),
      address_(std::move(address)),
      pin_(std::move(pin)),
      connection_(std::move(connection)) {
  end_watch_ = connection_->Ended()
                   .then([this](std::string&& why) {
                     if (ended_.empty()) ended_ = std::move(why);
                   })
                   .eagerlyEvaluate(nullptr);
}

kj::Promise<std::shared_ptr<ClientLink>> ClientLink::Open(EventLoop& loop, std::string address,
                                                          std::shared_ptr<ClusterPin> pin,
                                                          Duration timeout,
                                                          std::shared_ptr<const TlsDialer> tls) {
  auto dialed = Dial(loop, address, timeout, kMaxAnswerBytes, std::move(tls));
  auto open = dialed.then([&loop, address, pin](std::unique_ptr<Outbound>&& connection) {
    auto link =
        Share(loop, std::make_unique<ClientLink>(loop, address, pin, std::move(connection)));
    return link->ShakeHands().then([link] { return link; });
  });
  return loop.timer().timeoutAfter(ToKj(timeout), kj::mv(open));
}

kj::Promise<void> ClientLink::ShakeHands() {
  auto request = connection_->bootstrap().connectRequest();
  auto hello = request.initHello();
  hello.setProtocolMin(node::kProtocolMin);
  hello.setProtocolMax(node::kProtocolMax);
  hello.setCluster(pin_->cluster().value);
  return request.send().then([this](capnp::Response<wire::Bootstrap::ConnectResults>&& response) {
    const auto answer = response.getAnswer();
    const AnswerHeader header = Decode(answer.getHeader());
    // Before its refusal: an older member accepts a client of any cluster.
    if (const Status other = pin_->Check(address_, header.cluster); !other.ok()) {
      kj::throwFatalException(Refusal(other.message()));
    }
    const std::string refusal = ToString(answer.getRefusal());
    if (!refusal.empty()) kj::throwFatalException(Refusal("refused by the member: " + refusal));
    max_request_bytes_ = answer.getMaxRequestBytes();
    service_ = response.getService();
    Heard(header);
  });
}

void ClientLink::Heard(const AnswerHeader& header) {
  if (const Status other = pin_->Check(address_, header.cluster); !other.ok()) {
    return Abandon(other.message());
  }
  pin_->Settle(header.cluster);
  header_ = header;
  last_heard_ = loop_.Now();
}

void ClientLink::Abandon(const std::string& why) {
  if (!ended_.empty() && connection_ == nullptr) return;
  if (ended_.empty()) ended_ = why;
  // The calls on it fail once the connection is destroyed.
  loop_.RunLater([gone = std::shared_ptr<Outbound>(std::move(connection_))] {});
}

void ClientLink::CallBegan() {
  if (calls_++ == 0) last_heard_ = std::max(last_heard_, loop_.Now());
  if (watching_) return;
  watching_ = true;
  if (connection_ != nullptr) progress_ = connection_->progress();
  call_watch_ = Watch().eagerlyEvaluate([this](kj::Exception&& exception) {
    watching_ = false;
    Abandon(ShortReason(exception));
  });
}

kj::Promise<void> ClientLink::Watch() {
  const MonoTime due = loop_.Now() + kLookEvery;
  return loop_.timer().afterDelay(ToKj(kLookEvery)).then([this, due]() -> kj::Promise<void> {
    if (calls_ == 0 || !ended_.empty()) {
      watching_ = false;
      return kj::READY_NOW;
    }
    // While this process did not run it could not hear anything either.
    const Duration late = loop_.Now() - due;
    if (late > kLookEvery) last_heard_ = std::min(last_heard_ + late, loop_.Now());
    LookForProgress();
    const Duration silent = loop_.Now() - last_heard_;
    if (silent >= kPingAfter + kPingLimit) return KJ_EXCEPTION(DISCONNECTED, "it does not respond");
    if (silent >= kPingAfter && !pinging_) {
      pinging_ = true;
      // Its failure is the connection's, which is noticed elsewhere.
      ping_ = Ping().eagerlyEvaluate([](kj::Exception&&) {});
    }
    return Watch();
  });
}

/// A large message is one answer, or one request, for as long as it takes: its bytes show that the
/// member is alive.
void ClientLink::LookForProgress() {
  if (connection_ == nullptr) return;
  const TcpProgress before = std::exchange(progress_, connection_->progress());
  const std::uint64_t received = progress_.received - before.received;
  const std::uint64_t acknowledged = progress_.acknowledged - before.acknowledged;
  // Even fully acknowledged bytes may only be in the kernel of a stopped member.
  const bool taken = acknowledged > 0 && progress_.unacknowledged;
  if (received > 0 || taken) last_heard_ = loop_.Now();
  if (received > kSmallMessageBytes || (taken && acknowledged > kSmallMessageBytes)) {
    last_moved_ = loop_.Now();
  }
}

bool ClientLink::Moves() {
  LookForProgress();
  return ended_.empty() && loop_.Now() - last_moved_ < kPingAfter;
}

kj::Promise<void> ClientLink::Ping() {
  return service().pingRequest().send().then(
      [this](capnp::Response<wire::KvService::PingResults>&& response) {
        pinging_ = false;
        Heard(Decode(response.getHeader()));
      });
}

}  // namespace raftkv::rpc
