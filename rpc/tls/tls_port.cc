#include "rpc/tls/tls_port.h"

#include <algorithm>
#include <utility>

#include "lib/base/check.h"

namespace raftkv::rpc {
namespace {

/// Of refused connections that are read on for a moment.
constexpr std::size_t kMaxLingering = 64;
constexpr auto kLingerTime = 1 * kj::SECONDS;

/// Whether the other side was sent the reason.
bool WasTold(TlsFault fault) {
  return fault != TlsFault::kTimeout && fault != TlsFault::kBusy && fault != TlsFault::kLost;
}

kj::Exception TlsRefused(const std::string& why) {
  return {kj::Exception::Type::DISCONNECTED, __FILE__, __LINE__, kj::heapString(why.c_str())};
}

}  // namespace

TlsPort::TlsPort(kj::Timer& timer, TlsSource& source, TlsPortOptions options)
    : timer_(timer), source_(source), options_(std::move(options)), tasks_(*this) {
  RAFTKV_CHECK(options_.max_handshakes > 0);
}

TlsPort::~TlsPort() noexcept(false) { RAFTKV_CHECK(in_progress_ == 0, in_progress_); }

kj::Promise<kj::Own<TlsStream>> TlsPort::Accept(kj::Own<kj::AsyncIoStream> stream,
                                                std::string remote) {
  const kj::TimePoint deadline = timer_.now() + options_.timeout;
  auto newcomer = kj::heap<Newcomer>();
  newcomer->stream = kj::heap<TlsStream>(kj::mv(stream), source_.current(), options_.accepts);
  newcomer->remote = std::move(remote);
  Newcomer& shaking = *newcomer;
  auto verdict = TakeTurn()
                     .then([this, &shaking, deadline](kj::Own<Turn>&& turn) {
                       shaking.turn = kj::mv(turn);
                       return Shake(shaking, deadline);
                     })
                     .exclusiveJoin(timer_.atTime(deadline).then([]() -> TlsFailure {
                       return {TlsFault::kTimeout, "it did not complete its TLS handshake in time"};
                     }))
                     .catch_([](kj::Exception&& full) -> TlsFailure {
                       return {TlsFault::kBusy, full.getDescription().cStr()};
                     });
  return verdict.then([this, newcomer = kj::mv(newcomer)](
                          TlsFailure&& failure) mutable -> kj::Promise<kj::Own<TlsStream>> {
    newcomer->turn = nullptr;
    Count(failure, newcomer->remote);
    if (failure.ok()) return kj::mv(newcomer->stream);
    if (WasTold(failure.fault)) Linger(kj::mv(newcomer->stream));
    return TlsRefused(failure.why);
  });
}

kj::Promise<kj::Own<TlsPort::Turn>> TlsPort::TakeTurn() {
  if (in_progress_ < options_.max_handshakes && !SomebodyWaits()) return kj::heap<Turn>(*this);
  if (waiting_.size() >= options_.max_waiting) {
    // Some may have gone in the meantime.
    waiting_.erase(std::remove_if(waiting_.begin(), waiting_.end(),
                                  [](Fulfiller& one) { return !one->isWaiting(); }),
                   waiting_.end());
  }
  if (waiting_.size() >= options_.max_waiting) {
    return TlsRefused("too many TLS handshakes are waiting for their turn; try again");
  }
  auto turn = kj::newPromiseAndFulfiller<kj::Own<Turn>>();
  waiting_.push_back(kj::mv(turn.fulfiller));
  return kj::mv(turn.promise);
}

void TlsPort::Serve() {
  while (in_progress_ < options_.max_handshakes && !waiting_.empty()) {
    Fulfiller next = kj::mv(waiting_.front());
    waiting_.pop_front();
    if (next->isWaiting()) next->fulfill(kj::heap<Turn>(*this));
  }
}

bool TlsPort::SomebodyWaits() {
  while (!waiting_.empty() && !waiting_.front()->isWaiting()) waiting_.pop_front();
  return !waiting_.empty();
}

kj::Promise<TlsFailure> TlsPort::Shake(Newcomer& newcomer, kj::TimePoint deadline) {
  return newcomer.stream->Handshake().exclusiveJoin(Expire(deadline));
}

kj::Promise<TlsFailure> TlsPort::Expire(kj::TimePoint deadline) {
  return timer_.afterDelay(options_.patience).then([this, deadline]() -> kj::Promise<TlsFailure> {
    if (!SomebodyWaits()) return Expire(deadline);
    return TlsFailure{TlsFault::kTimeout,
                      "it did not complete its TLS handshake in time, while others were waiting"};
  });
}

void TlsPort::Count(const TlsFailure& failure, const std::string& remote) {
  TlsCounts& counts = source_.counts;
  if (failure.ok()) {
    ++counts.handshakes;
    return;
  }
  ++counts.refused.at(static_cast<std::size_t>(failure.fault));
  if (options_.log) options_.log("refused the TLS connection from " + remote + ": " + failure.why);
}

void TlsPort::Linger(kj::Own<TlsStream> refused) {
  if (lingering_ >= kMaxLingering) return;
  ++lingering_;
  TlsStream& stream = *refused;
  auto rest = kj::evalNow([&stream] { return stream.Linger(); })
                  .exclusiveJoin(timer_.afterDelay(kLingerTime))
                  .catch_([](kj::Exception&&) {})
                  .attach(kj::mv(refused), kj::defer([this] { --lingering_; }));
  tasks_.add(kj::mv(rest));
}

void TlsPort::taskFailed(kj::Exception&& exception) {
  RAFTKV_CHECK(false, "each task has a handler of its own:", exception.getDescription().cStr());
}

}  // namespace raftkv::rpc
