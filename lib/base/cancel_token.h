// How is long work told to stop?
//
// Its caller keeps a copy of the token and cancels it; the work checks its own copy every few
// milliseconds and ends with Code::kCancelled.
#pragma once

#include <atomic>
#include <memory>

namespace raftkv {

/// Copies share one state. Safe from any thread.
class CancelToken {
 public:
  void Cancel() const { flag_->store(true); }
  [[nodiscard]] bool cancelled() const { return flag_->load(); }
  /// For libraries that poll a flag; valid as long as any copy is.
  [[nodiscard]] std::atomic<bool>* flag() const { return flag_.get(); }

 private:
  std::shared_ptr<std::atomic<bool>> flag_ = std::make_shared<std::atomic<bool>>(false);
};

}  // namespace raftkv
