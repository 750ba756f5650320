// How do a member's ports get TLS, and how do changed certificates get into use? (OpenNode)
#include <algorithm>
#include <utility>

#include "lib/base/check.h"
#include "lib/open/open_node.h"
#include "rpc/loop/outbound.h"
#include "rpc/tls/certificate.h"
#include "storage/disk/machine.h"

namespace raftkv {

namespace {

/// Before a certificate expires, for status and log.
constexpr std::int64_t kWarnDays = 14;
constexpr std::int64_t kSecondsOfDay = 24 * 60 * 60;

std::int64_t WallSeconds() { return static_cast<std::int64_t>(storage::WallTimeMs() / 1000); }

}  // namespace

raftkv::Status OpenNode::OpenTls() {
  if (!rpc::IsOn(options_.tls)) return raftkv::Status::Ok();
  const bool has_peers = options_.cluster.size() > 1 || options_.join;
  tls_reload_ = rpc::TlsReload::Of(options_.tls, has_peers);
  const auto loaded = tls_reload_->Now();
  if (!loaded.ok()) return loaded.status();
  tls_ = std::make_unique<rpc::TlsSource>(*loaded);
  tls_dialer_ = std::make_shared<rpc::TlsDialer>(
      [source = tls_.get()] { return source->current(); }, rpc::kTlsPeer);
  tls_worker_ = std::make_unique<storage::Worker>("raftkv-tls", 1);
  RAFTKV_CHECK(loop_->Call([this] {
    for (const std::string& line : TlsWarnings()) Sink()(node::LogSeverity::kWarn, line);
    WatchTlsFiles();
  }));
  return raftkv::Status::Ok();
}

std::unique_ptr<rpc::TlsPort> OpenNode::NewTlsPort(rpc::TlsAccepts accepts) {
  if (tls_ == nullptr) return nullptr;
  rpc::TlsPortOptions options;
  options.accepts = std::move(accepts);
  // One line per second and port: anybody can make more of them.
  options.log = [this, refused = std::make_shared<rpc::RateLimitedLog>()](const std::string& line) {
    refused->Log(Sink(), loop_->Now(), node::LogSeverity::kWarn, line);
  };
  return std::make_unique<rpc::TlsPort>(loop_->timer(), *tls_, std::move(options));
}

/// Looks at the files again and again, on a thread of its own: a disk that hangs must not hold up
/// the loop.
void OpenNode::WatchTlsFiles() {
  loop_->At(loop_->Now() + internals_.tls_look, [this] {
    if (closing_) return;
    const bool posted = tls_worker_->Post([this] {
      auto loaded = tls_reload_->IfChanged();
      loop_->Post([this, loaded = std::move(loaded)] {
        if (closing_) return;
        if (!loaded.ok() || *loaded != nullptr) TakeTls(loaded);
        WatchTlsFiles();
      });
    });
    if (!posted) WatchTlsFiles();
  });
}

void OpenNode::TakeTls(const Result<rpc::TlsSetupPtr>& loaded) {
  tls_->Take(loaded);
  Sink()(loaded.ok() ? node::LogSeverity::kInfo : node::LogSeverity::kError,
         rpc::DescribeReload(loaded));
}

raftkv::Status OpenNode::ReloadTls() {
  if (tls_reload_ == nullptr) {
    return {Code::kInvalidArgument, "this member has no TLS, so there is nothing to read again"};
  }
  const auto loaded = tls_reload_->Now();
  const bool taken = loop_->Call([&] {
    if (!closing_) TakeTls(loaded);
  });
  if (!taken) return {Code::kCancelled, "the member was closed"};
  return loaded.status();
}

std::vector<std::string> OpenNode::TlsWarnings() const {
  std::vector<std::string> warnings;
  if (tls_ == nullptr) return warnings;
  const auto warn = [&](std::int64_t expires, const std::string& whom) {
    if (expires == 0 || expires - WallSeconds() > kWarnDays * kSecondsOfDay) return;
    warnings.push_back("the certificate that is shown to " + whom + ", or its CA, is valid until " +
                       rpc::DateText(expires) + ": renew it");
  };
  warn(tls_->current()->expires, "clients");
  warn(tls_->current()->peer_expires, "other members");
  return warnings;
}

rpc::TlsSnapshot OpenNode::SnapshotOfTls() const {
  rpc::TlsSnapshot snapshot;
  if (tls_ == nullptr) return snapshot;
  snapshot.counts = tls_->counts;
  const auto days = [&](std::int64_t expires, const char* whom) {
    if (expires == 0) return;
    snapshot.expiry_days[whom] =
        static_cast<double>(expires - WallSeconds()) / static_cast<double>(kSecondsOfDay);
  };
  days(tls_->current()->expires, "clients");
  days(tls_->current()->peer_expires, "members");
  return snapshot;
}

}  // namespace raftkv
