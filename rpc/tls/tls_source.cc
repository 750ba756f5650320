#include "rpc/tls/tls_source.h"

#include "rpc/tls/certificate.h"
#include "rpc/tls/tls_files.h"

namespace raftkv::rpc {

TlsReload::TlsReload(Stamp stamp, Load load) : stamp_(std::move(stamp)), load_(std::move(load)) {}

std::unique_ptr<TlsReload> TlsReload::Of(const NodeTlsOptions& options, bool has_peers) {
  return std::make_unique<TlsReload>([files = TlsFilesOf(options)] { return StampOf(files); },
                                     [options, has_peers] { return LoadTls(options, has_peers); });
}

std::unique_ptr<TlsReload> TlsReload::Of(const ClientTlsOptions& options) {
  return std::make_unique<TlsReload>([files = TlsFilesOf(options)] { return StampOf(files); },
                                     [options] { return LoadTls(options); });
}

Result<TlsSetupPtr> TlsReload::Now() {
  const MutexLock lock(mutex_);
  loaded_ = stamp_();
  return load_();
}

Result<TlsSetupPtr> TlsReload::IfChanged() {
  const MutexLock lock(mutex_);
  std::string now = stamp_();
  if (now == loaded_) return TlsSetupPtr();
  loaded_ = std::move(now);
  return load_();
}

std::string DescribeReload(const Result<TlsSetupPtr>& loaded) {
  if (!loaded.ok()) {
    return "the TLS files have changed but cannot be used, so new connections get what was read "
           "before: " +
           loaded.status().message();
  }
  std::string line = "read the TLS files again, for new connections";
  if ((*loaded)->expires != 0) line += "; they are valid until " + DateText((*loaded)->expires);
  return line;
}

}  // namespace raftkv::rpc
