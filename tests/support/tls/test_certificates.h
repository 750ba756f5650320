// Where does a test find certificates? In a folder of its own, made when it begins.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <raftkv/tls.h>

#include "rpc/tls/certificate_authority.h"
#include "tests/support/process/process.h"

namespace raftkv::test {

/// A CA, and by it a certificate for clients ("server"), one for members ("peer") and one of a
/// client ("client"): NAME.crt and NAME.key each, and ca.crt.
class TestCertificates {
 public:
  explicit TestCertificates(std::vector<std::string> hosts = {"127.0.0.1", "localhost"});

  [[nodiscard]] std::string crt(const std::string& name) const { return folder_ / (name + ".crt"); }
  [[nodiscard]] std::string key(const std::string& name) const { return folder_ / (name + ".key"); }

  /// "server" for clients and "peer" for members; clients need a certificate if `client_auth`.
  [[nodiscard]] NodeTlsOptions node(bool client_auth = false) const;
  /// A client with the certificate `name`; empty: without one.
  [[nodiscard]] ClientTlsOptions client(const std::string& name = "client") const;

  /// Makes NAME.crt and NAME.key, in place of those that are there.
  void Issue(const std::string& name, const rpc::CertificateRequest& request);
  /// New ones for "server", "peer" and "client", by the same CA.
  void Renew();

 private:
  const std::vector<std::string> hosts_;
  const TempFolder folder_;
  std::optional<rpc::CertificateAuthority> ca_;
};

/// Replaces a file at once: whoever opens it sees all of the old one or all of the new.
void ReplaceFile(const std::string& path, const std::string& content);

}  // namespace raftkv::test
