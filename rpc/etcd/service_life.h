// How does a callback of the KV learn that the service which made the call is gone?
#pragma once

#include <memory>
#include <utility>

namespace raftkv::etcd {

/// A member of a service, or of a call in progress. On the loop only.
class ServiceLife {
 public:
  ServiceLife() = default;
  ServiceLife(const ServiceLife&) = delete;
  ServiceLife& operator=(const ServiceLife&) = delete;

  /// Runs `callback` unless this object is gone by then.
  template <class Callback>
  [[nodiscard]] auto Guard(Callback callback) const {
    return [life = std::weak_ptr<char>(life_), callback = std::move(callback)](auto&&... outcome) {
      if (!life.expired()) callback(std::forward<decltype(outcome)>(outcome)...);
    };
  }

 private:
  const std::shared_ptr<char> life_ = std::make_shared<char>();
};

}  // namespace raftkv::etcd
