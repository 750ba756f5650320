#include "lib/open/etcd_door.h"

#include <utility>

#include "lib/base/check.h"

#ifdef RAFTKV_ETCD
#include "rpc/etcd/door.h"
#include "rpc/etcd/services.h"
#include "rpc/loop/rate_limit.h"
#include "rpc/loop/sockets.h"
#include "rpc/tls/plain_guard.h"
#endif

namespace raftkv {

#ifdef RAFTKV_ETCD

namespace {

/// Of a request, besides what it carries: the fields of protobuf around it.
constexpr std::size_t kRequestSlackBytes = 1 << 20;

class EtcdDoorImpl final : public EtcdDoor {
 public:
  EtcdDoorImpl(rpc::EventLoop& loop, EtcdDoorOptions options)
      : loop_(loop), options_(std::move(options)) {}

  Status Listen() {
    etcd::DoorOptions door;
    door.listen = options_.listen;
    door.http2.max_message_bytes = options_.limits.max_request_bytes + kRequestSlackBytes;
    door.http2.max_unfinished_bytes = 2 * door.http2.max_message_bytes;
    door.http2.max_queued_bytes = 2 * door.http2.max_message_bytes;
    door.wrap = [this](kj::Own<kj::AsyncIoStream> stream) { return Wrap(kj::mv(stream)); };
    door.healthy = options_.ready;
    door.log_sink = options_.log_sink;
    auto listening = etcd::Door::Listen(loop_, std::move(door));
    if (!listening.ok()) return listening.status();
    door_ = *std::move(listening);
    return Status::Ok();
  }

  void Serve(KV& kv, rpc::Service& service, std::function<NodeStatus()> status) override {
    RAFTKV_CHECK(services_ == nullptr);
    etcd::ServicesOptions services;
    services.election_timeout = options_.election_timeout;
    services_ = std::make_unique<etcd::Services>(etcd::Backend{.loop = loop_,
                                                               .kv = kv,
                                                               .service = service,
                                                               .status = std::move(status),
                                                               .dialer = options_.dialer,
                                                               .limits = options_.limits,
                                                               .log_sink = options_.log_sink},
                                                 std::move(services));
    door_->Serve(services_->methods());
  }
  void SayGoodbye() override { door_->SayGoodbye(); }
  [[nodiscard]] const std::string& address() const override { return door_->address(); }
  [[nodiscard]] std::size_t connections() const override { return door_->connections(); }

 private:
  kj::Promise<etcd::WrappedStream> Wrap(kj::Own<kj::AsyncIoStream> stream) {
    std::string remote = rpc::PeerAddressOf(*stream);
    if (options_.tls != nullptr) {
      return options_.tls->Accept(kj::mv(stream), std::move(remote))
          .then([](kj::Own<rpc::TlsStream>&& secure) {
            std::string protocol = secure->protocol();
            return etcd::WrappedStream{.stream = kj::mv(secure), .protocol = std::move(protocol)};
          });
    }
    return etcd::WrappedStream{
        .stream = kj::heap<rpc::PlainGuard>(kj::mv(stream), [this, remote = std::move(remote)] {
          refused_.Log(options_.log_sink, loop_.Now(), node::LogSeverity::kWarn,
                       "closed the etcd connection from " + remote + ": " + rpc::kSpeaksTls);
        })};
  }

  rpc::EventLoop& loop_;
  rpc::RateLimitedLog refused_;
  const EtcdDoorOptions options_;
  std::unique_ptr<etcd::Services> services_;
  std::unique_ptr<etcd::Door> door_;  // last: its calls end before what serves them
};

}  // namespace

Result<std::unique_ptr<EtcdDoor>> EtcdDoor::Listen(rpc::EventLoop& loop, EtcdDoorOptions options) {
  auto door = std::make_unique<EtcdDoorImpl>(loop, std::move(options));
  if (Status status = door->Listen(); !status.ok()) return status;
  return std::unique_ptr<EtcdDoor>(std::move(door));
}

#else

Result<std::unique_ptr<EtcdDoor>> EtcdDoor::Listen(rpc::EventLoop& /*loop*/,
                                                   EtcdDoorOptions /*options*/) {
  return Status(Code::kInvalidArgument,
                "this build does not serve the etcd API: build it with -DRAFTKV_ETCD=ON, or leave "
                "out --etcd");
}

#endif

}  // namespace raftkv
