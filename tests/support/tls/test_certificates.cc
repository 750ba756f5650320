#include "tests/support/tls/test_certificates.h"

#include <filesystem>
#include <utility>

#include "lib/base/check.h"

namespace raftkv::test {

void ReplaceFile(const std::string& path, const std::string& content) {
  WriteFile(path + ".new", content);
  std::filesystem::rename(path + ".new", path);
}

TestCertificates::TestCertificates(std::vector<std::string> hosts) : hosts_(std::move(hosts)) {
  auto ca = rpc::CertificateAuthority::New("the CA of a test", std::chrono::hours(24 * 365));
  RAFTKV_CHECK(ca.ok(), ca.status().ToString());
  ca_ = *std::move(ca);
  ReplaceFile(crt("ca"), ca_->pem().certificate);
  Renew();
}

void TestCertificates::Renew() {
  Issue("server", {.common_name = "server", .hosts = hosts_, .server = true});
  Issue("peer", {.common_name = "peer", .hosts = hosts_, .server = true, .client = true});
  Issue("client", {.common_name = "client", .client = true});
}

void TestCertificates::Issue(const std::string& name, const rpc::CertificateRequest& request) {
  const auto issued = ca_->Issue(request);
  RAFTKV_CHECK(issued.ok(), issued.status().ToString());
  ReplaceFile(crt(name), issued->certificate);
  ReplaceFile(key(name), issued->key);
}

NodeTlsOptions TestCertificates::node(bool client_auth) const {
  return {.cert = crt("server"),
          .key = key("server"),
          .ca = crt("ca"),
          .client_cert_auth = client_auth,
          .peer_cert = crt("peer"),
          .peer_key = key("peer"),
          .peer_ca = crt("ca")};
}

ClientTlsOptions TestCertificates::client(const std::string& name) const {
  if (name.empty()) return {.cacert = crt("ca")};
  return {.cacert = crt("ca"), .cert = crt(name), .key = key(name)};
}

}  // namespace raftkv::test
