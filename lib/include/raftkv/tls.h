// How are connections encrypted, and how does each end prove who it is?
//
// All files are PEM. A certificate file holds the certificate and, after it, any intermediate ones;
// a CA file holds one or more certificates that are trusted. Files that have changed are read
// again within seconds and count for new connections; connections that are open keep what they
// began with. docs/tls.md shows how to set it up.
#pragma once

#include <string>

namespace raftkv {

/// TLS on all ports of a member; off while `cert` is empty.
struct NodeTlsOptions {
  /// What the ports present to clients.
  std::string cert = {};
  std::string key = {};
  /// Signs the certificates of clients. Without it clients are asked for none.
  std::string ca = {};
  /// Clients without a certificate of `ca` are refused. If false, a client may have none; one that
  /// it presents has to be valid.
  bool client_cert_auth = false;
  /// What members present to each other, as servers and as clients; empty: `cert`, `key` and `ca`.
  /// Whoever has a certificate of `peer_ca` that is good for both is a member, wherever it connects
  /// from.
  std::string peer_cert = {};
  std::string peer_key = {};
  std::string peer_ca = {};
  /// "1.2" or "1.3": the lowest version of TLS that is spoken.
  std::string min_version = "1.3";
};

/// TLS to all members; off while `cacert` is empty.
struct ClientTlsOptions {
  /// Signs the certificates of the members.
  std::string cacert = {};
  /// What the client presents; needed with NodeTlsOptions::client_cert_auth.
  std::string cert = {};
  std::string key = {};
  /// Name that the members' certificates have to be for; empty: the host of each address.
  std::string server_name = {};
};

}  // namespace raftkv
