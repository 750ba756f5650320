// What may the two ends of a connection agree on, and when does one refuse the other?
//
// One port serves clients and members. A member says that it is one by the application protocol
// that it offers (ALPN) at the very beginning; from there the connection is one between members:
// they present the certificates that they have for each other, and each has to be of the peer CA.
#pragma once

#include <string>
#include <vector>

#include "rpc/tls/openssl.h"
#include "rpc/tls/tls_failure.h"
#include "rpc/tls/tls_setup.h"

namespace raftkv::rpc {

/// The rules of a port.
struct TlsAccepts {
  /// In the order of preference, without kTlsPeer. Who offers none at all is taken for a client.
  std::vector<std::string> protocols = {};
  /// Members connect here too.
  bool peers = false;
};

/// Of one connection. OpenSSL calls back with it: it stays where it is while there is an SSL.
struct TlsTerms {
  TlsSetupPtr setup;
  TlsAccepts accepts;    ///< of the side that accepts
  std::string host;      ///< of the side that dials: the name that the other one has to prove
  std::string protocol;  ///< of the side that dials: what it offers

  /// It is a connection between members.
  bool peer = false;
  /// What a callback found wrong; it says more than OpenSSL's own error.
  TlsFailure found;
};

/// Both ends of a handshake. `terms` outlives it.
SslPtr NewAccepting(TlsTerms& terms);
SslPtr NewDialling(TlsTerms& terms);

/// For contexts, when they are made.
TlsContext NewAcceptContext(const std::string& min_version);
TlsContext NewDialContext(const std::string& min_version);

}  // namespace raftkv::rpc
