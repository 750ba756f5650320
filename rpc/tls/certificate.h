// Whom does a certificate name, and until when is it valid?
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <openssl/x509.h>

namespace raftkv::rpc {

/// Who is at the other end of a connection, by a certificate that was verified.
struct Identity {
  /// Of subjectAltName: DNS names, then IP addresses, then URIs; then the common name. Names that
  /// have control characters or are too long are left out. Empty: it presented no certificate.
  std::vector<std::string> names;

  /// The first of them, or empty.
  [[nodiscard]] std::string name() const { return names.empty() ? std::string() : names.front(); }
};

Identity IdentityOf(const X509& certificate);
/// For messages: the names, quoted, separated by commas.
std::string ListedNames(const Identity& identity);

/// Seconds since 1970.
std::int64_t BeginsAt(const X509& certificate);
std::int64_t ExpiresAt(const X509& certificate);
/// "2026-01-31 12:00:00 UTC".
std::string DateText(std::int64_t seconds);

}  // namespace raftkv::rpc
