// Which setup do new connections begin with, and how does it change while others go on?
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <raftkv/status.h>

#include "lib/base/mutex.h"
#include "rpc/tls/tls_failure.h"
#include "rpc/tls/tls_setup.h"

namespace raftkv::rpc {

/// Since the start.
struct TlsCounts {
  std::uint64_t handshakes = 0;
  std::array<std::uint64_t, kTlsFaults> refused{};
  std::uint64_t reloads = 0;
  std::uint64_t failed_reloads = 0;
};

/// What is in use. Lives on the loop; connections share what it held when they began.
class TlsSource {
 public:
  explicit TlsSource(TlsSetupPtr first) : current_(std::move(first)) {}
  TlsSource(const TlsSource&) = delete;
  TlsSource& operator=(const TlsSource&) = delete;

  [[nodiscard]] const TlsSetupPtr& current() const { return current_; }
  /// The result of a reload. Not ok: what is in use stays.
  void Take(const Result<TlsSetupPtr>& loaded) {
    ++(loaded.ok() ? counts.reloads : counts.failed_reloads);
    if (loaded.ok()) current_ = *loaded;
  }

  TlsCounts counts;

 private:
  TlsSetupPtr current_;
};

/// Reads the files again when they have changed. Safe from any thread; blocks on the disk.
class TlsReload {
 public:
  using Stamp = std::function<std::string()>;
  using Load = std::function<Result<TlsSetupPtr>()>;

  /// `stamp` is another text whenever the files have changed. Call it right before the first load,
  /// so that a change in between is not missed.
  TlsReload(Stamp stamp, Load load);
  /// Of the files that `options` name.
  static std::unique_ptr<TlsReload> Of(const NodeTlsOptions& options, bool has_peers);
  static std::unique_ptr<TlsReload> Of(const ClientTlsOptions& options);

  /// Loads. InvalidArgument: what is in the files cannot be used.
  Result<TlsSetupPtr> Now() RAFTKV_EXCLUDES(mutex_);
  /// Loads if the files have changed since they were last loaded, whatever came of it; null: they
  /// have not.
  Result<TlsSetupPtr> IfChanged() RAFTKV_EXCLUDES(mutex_);

 private:
  const Stamp stamp_;
  const Load load_;
  Mutex mutex_;  ///< one load at a time
  std::string loaded_ RAFTKV_GUARDED_BY(mutex_);
};

/// For log lines.
std::string DescribeReload(const Result<TlsSetupPtr>& loaded);

}  // namespace raftkv::rpc
