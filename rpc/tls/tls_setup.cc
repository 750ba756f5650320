#include "rpc/tls/tls_setup.h"

#include <algorithm>
#include <utility>

#include "lib/base/address.h"
#include "rpc/tls/tls_files.h"
#include "rpc/tls/tls_terms.h"

namespace raftkv::rpc {
namespace {

Status WrongTls(const std::string& what) { return {Code::kInvalidArgument, what}; }

/// The file that a flag names, or the one that takes its place.
TlsFile FileOr(const char* flag, const std::string& path, TlsFile instead) {
  return path.empty() ? std::move(instead) : TlsFile{flag, path};
}

/// What members present to each other.
struct PeerTlsFiles {
  TlsFile cert;
  TlsFile key;
  TlsFile ca;  ///< its path is empty: no member is believed
};

PeerTlsFiles PeerTlsFilesOf(const NodeTlsOptions& options) {
  return {.cert = FileOr("--peer-tls-cert", options.peer_cert, {"--tls-cert", options.cert}),
          .key = FileOr("--peer-tls-key", options.peer_key, {"--tls-key", options.key}),
          .ca = FileOr("--peer-tls-ca", options.peer_ca, {"--tls-ca", options.ca})};
}

Status LoadClientPort(const NodeTlsOptions& options, TlsSetup& setup) {
  const TlsFile cert{"--tls-cert", options.cert};
  auto own = ReadCredentials(cert, {"--tls-key", options.key});
  if (!own.ok()) return own.status();
  setup.accept_clients = NewAcceptContext(options.min_version);
  SSL_CTX& context = *setup.accept_clients;
  if (Status presented = Present(context, *own, cert); !presented.ok()) return presented;
  std::vector<CertificatePtr> believed;
  if (!options.ca.empty()) {
    auto ca = ReadCa({"--tls-ca", options.ca});
    if (!ca.ok()) return ca.status();
    believed = *std::move(ca);
    Believe(context, believed);
    const int needed = options.client_cert_auth ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0;
    SSL_CTX_set_verify(&context, SSL_VERIFY_PEER | needed, SSL_CTX_get_verify_callback(&context));
  }
  setup.clients_ca = options.ca;
  setup.expires = FirstExpiry(&*own, believed);
  return Status::Ok();
}

Status LoadPeers(const NodeTlsOptions& options, bool has_peers, TlsSetup& setup) {
  const PeerTlsFiles files = PeerTlsFilesOf(options);
  if (files.ca.path.empty()) return Status::Ok();
  auto own = ReadCredentials(files.cert, files.key);
  if (!own.ok()) return own.status();
  auto ca = ReadCa(files.ca);
  if (!ca.ok()) return ca.status();
  const bool needed = has_peers || !options.peer_cert.empty() || !options.peer_ca.empty();
  if (Status good = CheckMemberCertificate(*own, files.cert, *ca, files.ca); !good.ok()) {
    return needed ? good : Status::Ok();
  }
  setup.accept_peers = NewAcceptContext(options.min_version);
  setup.dial = NewDialContext(options.min_version);
  for (SSL_CTX* const context : {setup.accept_peers.get(), setup.dial.get()}) {
    if (Status presented = Present(*context, *own, files.cert); !presented.ok()) return presented;
    Believe(*context, *ca);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                       SSL_CTX_get_verify_callback(context));
  }
  setup.peers_ca = files.ca.path;
  setup.peer_expires = FirstExpiry(&*own, *ca);
  return Status::Ok();
}

std::vector<std::string> WithoutEmpty(std::vector<std::string> paths) {
  paths.erase(std::remove(paths.begin(), paths.end(), std::string()), paths.end());
  return paths;
}

}  // namespace

Status CheckTls(const NodeTlsOptions& options, bool has_peers) {
  if (options.min_version != "1.2" && options.min_version != "1.3") {
    return WrongTls("--tls-min-version has to be 1.2 or 1.3");
  }
  if (!IsOn(options)) return Status::Ok();
  if (options.cert.empty() || options.key.empty()) {
    return WrongTls("TLS needs --tls-cert and --tls-key: clients and members share one port");
  }
  if (options.peer_cert.empty() != options.peer_key.empty()) {
    return WrongTls("--peer-tls-cert and --peer-tls-key go together: set both, or none");
  }
  if (options.client_cert_auth && options.ca.empty()) {
    return WrongTls("--client-cert-auth needs --tls-ca: the CA that signs clients' certificates");
  }
  const bool peer_ca = !options.peer_ca.empty() || !options.ca.empty();
  if (!peer_ca && (has_peers || !options.peer_cert.empty())) {
    return WrongTls(
        "members need a CA to know each other by: set --peer-tls-ca, or --tls-ca for members and "
        "clients");
  }
  return Status::Ok();
}

Status CheckTls(const ClientTlsOptions& options) {
  if (!IsOn(options)) return Status::Ok();
  if (options.cacert.empty()) {
    return WrongTls("TLS needs --cacert: the CA that signs the members' certificates");
  }
  if (options.cert.empty() != options.key.empty()) {
    return WrongTls("--cert and --key go together: set both, or none");
  }
  if (options.server_name.empty()) return Status::Ok();
  const Result<HostPort> name = ParseHostPort(options.server_name + ":1");
  if (name.ok() && !name->host.empty()) return Status::Ok();
  return WrongTls(Quoted(options.server_name) + " is no name that a certificate could be for");
}

Result<TlsSetupPtr> LoadTls(const NodeTlsOptions& options, bool has_peers) {
  auto setup = std::make_shared<TlsSetup>();
  if (Status loaded = LoadClientPort(options, *setup); !loaded.ok()) return loaded;
  if (Status loaded = LoadPeers(options, has_peers, *setup); !loaded.ok()) return loaded;
  return TlsSetupPtr(std::move(setup));
}

Result<TlsSetupPtr> LoadTls(const ClientTlsOptions& options) {
  auto setup = std::make_shared<TlsSetup>();
  auto ca = ReadCa({"--cacert", options.cacert});
  if (!ca.ok()) return ca.status();
  // The members decide on a higher one.
  setup->dial = NewDialContext("1.2");
  Believe(*setup->dial, *ca);
  setup->peers_ca = options.cacert;
  setup->peer_expires = FirstExpiry(nullptr, *ca);
  if (!options.cert.empty()) {
    const TlsFile cert{"--cert", options.cert};
    auto own = ReadCredentials(cert, {"--key", options.key});
    if (!own.ok()) return own.status();
    if (Status presented = Present(*setup->dial, *own, cert); !presented.ok()) return presented;
    setup->peer_expires = FirstExpiry(&*own, *ca);
  }
  return TlsSetupPtr(std::move(setup));
}

std::vector<std::string> TlsFilesOf(const NodeTlsOptions& options) {
  return WithoutEmpty({options.cert, options.key, options.ca, options.peer_cert, options.peer_key,
                       options.peer_ca});
}

std::vector<std::string> TlsFilesOf(const ClientTlsOptions& options) {
  return WithoutEmpty({options.cacert, options.cert, options.key});
}

}  // namespace raftkv::rpc
