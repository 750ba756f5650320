#include "rpc/tls/certificate_authority.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "lib/base/address.h"
#include "lib/base/check.h"

namespace raftkv::rpc {
namespace {

/// Of X.520.
constexpr std::size_t kMaxCommonNameBytes = 64;
constexpr std::size_t kMaxDnsNameBytes = 253;

using NumberPtr = std::unique_ptr<BIGNUM, FreedBy<BN_free>>;
using ExtensionPtr = std::unique_ptr<X509_EXTENSION, FreedBy<X509_EXTENSION_free>>;

Status BadRequest(const std::string& what) { return {Code::kInvalidArgument, what}; }

/// For calls that fail only if memory is short or the arguments are wrong.
void Must(bool done) { RAFTKV_CHECK(done, OpensslReason(TakeOpensslError())); }

PrivateKeyPtr NewKey() {
  PrivateKeyPtr key(EVP_EC_gen("P-256"));
  Must(key != nullptr);
  return key;
}

template <class Write>
std::string PemOf(const Write& write) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  Must(bio != nullptr);
  Must(write(bio.get()) == 1);
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &bytes);
  return {bytes, static_cast<std::size_t>(size)};
}

IssuedCertificate PemOf(X509* certificate, EVP_PKEY* key) {
  return {.certificate =
              PemOf([certificate](BIO* bio) { return PEM_write_bio_X509(bio, certificate); }),
          .key = PemOf([key](BIO* bio) {
            return PEM_write_bio_PKCS8PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
          })};
}

void SetSerial(X509* certificate) {
  std::array<unsigned char, 16> bytes{};
  Must(RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) == 1);
  bytes[0] = static_cast<unsigned char>((bytes[0] & 0x7f) | 0x40);  // positive, and never short
  const NumberPtr number(BN_bin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr));
  Must(number != nullptr);
  Must(BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) != nullptr);
}

void AddExtension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  Must(extension != nullptr);
  Must(X509_add_ext(certificate, extension.get(), -1) == 1);
}

bool IsIpAddress(const std::string& host) {
  std::array<unsigned char, sizeof(in6_addr)> bytes{};
  return inet_pton(AF_INET, host.c_str(), bytes.data()) == 1 ||
         inet_pton(AF_INET6, host.c_str(), bytes.data()) == 1;
}

/// Nothing that has a meaning in the text of an extension.
bool IsCertificateDnsName(std::string_view host) {
  if (host.starts_with("*.")) host.remove_prefix(2);
  const auto is_plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  };
  return !host.empty() && host.size() <= kMaxDnsNameBytes && host.front() != '.' &&
         std::all_of(host.begin(), host.end(), is_plain);
}

Result<std::string> AlternativeNames(const std::vector<std::string>& hosts) {
  std::string names;
  for (const std::string& host : hosts) {
    const bool ip = IsIpAddress(host);
    if (!ip && !IsCertificateDnsName(host)) {
      return BadRequest(Quoted(host) + " is neither a DNS name nor an IP address");
    }
    names += (names.empty() ? "" : ",") + std::string(ip ? "IP:" : "DNS:") + host;
  }
  return names;
}

Status CheckCommonName(const std::string& name) {
  const auto is_control = [](unsigned char c) { return c < ' ' || c == 0x7f; };
  if (!name.empty() && name.size() <= kMaxCommonNameBytes &&
      std::none_of(name.begin(), name.end(), is_control)) {
    return Status::Ok();
  }
  return BadRequest("the name of a certificate has 1 to " + std::to_string(kMaxCommonNameBytes) +
                    " bytes and no control characters, which " + Quoted(name) + " does not");
}

/// Without issuer, extensions and signature.
CertificatePtr NewCertificate(const std::string& name, EVP_PKEY* key, std::chrono::seconds begins,
                              std::chrono::seconds ends) {
  CertificatePtr certificate(X509_new());
  Must(certificate != nullptr);
  constexpr long kVersion3 = 2;
  Must(X509_set_version(certificate.get(), kVersion3) == 1);
  SetSerial(certificate.get());
  Must(X509_gmtime_adj(X509_getm_notBefore(certificate.get()), begins.count()) != nullptr);
  Must(X509_gmtime_adj(X509_getm_notAfter(certificate.get()), ends.count()) != nullptr);
  Must(X509_set_pubkey(certificate.get(), key) == 1);
  X509_NAME* const subject = X509_get_subject_name(certificate.get());
  Must(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                  reinterpret_cast<const unsigned char*>(name.data()),
                                  static_cast<int>(name.size()), -1, 0) == 1);
  return certificate;
}

}  // namespace

Result<CertificateAuthority> CertificateAuthority::New(const std::string& name,
                                                       std::chrono::seconds lifetime) {
  PrepareOpenssl();
  if (Status good = CheckCommonName(name); !good.ok()) return good;
  CertificateAuthority ca;
  ca.key_ = NewKey();
  ca.certificate_ = NewCertificate(name, ca.key_.get(), CertificateRequest().begins, lifetime);
  X509* const raw = ca.certificate_.get();
  Must(X509_set_issuer_name(raw, X509_get_subject_name(raw)) == 1);
  AddExtension(raw, raw, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
  AddExtension(raw, raw, NID_key_usage, "critical,keyCertSign,cRLSign");
  AddExtension(raw, raw, NID_subject_key_identifier, "hash");
  Must(X509_sign(raw, ca.key_.get(), EVP_sha256()) > 0);
  ca.pem_ = PemOf(raw, ca.key_.get());
  return ca;
}

Result<CertificateAuthority> CertificateAuthority::Read(std::string_view certificate,
                                                        std::string_view key) {
  PrepareOpenssl();
  CertificateAuthority ca;
  const BioPtr certificate_text = ReadOnly(certificate);
  ca.certificate_.reset(PEM_read_bio_X509(certificate_text.get(), nullptr, nullptr, nullptr));
  const BioPtr key_text = ReadOnly(key);
  // Otherwise it would ask for the passphrase of an encrypted one.
  const auto no_passphrase = [](char*, int, int, void*) { return -1; };
  ca.key_.reset(PEM_read_bio_PrivateKey(key_text.get(), nullptr, no_passphrase, nullptr));
  const bool fits = ca.certificate_ != nullptr && ca.key_ != nullptr &&
                    X509_check_ca(ca.certificate_.get()) == 1 &&
                    X509_check_private_key(ca.certificate_.get(), ca.key_.get()) == 1;
  static_cast<void>(TakeOpensslError());
  if (!fits) return BadRequest("these are no certificate of a CA and its private key in PEM form");
  ca.pem_ = PemOf(ca.certificate_.get(), ca.key_.get());
  return ca;
}

Result<IssuedCertificate> CertificateAuthority::Issue(const CertificateRequest& request) const {
  if (Status good = CheckCommonName(request.common_name); !good.ok()) return good;
  const Result<std::string> names = AlternativeNames(request.hosts);
  if (!names.ok()) return names.status();
  const PrivateKeyPtr key = NewKey();
  const CertificatePtr certificate =
      NewCertificate(request.common_name, key.get(), request.begins, request.ends);
  X509* const raw = certificate.get();
  X509* const issuer = certificate_.get();
  Must(X509_set_issuer_name(raw, X509_get_subject_name(issuer)) == 1);
  AddExtension(raw, issuer, NID_basic_constraints, "critical,CA:FALSE");
  AddExtension(raw, issuer, NID_key_usage, "critical,digitalSignature");
  std::string uses;
  if (request.server) uses = "serverAuth";
  if (request.client) uses += uses.empty() ? "clientAuth" : ",clientAuth";
  if (!uses.empty()) AddExtension(raw, issuer, NID_ext_key_usage, uses);
  AddExtension(raw, issuer, NID_subject_key_identifier, "hash");
  AddExtension(raw, issuer, NID_authority_key_identifier, "keyid");
  if (!names->empty()) AddExtension(raw, issuer, NID_subject_alt_name, *names);
  Must(X509_sign(raw, key_.get(), EVP_sha256()) > 0);
  return PemOf(raw, key.get());
}

}  // namespace raftkv::rpc
