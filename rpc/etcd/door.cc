#include "rpc/etcd/door.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "lib/base/check.h"
#include "rpc/etcd/door_connection.h"
#include "rpc/etcd/errors.h"
#include "rpc/etcd/gateway.h"
#include "rpc/etcd/http2_session.h"
#include "rpc/loop/acceptor.h"
#include "rpc/loop/descriptors.h"
#include "rpc/loop/rate_limit.h"
#include "rpc/loop/sockets.h"

namespace raftkv::etcd {
namespace {

/// How HTTP/2 begins. No request of HTTP/1.1 begins with its first four bytes.
constexpr std::string_view kPreface = "PRI ";

/// A connection that is open, whatever it has said so far.
struct Guest {
  std::string remote;
  /// Null until its protocol is known.
  std::unique_ptr<DoorConnection> connection = nullptr;
  /// Its first bytes.
  std::array<char, kPreface.size()> first = {};
  std::size_t first_size = 0;
  TickCount handshake = {};
  /// The looks since it had a call.
  TickCount idle = {};
  std::uint32_t idle_looks = 0;
  /// Until its protocol is known. Last: goes first.
  kj::Promise<void> greeting = nullptr;
};

class DoorImpl final : public Door, private SessionOwner, private kj::TaskSet::ErrorHandler {
 public:
  DoorImpl(rpc::EventLoop& loop, DoorOptions options, rpc::Listener listener)
      : loop_(loop),
        options_(WithinDescriptors(std::move(options))),
        queued_(options_.max_queued_bytes),
        unfinished_(options_.max_unfinished_bytes),
        gateway_(static_cast<SessionOwner&>(*this), Healthy(options_)),
        tasks_(*this),
        acceptor_(
            loop, std::move(listener), options_.log_sink,
            [this](kj::Own<kj::AsyncIoStream> stream) { Accept(kj::mv(stream)); },
            [this] { return MakeRoom("no file descriptor is left"); }) {
    tasks_.add(TickAll());
  }

  ~DoorImpl() noexcept override {
    // No task may run while connections are destroyed.
    for (const auto& [number, guest] : guests_) {
      if (guest->connection != nullptr) guest->connection->Stop(kStopped);
    }
    guests_.clear();
  }

  void Serve(const Methods& methods) override { methods_ = &methods; }
  void SayGoodbye() override {
    for (const auto& [number, guest] : guests_) {
      if (guest->connection != nullptr) guest->connection->SayGoodbye();
    }
  }
  const std::string& address() const override { return acceptor_.address(); }
  std::size_t connections() const override { return guests_.size(); }
  std::size_t queued_bytes() const override { return queued_.used(); }
  std::size_t unfinished_bytes() const override { return unfinished_.used(); }

 private:
  static DoorOptions WithinDescriptors(DoorOptions options) {
    const std::uint32_t fit = rpc::ConnectionsThatFit(options.max_connections);
    if (fit < options.max_connections && options.log_sink) {
      options.log_sink(node::LogSeverity::kWarn,
                       "at most " + std::to_string(fit) +
                           " connections of etcd's clients instead of " +
                           std::to_string(options.max_connections) +
                           ": that is half of the descriptors that this process may use; raise its "
                           "limit (ulimit -n) for more");
    }
    options.max_connections = fit;
    return options;
  }

  static std::function<Status()> Healthy(const DoorOptions& options) {
    if (options.healthy) return options.healthy;
    return [] { return Status::Ok(); };
  }

  // --- SessionOwner.
  MonoTime Now() override { return loop_.Now(); }
  kj::Timer& timer() override { return loop_.timer(); }
  const Methods* methods() const override { return methods_; }
  const Http2Limits& limits() const override { return options_.http2; }
  const ConnectionTicks& ticks() const override { return options_.ticks; }
  SharedBytes& queued() override { return queued_; }
  SharedBytes& unfinished() override { return unfinished_; }

  // --- How a connection begins.

  void Accept(kj::Own<kj::AsyncIoStream> stream) {
    const std::string full =
        "all " + std::to_string(options_.max_connections) + " connections are in use";
    if (guests_.size() >= options_.max_connections && !MakeRoom(full)) {
      acceptor_.LogRefused("closed a new connection of an etcd client from " +
                           rpc::PeerAddressOf(*stream) + ": " + full);
      return;
    }
    rpc::ConfigureSocket(*stream);
    const std::uint64_t number = ++last_number_;
    Guest& guest = *guests_.emplace(number, std::make_unique<Guest>()).first->second;
    guest.remote = rpc::PeerAddressOf(*stream);
    guest.greeting = Greet(guest, number, kj::mv(stream))
                         .catch_([this, number](kj::Exception&& exception) {
                           CloseLater(number, {rpc::ShortReason(exception)});
                         })
                         .eagerlyEvaluate(nullptr);
  }

  kj::Promise<void> Greet(Guest& guest, std::uint64_t number, kj::Own<kj::AsyncIoStream> stream) {
    // In a later turn, since it may replace the promise that is being made here.
    auto wrapped = kj::evalLater([this, stream = kj::mv(stream)]() mutable {
      if (options_.wrap) return options_.wrap(kj::mv(stream));
      return kj::Promise<WrappedStream>(WrappedStream{kj::mv(stream)});
    });
    return wrapped.then([this, &guest, number](WrappedStream&& made) -> kj::Promise<void> {
      if (!made.protocol.empty()) {
        Begin(number, kj::mv(made.stream), made.protocol == "h2");
        return kj::READY_NOW;
      }
      return Sniff(guest, number, kj::mv(made.stream));
    });
  }

  /// Reads until the protocol is known.
  kj::Promise<void> Sniff(Guest& guest, std::uint64_t number, kj::Own<kj::AsyncIoStream> stream) {
    char* const to = guest.first.data() + guest.first_size;
    auto read = stream->tryRead(to, 1, guest.first.size() - guest.first_size);
    return read.then([this, &guest, number,
                      stream = kj::mv(stream)](std::size_t size) mutable -> kj::Promise<void> {
      if (size == 0) {
        CloseLater(number, {});
        return kj::READY_NOW;
      }
      guest.first_size += size;
      const std::string_view first(guest.first.data(), guest.first_size);
      if (first == kPreface || !kPreface.starts_with(first)) {
        Begin(number, kj::mv(stream), first == kPreface);
        return kj::READY_NOW;
      }
      return Sniff(guest, number, kj::mv(stream));
    });
  }

  void Begin(std::uint64_t number, kj::Own<kj::AsyncIoStream> stream, bool http2) {
    const auto found = guests_.find(number);
    RAFTKV_CHECK(found != guests_.end(), number);
    Guest& guest = *found->second;
    const std::string_view first(guest.first.data(), guest.first_size);
    if (http2) {
      guest.connection =
          std::make_unique<Http2Session>(static_cast<SessionOwner&>(*this), kj::mv(stream), first);
    } else {
      guest.connection = gateway_.Accept(kj::mv(stream), first);
    }
    tasks_.add(
        guest.connection->Ended().then([this, number](SessionEnd&& end) { Close(number, end); }));
  }

  // --- How it ends.

  /// A connection that can be spared: one that has not spoken, or else the one without a call for
  /// longest.
  bool MakeRoom(const std::string& why) {
    auto chosen = guests_.end();
    for (auto it = guests_.begin(); it != guests_.end(); ++it) {
      Guest& guest = *it->second;
      if (guest.connection == nullptr) {
        chosen = it;
        break;
      }
      if (!guest.connection->idle()) continue;
      if (chosen == guests_.end() || guest.idle_looks > chosen->second->idle_looks) chosen = it;
    }
    if (chosen == guests_.end()) return false;
    const bool silent = chosen->second->connection == nullptr;
    acceptor_.LogRefused("closed the connection of an etcd client from " + chosen->second->remote +
                         (silent ? ", which had not said anything: " : ", which had no call: ") +
                         why);
    if (!silent) chosen->second->connection->Stop(kStopped);
    guests_.erase(chosen);
    return true;
  }

  /// This may run inside the promise that it destroys.
  void CloseLater(std::uint64_t number, SessionEnd end) {
    tasks_.add(kj::evalLater([this, number, end = std::move(end)] { Close(number, end); }));
  }

  void Close(std::uint64_t number, const SessionEnd& end) {
    const auto node = guests_.extract(number);
    if (node.empty() || !end.offence) return;
    offences_.Log(options_.log_sink, loop_.Now(), node::LogSeverity::kWarn,
                  "closed the connection of an etcd client from " + node.mapped()->remote + ": " +
                      end.reason);
  }

  kj::Promise<void> TickAll() {
    return loop_.timer().afterDelay(options_.ticks.interval.count() * kj::NANOSECONDS).then([this] {
      for (const auto& [number, guest] : guests_) Tick(number, *guest);
      return TickAll();
    });
  }

  void Tick(std::uint64_t number, Guest& guest) {
    if (guest.connection != nullptr) {
      guest.connection->Tick();
      guest.idle_looks = guest.idle.Look(guest.connection->idle());
    } else if (guest.handshake.Look(true) == options_.ticks.handshake) {
      CloseLater(number, {"it did not say anything in time", true});
    }
  }

  void taskFailed(kj::Exception&& exception) override {
    acceptor_.LogRefused("a connection of an etcd client failed: " + rpc::ShortReason(exception));
  }

  // Constant after construction.
  rpc::EventLoop& loop_;
  const DoorOptions options_;

  // They outlive the connections.
  SharedBytes queued_;
  SharedBytes unfinished_;
  Gateway gateway_;
  const Methods* methods_ = nullptr;
  std::map<std::uint64_t, std::unique_ptr<Guest>> guests_;  ///< by age
  std::uint64_t last_number_ = 0;
  rpc::RateLimitedLog offences_;
  kj::TaskSet tasks_;
  rpc::Acceptor acceptor_;  // last: no connection arrives while the others are destroyed
};

}  // namespace

Result<std::unique_ptr<Door>> Door::Listen(rpc::EventLoop& loop, DoorOptions options) {
  RAFTKV_CHECK(loop.OnLoop());
  Result<rpc::Listener> listener = rpc::Listen(options.listen, "--etcd");
  if (!listener.ok()) return listener.status();
  std::unique_ptr<Door> door;
  auto failed = kj::runCatchingExceptions([&] {
    door = std::make_unique<DoorImpl>(loop, std::move(options), std::move(listener).value());
  });
  KJ_IF_MAYBE (exception, failed) {
    return Status(Code::kUnavailable, "cannot serve the etcd API: " + rpc::ShortReason(*exception));
  }
  return door;
}

}  // namespace raftkv::etcd
