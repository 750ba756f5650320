// How are a CA and certificates for a cluster made? (raftkv cert, and the tests)
//
// P-256 keys and SHA-256 signatures: every TLS library knows them, and a signature takes 30 us.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <raftkv/status.h>

#include "rpc/tls/openssl.h"

namespace raftkv::rpc {

/// Both in PEM form.
struct IssuedCertificate {
  std::string certificate;
  std::string key;
};

struct CertificateRequest {
  std::string common_name;
  /// DNS names, which may begin with "*.", and IP addresses.
  std::vector<std::string> hosts = {};
  /// What it may be used for.
  bool server = false;
  bool client = false;
  // From now on; the first may be negative.
  std::chrono::seconds begins{-300};  ///< clocks differ
  std::chrono::seconds ends{std::chrono::hours(24 * 365)};
};

class CertificateAuthority {
 public:
  /// A new one, which signs itself. InvalidArgument: the name is empty or longer than 64 bytes.
  static Result<CertificateAuthority> New(const std::string& name, std::chrono::seconds lifetime);
  /// InvalidArgument: these are no certificate of a CA and its key in PEM form.
  static Result<CertificateAuthority> Read(std::string_view certificate, std::string_view key);

  [[nodiscard]] const IssuedCertificate& pem() const { return pem_; }

  /// InvalidArgument: a host is neither a DNS name nor an IP address, or the common name is empty
  /// or longer than 64 bytes.
  [[nodiscard]] Result<IssuedCertificate> Issue(const CertificateRequest& request) const;

 private:
  CertificateAuthority() = default;

  CertificatePtr certificate_;
  PrivateKeyPtr key_;
  IssuedCertificate pem_;
};

}  // namespace raftkv::rpc
