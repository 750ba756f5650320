#include "rpc/server/connection.h"

#include <algorithm>
#include <optional>
#include <utility>

#include <kj/debug.h>

#include "lib/base/address.h"
#include "lib/base/check.h"
#include "rpc/loop/pending.h"
#include "rpc/loop/sockets.h"
#include "rpc/loop/tcp_progress.h"
#include "rpc/server/kv_service.h"

namespace raftkv::rpc {
namespace {

using SharedConnection = std::shared_ptr<Connection::Shared>;
const std::size_t kMaxPeerMessageBytes = Limits().max_request_bytes + kMessageSlackBytes;
constexpr std::size_t kMaxMessagesInDelivery = 64 * 1024;

class PeerServer final : public wire::Peer::Server {
 public:
  PeerServer(SharedConnection shared, NodeId from, node::Boot boot, NodeId to)
      : shared_(std::move(shared)), from_(from), boot_(boot), to_(to) {}

 private:
  kj::Promise<void> deliver(DeliverContext context) override {
    if (shared_->connection == nullptr) return kj::READY_NOW;
    const auto list = context.getParams().getMessages();
    KJ_REQUIRE(list.size() <= kMaxMessagesInDelivery, "too many messages in one call");
    std::vector<node::PeerMessage> messages;
    messages.reserve(list.size());
    for (const auto wire_message : list) {
      auto message = Decode(wire_message, from_, to_);
      if (!message.ok()) {
        shared_->owner.LogOffence("a message from " + shared_->connection->remote() +
                                  " was dropped: " + message.status().message());
        continue;
      }
      if (message->has_value()) messages.push_back(std::move(**message));
    }
    context.releaseParams();
    if (messages.empty()) return kj::READY_NOW;
    shared_->owner.service().Receive(from_, boot_, std::move(messages));
    if (shared_->connection == nullptr) return kj::READY_NOW;
    context.allowCancellation();
    return shared_->owner.replies().Hold(shared_->owner.loop().timer(), from_, context);
  }

  const SharedConnection shared_;
  const NodeId from_;
  const node::Boot boot_;
  const NodeId to_;
};

class BootstrapServer final : public wire::Bootstrap::Server {
 public:
  explicit BootstrapServer(SharedConnection shared) : shared_(std::move(shared)) {}

 private:
  kj::Promise<void> connect(ConnectContext context) override {
    if (shared_->connection == nullptr) return kj::READY_NOW;
    ConnectionOwner& owner = shared_->owner;
    const auto hello = context.getParams().getHello();
    auto answer = context.getResults().initAnswer();
    const AnswerHeader header = owner.service().Header();
    Encode(header, answer.initHeader());
    answer.setName(owner.service().Name().c_str());
    answer.setVersion(owner.options().version.c_str());
    const std::string refusal = RefusalOf(hello, header);
    if (!refusal.empty()) {
      answer.setRefusal(refusal.c_str());
      owner.LogOffence("refused the client " + shared_->connection->remote() + ": " + refusal);
      return kj::READY_NOW;
    }
    answer.setProtocol(std::min(hello.getProtocolMax(), node::kProtocolMax));
    answer.setMaxRequestBytes(owner.options().limits.max_request_bytes);
    served_ = true;
    shared_->connection->Become(Connection::Kind::kClient);
    context.getResults().setService(
        NewKvService(owner.loop(), owner.service(), owner.options().limits,
                     std::shared_ptr<const bool>(shared_, &shared_->alive),
                     [shared = shared_.get()](std::size_t bytes) {
                       return shared->connection->HasRoom(bytes);
                     }));
    return kj::READY_NOW;
  }

  std::string RefusalOf(wire::ClientHello::Reader hello, const AnswerHeader& header) const {
    const bool of_peer = shared_->connection->security().kind == ConnectionSecurity::Kind::kPeer;
    if (of_peer || shared_->connection->kind() == Connection::Kind::kPeer) {
      return "this connection belongs to a peer; open another one for a client";
    }
    // Each would be kept for as long as the connection lasts.
    if (served_)
      return "this connection has a session already; open another one for another session";
    const std::uint32_t min = hello.getProtocolMin();
    const std::uint32_t max = hello.getProtocolMax();
    if (min > node::kProtocolMax || max < node::kProtocolMin) {
      return "the client speaks protocol versions " + std::to_string(min) + " to " +
             std::to_string(max) + ", this member " + std::to_string(node::kProtocolMin) + " to " +
             std::to_string(node::kProtocolMax) + "; upgrade the older of the two";
    }
    if (hello.getCluster() != 0 && hello.getCluster() != header.cluster.value) {
      return "the client expects cluster " + std::to_string(hello.getCluster()) +
             (header.cluster == ClusterId()
                  ? std::string(", but this member does not belong to one yet")
                  : ", but this member belongs to cluster " +
                        std::to_string(header.cluster.value)) +
             "; check the endpoints";
    }
    return shared_->owner.NoRoomForClient();
  }

  kj::Promise<void> peer(PeerContext context) override {
    if (shared_->connection == nullptr) return kj::READY_NOW;
    Result<node::Hello> hello = Decode(context.getParams().getHello());
    std::string refusal;
    if (!hello.ok()) {
      refusal = hello.status().message();
    } else if (shared_->connection->security().kind == ConnectionSecurity::Kind::kClient) {
      refusal =
          "only a connection between certificates of the peer CA is one of a peer; start the peer "
          "with --peer-tls-cert, --peer-tls-key and --peer-tls-ca";
    } else if (shared_->connection->kind() == Connection::Kind::kClient) {
      refusal = "this connection belongs to a client; open another one for a peer";
    } else if (const NodeId known = shared_->connection->peer();
               known != kNobody && known != hello->member) {
      refusal = "this connection belongs to another peer; open one for each";
    } else if (peer_.has_value() && boot_ != hello->boot) {
      refusal = "the peer sent a hello with another boot; open a new connection";
    }
    if (!refusal.empty()) {
      auto answer = context.getResults().initAnswer();
      answer.setRefusal(refusal.c_str());
      answer.setPermanent(true);
      shared_->owner.LogOffence("refused the peer " + shared_->connection->remote() + ": " +
                                refusal);
      return kj::READY_NOW;
    }
    auto pending = NewPending<node::HelloAnswer>();
    node::Hello from = *hello;
    shared_->owner.service().OnHello(std::move(hello).value(), std::move(pending.done));
    context.releaseParams();
    context.allowCancellation();
    return pending.promise.then([this, shared = shared_, from = std::move(from),
                                 context](node::HelloAnswer&& answer) mutable {
      Answer(*shared, from, answer, context);
      if (shared->connection != nullptr && shared->connection->kind() == Connection::Kind::kPeer &&
          shared->connection->peer() != kNobody) {
        context.getResults().setPeer(PeerOf(from, answer.self.member));
      }
    });
  }

  /// One per connection, however many hellos it sends.
  wire::Peer::Client PeerOf(const node::Hello& from, NodeId to) {
    if (!peer_.has_value()) {
      boot_ = from.boot;
      peer_.emplace(kj::heap<PeerServer>(shared_, from.member, from.boot, to));
    }
    return *peer_;
  }

  static void Answer(Connection::Shared& shared, const node::Hello& from,
                     const node::HelloAnswer& answer, PeerContext& context) {
    Encode(answer, context.getResults().initAnswer());
    // The member has logged a refusal.
    if (shared.connection == nullptr || !answer.refusal.empty()) return;
    shared.connection->Become(Connection::Kind::kPeer);
    const bool formed = from.cluster != ClusterId() && answer.self.cluster != ClusterId();
    if (formed) shared.owner.BecamePeer(*shared.connection, from.member);
  }

  const SharedConnection shared_;
  bool served_ = false;  ///< a client has its session
  std::optional<wire::Peer::Client> peer_;
  node::Boot boot_;  ///< of the peer
};

/// The address, and the name by the certificate if there is one.
std::string RemoteOf(kj::AsyncIoStream& stream, const Identity& identity) {
  const std::string name = identity.name();
  return PeerAddressOf(stream) + (name.empty() ? "" : " (" + Quoted(name) + ")");
}

capnp::ReaderOptions Unbounded() {
  // CheckedStream sets the current limits.
  capnp::ReaderOptions options;
  options.traversalLimitInWords = std::uint64_t{1} << 60;
  return options;
}

}  // namespace

Connection::Connection(ConnectionOwner& owner, std::uint64_t number,
                       kj::Own<kj::AsyncIoStream> stream, ConnectionSecurity security)
    : number_(number),
      security_(std::move(security)),
      remote_(RemoteOf(*stream, security_.identity)),
      max_message_bytes_(owner.options().limits.max_request_bytes + kMessageSlackBytes),
      shared_(std::make_shared<Shared>(Shared{owner, this, true})),
      stream_(kj::mv(stream)),
      checked_(*stream_, kHandshakeBytes),
      network_(checked_, capnp::rpc::twoparty::Side::SERVER, Unbounded()),
      rpc_(capnp::makeRpcServer(network_, kj::heap<BootstrapServer>(shared_))) {
  rpc_.setFlowLimit(2 * std::max(max_message_bytes_, kMaxPeerMessageBytes) / sizeof(capnp::word));
  checked_.SetBudget(owner.budget(/*of_peers=*/false));
  checked_.SetMaxOpenCalls(kMaxOpenCalls);
  checked_.PauseReadingWhile([this] { return queued_bytes() > kMaxQueuedBytes; });
}

Connection::~Connection() noexcept {
  shared_->connection = nullptr;
  shared_->alive = false;
}

kj::Promise<CheckedStream::End> Connection::Ended() {
  return checked_.Ended().exclusiveJoin(
      network_.onDisconnect().then([] { return CheckedStream::End{}; }));
}

std::size_t Connection::queued_bytes() const { return network_.getCurrentQueueSize(); }

bool Connection::HasRoom(std::size_t bytes) const {
  if (bytes <= kSmallAnswerBytes) return true;
  return queued_bytes() <= kMaxQueuedBytes &&
         shared_->owner.queued_bytes() <= shared_->owner.options().max_queued_bytes;
}

std::uint32_t Connection::CountStuck() {
  if (queued_bytes() == 0) return stuck_ = 0;
  const std::uint64_t messages = checked_.messages_written();
  const std::uint64_t acknowledged = ProgressOf(*stream_).acknowledged;
  const bool moved = messages != messages_seen_ || acknowledged != acknowledged_seen_;
  messages_seen_ = messages;
  acknowledged_seen_ = acknowledged;
  return stuck_ = moved ? 0 : stuck_ + 1;
}

bool Connection::CountUnfinished(std::uint32_t looks, Duration interval) {
  const std::size_t bytes = checked_.unfinished_bytes();
  const std::uint64_t read = checked_.messages_read();
  unfinished_ = bytes == 0 || read != read_seen_ ? 0 : unfinished_ + 1;
  read_seen_ = read;
  if (unfinished_ < looks) return false;
  const Duration needed = std::chrono::nanoseconds(std::chrono::seconds(1)) *
                          static_cast<std::int64_t>(bytes / kSlowestBytesPerSecond);
  return static_cast<std::int64_t>(unfinished_ - looks) >= needed / interval;
}

void Connection::Become(Kind kind) {
  RAFTKV_CHECK(kind_ == Kind::kUnknown || kind_ == kind);
  kind_ = kind;
  // Clients must not keep peers waiting.
  checked_.SetBudget(shared_->owner.budget(kind == Kind::kPeer));
  // What another member may send does not depend on this one's limits: an entry that one of them
  // accepted has to reach them all.
  checked_.SetMaxMessageBytes(kind == Kind::kPeer ? kMaxPeerMessageBytes : max_message_bytes_);
}

}  // namespace raftkv::rpc
