// What does this process present on TLS connections, and whom does it believe?
//
// A setup is made of files, checked as a whole, and never changes. A reload makes another one
// (rpc/tls/tls_source.h); each connection keeps the one that it began with.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <openssl/ssl.h>

#include <raftkv/status.h>
#include <raftkv/tls.h>

namespace raftkv::rpc {

/// Application protocols (ALPN). A connection of the last kind is one between members: each end has
/// presented a certificate of the peer CA.
inline constexpr char kTlsNative[] = "raftkv";
inline constexpr char kTlsHttp1[] = "http/1.1";
inline constexpr char kTlsHttp2[] = "h2";
inline constexpr char kTlsPeer[] = "raftkv-peer";

using TlsContext = std::shared_ptr<SSL_CTX>;

struct TlsSetup {
  TlsContext accept_clients;  ///< null at a client
  TlsContext accept_peers;    ///< null: connections of members are refused
  TlsContext dial;            ///< as a member or as a client; null: it dials nobody
  // Files, for messages.
  std::string clients_ca;
  std::string peers_ca;  ///< of a client: the CA of the members
  /// When the first of a certificate and its CA expires, in seconds since 1970; 0: there is none.
  std::int64_t expires = 0;
  std::int64_t peer_expires = 0;  ///< of what members present to each other
};
using TlsSetupPtr = std::shared_ptr<const TlsSetup>;

[[nodiscard]] inline bool IsOn(const NodeTlsOptions& options) {
  return !options.cert.empty() || !options.key.empty() || !options.ca.empty() ||
         options.client_cert_auth || !options.peer_cert.empty() || !options.peer_key.empty() ||
         !options.peer_ca.empty();
}
[[nodiscard]] inline bool IsOn(const ClientTlsOptions& options) {
  return !options.cacert.empty() || !options.cert.empty() || !options.key.empty() ||
         !options.server_name.empty();
}

/// Whether the options go together, without reading a file. `has_peers`: there are other members.
/// InvalidArgument names the flag.
Status CheckTls(const NodeTlsOptions& options, bool has_peers);
Status CheckTls(const ClientTlsOptions& options);

/// Reads and checks the files; blocks on the disk; any thread. InvalidArgument says which file is
/// wrong, and how to mend it. Without other members, a certificate that is not good for them is one
/// for clients alone.
Result<TlsSetupPtr> LoadTls(const NodeTlsOptions& options, bool has_peers);
Result<TlsSetupPtr> LoadTls(const ClientTlsOptions& options);

/// The files that LoadTls reads.
std::vector<std::string> TlsFilesOf(const NodeTlsOptions& options);
std::vector<std::string> TlsFilesOf(const ClientTlsOptions& options);

}  // namespace raftkv::rpc
