// How is a function passed on that is called at most once, and may hold what cannot be copied?
#pragma once

#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>

#include "lib/base/check.h"

namespace raftkv {

template <class Signature>
class OnceFunction;

/// A callback or a task: like std::function, but moved and never copied, and empty once it was
/// called. What it holds is released with the call, on the calling thread; one that is never called
/// releases it when it is destroyed.
template <class R, class... Args>
class OnceFunction<R(Args...)> {
 public:
  OnceFunction() = default;
  OnceFunction(std::nullptr_t) {}
  /// An empty std::function makes an empty one.
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, OnceFunction> &&
           std::is_invocable_r_v<R, std::decay_t<F>&, Args...>) OnceFunction(F&& callee) {
    if constexpr (std::is_constructible_v<std::decay_t<F>, std::nullptr_t>) {
      if (!callee) return;
    }
    callee_ = std::make_unique<Callee<std::decay_t<F>>>(std::forward<F>(callee));
  }

  explicit operator bool() const { return callee_ != nullptr; }

  /// The function called may destroy this object.
  R operator()(Args... args) {
    RAFTKV_CHECK(callee_ != nullptr);
    const std::unique_ptr<AnyCallee> callee = std::move(callee_);
    return callee->Call(std::forward<Args>(args)...);
  }

 private:
  struct AnyCallee {
    virtual ~AnyCallee() = default;
    virtual R Call(Args... args) = 0;
  };
  template <class F>
  struct Callee final : AnyCallee {
    template <class From>
    explicit Callee(From&& from) : callee(std::forward<From>(from)) {}
    ~Callee() noexcept override = default;
    R Call(Args... args) override {
      // For a function whose result is not needed.
      if constexpr (std::is_void_v<R>) {
        callee(std::forward<Args>(args)...);
      } else {
        return callee(std::forward<Args>(args)...);
      }
    }
    F callee;
  };

  std::unique_ptr<AnyCallee> callee_;
};

}  // namespace raftkv
