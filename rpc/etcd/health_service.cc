#include "rpc/etcd/health_service.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>

#include "lib/base/check.h"
#include "rpc/etcd/admin_messages.h"

namespace raftkv::etcd {

/// The state, and the streams that want to hear of it.
class HealthService::Health : public std::enable_shared_from_this<Health> {
 public:
  Health(Backend& backend, Duration period) : backend_(backend), period_(period) {}

  void SetMethods(const Methods& methods) {
    RAFTKV_CHECK(methods_ == nullptr);
    methods_ = &methods;
  }
  /// The service is gone, and maybe the member behind it.
  void Close() { closed_ = true; }
  [[nodiscard]] bool closed() const { return closed_; }

  [[nodiscard]] bool Knows(const std::string& service) const {
    if (service.empty()) return true;
    const auto& all = methods_->all();
    return std::any_of(all.begin(), all.end(),
                       [&](const auto& entry) { return entry.second.service == service; });
  }
  [[nodiscard]] Enum<ServingStatusNames> Current() const {
    const bool serving = !backend_.status().leader.empty();
    return serving ? ServingStatusNames::kServing : ServingStatusNames::kNotServing;
  }

  std::uint64_t Add(Watch& watch) {
    watches_.emplace(++last_id_, &watch);
    if (!std::exchange(polling_, true)) PollLater();
    return last_id_;
  }
  void Remove(std::uint64_t id) { watches_.erase(id); }

 private:
  /// The timer runs while there are streams.
  void PollLater() {
    backend_.loop.At(backend_.loop.Now() + period_, [weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->Poll();
    });
  }
  void Poll();

  Backend& backend_;
  const Duration period_;
  const Methods* methods_ = nullptr;
  bool closed_ = false;
  bool polling_ = false;
  std::uint64_t last_id_ = 0;
  std::map<std::uint64_t, Watch*> watches_;
};

class HealthService::Watch final : public Conversation<HealthCheckRequest> {
 public:
  Watch(std::shared_ptr<Health> health, StreamReplier<HealthCheckResponse> reply)
      : health_(std::move(health)), reply_(std::move(reply)) {}
  ~Watch() override {
    if (id_.has_value()) health_->Remove(*id_);
  }

  void OnRequest(HealthCheckRequest request) override {
    if (health_->closed()) return reply_.Finish({GrpcCode::kUnavailable, "the member is stopping"});
    if (std::exchange(asked_, true)) {
      return reply_.Finish({GrpcCode::kInternal, "a watch of health has exactly one request"});
    }
    if (!health_->Knows(request.service)) {
      // The stream stays open, as the protocol asks for: the service might come.
      return reply_.Send({.status = ServingStatusNames::kServiceUnknown});
    }
    id_ = health_->Add(*this);
    Tell(health_->Current());
  }
  void OnHalfClose() override {
    if (!asked_) reply_.Finish({GrpcCode::kInternal, "a watch of health has exactly one request"});
  }

  /// One that does not read hears of the state that there is when it does.
  void Tell(Enum<ServingStatusNames> status) {
    if (told_ == status || reply_.full()) return;
    told_ = status;
    reply_.Send({.status = status});
  }

 private:
  const std::shared_ptr<Health> health_;
  const StreamReplier<HealthCheckResponse> reply_;
  bool asked_ = false;
  std::optional<std::uint64_t> id_;
  std::optional<Enum<ServingStatusNames>> told_;
};

void HealthService::Health::Poll() {
  polling_ = false;
  if (closed_ || watches_.empty()) return;
  const Enum<ServingStatusNames> status = Current();
  // A transport may end a stream while it is written to.
  for (auto next = watches_.begin(); next != watches_.end();) {
    const std::uint64_t id = next->first;
    next->second->Tell(status);
    next = watches_.upper_bound(id);
  }
  if (!std::exchange(polling_, true)) PollLater();
}

HealthService::HealthService(Backend& backend, Duration period)
    : health_(std::make_shared<Health>(backend, period)) {}

HealthService::~HealthService() { health_->Close(); }

void HealthService::Register(Methods& methods) {
  health_->SetMethods(methods);
  methods.AddUnary<HealthCheckRequest, HealthCheckResponse>(
      "grpc.health.v1.Health", "Check", "",
      [health = health_](const CallContext& /*context*/, const HealthCheckRequest& request,
                         const Replier<HealthCheckResponse>& reply) {
        if (health->closed()) return reply({GrpcCode::kUnavailable, "the member is stopping"});
        if (!health->Knows(request.service)) return reply({GrpcCode::kNotFound, "unknown service"});
        reply({.status = health->Current()});
      });
  methods.AddStream<HealthCheckRequest, HealthCheckResponse>(
      "grpc.health.v1.Health", "Watch", "", false,
      [health = health_](const CallContext& /*context*/, StreamReplier<HealthCheckResponse> reply) {
        return std::make_unique<Watch>(health, std::move(reply));
      });
}

}  // namespace raftkv::etcd
