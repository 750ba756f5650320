#include "rpc/etcd/watch_service.h"

#include <utility>

namespace raftkv::etcd {

namespace {

class WatchConversation final : public Conversation<WatchRequest> {
 public:
  explicit WatchConversation(std::shared_ptr<WatchStream> stream) : stream_(std::move(stream)) {}
  WatchConversation(const WatchConversation&) = delete;
  WatchConversation& operator=(const WatchConversation&) = delete;
  ~WatchConversation() override { stream_->Close(); }

  /// As etcd: `hasleader` of the client.
  void InsistOn(LeaderMonitor& leader) {
    insists_ = leader.Watch([weak = std::weak_ptr<WatchStream>(stream_)] {
      if (const auto stream = weak.lock()) stream->End(kNoLeader);
    });
  }

  // Each may end the call, and this object with it.
  void OnRequest(WatchRequest request) override {
    const auto stream = stream_;
    stream->OnRequest(std::move(request));
  }
  void OnDrained() override {
    const auto stream = stream_;
    stream->OnDrained();
  }
  /// The watchers go on.
  void OnHalfClose() override {}

 private:
  const std::shared_ptr<WatchStream> stream_;
  std::shared_ptr<void> insists_;
};

}  // namespace

WatchService::WatchService(Backend& backend, LeaderMonitor& leader,
                           const WatchServiceOptions& options)
    : backend_(backend),
      leader_(leader),
      shared_(std::make_shared<WatchShared>(backend, options)) {}

void WatchService::Register(Methods& methods) {
  methods.AddStream<WatchRequest, WatchResponse>(
      "etcdserverpb.Watch", "Watch", "watch", /*client_streams=*/true,
      [this](const CallContext& context, StreamReplier<WatchResponse> reply) {
        auto stream = std::make_shared<WatchStream>(shared_, std::move(reply));
        auto conversation = std::make_unique<WatchConversation>(stream);
        if (LacksLeader(backend_, context)) {
          backend_.loop.RunLater([weak = std::weak_ptr<WatchStream>(stream)] {
            if (const auto open = weak.lock()) open->End(kNoLeader);
          });
        } else if (context.needs_leader) {
          conversation->InsistOn(leader_);
        }
        return conversation;
      });
}

}  // namespace raftkv::etcd
