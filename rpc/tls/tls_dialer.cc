#include "rpc/tls/tls_dialer.h"

#include <chrono>

#include "rpc/tls/tls_stream.h"

namespace raftkv::rpc {
namespace {

constexpr std::chrono::seconds kLookAtFilesEvery(1);

kj::Exception CannotDial(const std::string& why) {
  return {kj::Exception::Type::DISCONNECTED, __FILE__, __LINE__, kj::heapString(why.c_str())};
}

/// The files of a client. It dials rarely, so there is no need for a thread that looks at them.
struct ClientTlsFiles {
  ClientTlsFiles(std::unique_ptr<TlsReload> reload, TlsSetupPtr first)
      : reload(std::move(reload)), source(std::move(first)) {}

  TlsSetupPtr Current() {
    const auto now = std::chrono::steady_clock::now();
    if (now < next_look) return source.current();
    next_look = now + kLookAtFilesEvery;
    const Result<TlsSetupPtr> loaded = reload->IfChanged();
    // What cannot be used is looked at again once it has changed.
    if (!loaded.ok() || *loaded != nullptr) source.Take(loaded);
    return source.current();
  }

  const std::unique_ptr<TlsReload> reload;
  TlsSource source;
  std::chrono::steady_clock::time_point next_look;
};

}  // namespace

kj::Promise<kj::Own<kj::AsyncIoStream>> TlsDialer::Connect(kj::Own<kj::AsyncIoStream> stream,
                                                           const std::string& host) const {
  TlsSetupPtr setup = setup_();
  if (setup->dial == nullptr) {
    return CannotDial(
        "this member has no certificate and CA for other members: set --peer-tls-cert, "
        "--peer-tls-key and --peer-tls-ca");
  }
  const std::string& name = server_name_.empty() ? host : server_name_;
  if (name.empty()) return CannotDial("there is no host that its certificate could be for");
  auto secure = kj::heap<TlsStream>(kj::mv(stream), std::move(setup), protocol_, name);
  auto shaken = secure->Handshake();
  return shaken.then([secure = kj::mv(secure)](
                         TlsFailure&& failure) mutable -> kj::Promise<kj::Own<kj::AsyncIoStream>> {
    if (!failure.ok()) return CannotDial(failure.why);
    return kj::Own<kj::AsyncIoStream>(kj::mv(secure));
  });
}

Result<std::shared_ptr<TlsDialer>> NewClientDialer(const ClientTlsOptions& options) {
  std::unique_ptr<TlsReload> reload = TlsReload::Of(options);
  Result<TlsSetupPtr> first = reload->Now();
  if (!first.ok()) return first.status();
  auto files = std::make_shared<ClientTlsFiles>(std::move(reload), *std::move(first));
  return std::make_shared<TlsDialer>([files] { return files->Current(); }, kTlsNative,
                                     options.server_name);
}

}  // namespace raftkv::rpc
