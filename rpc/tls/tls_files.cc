#include "rpc/tls/tls_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <memory>
#include <string_view>
#include <system_error>
#include <utility>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "lib/base/check.h"
#include "rpc/tls/certificate.h"

namespace raftkv::rpc {
namespace {

/// A file that is larger is none of certificates.
constexpr std::size_t kMaxPemBytes = 1 << 20;

using StorePtr = std::unique_ptr<X509_STORE, FreedBy<X509_STORE_free>>;
using StoreContextPtr = std::unique_ptr<X509_STORE_CTX, FreedBy<X509_STORE_CTX_free>>;

Status BadTlsFile(const TlsFile& file, const std::string& what) {
  return {Code::kInvalidArgument, file.Text() + ": " + what};
}

/// Wiped at the end: it may hold a private key.
struct PemText {
  PemText() = default;
  PemText(const PemText&) = delete;
  PemText& operator=(const PemText&) = delete;
  ~PemText() { OPENSSL_cleanse(bytes.data(), bytes.size()); }

  [[nodiscard]] std::string_view view() const { return {bytes.data(), size}; }
  [[nodiscard]] bool Mentions(std::string_view text) const {
    return view().find(text) != std::string_view::npos;
  }

  std::vector<char> bytes;
  std::size_t size = 0;
};

Status ReadPem(const TlsFile& file, PemText& text) {
  const auto unreadable = [&file](int error) {
    return BadTlsFile(file, "cannot be read: " + std::generic_category().message(error));
  };
  const int fd = open(file.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return unreadable(errno);
  struct stat about {};
  int error = fstat(fd, &about) == 0 ? 0 : errno;
  if (error == 0 && !S_ISREG(about.st_mode)) {
    close(fd);
    return BadTlsFile(file, "is not a regular file");
  }
  // One byte more than it has: a file that grows is read again later.
  text.bytes.resize(std::min(static_cast<std::size_t>(about.st_size), kMaxPemBytes) + 1);
  while (error == 0 && text.size < text.bytes.size()) {
    const ssize_t got = read(fd, text.bytes.data() + text.size, text.bytes.size() - text.size);
    if (got == 0) break;
    if (got > 0) text.size += static_cast<std::size_t>(got);
    if (got < 0 && errno != EINTR) error = errno;
  }
  close(fd);
  if (error != 0) return unreadable(error);
  if (text.size > kMaxPemBytes) return BadTlsFile(file, "is larger than 1 MiB");
  return Status::Ok();
}

Status CheckDates(const TlsFile& file, const X509& certificate) {
  const std::string named = "the certificate (" + ListedNames(IdentityOf(certificate)) + ") ";
  if (X509_cmp_current_time(X509_get0_notAfter(&certificate)) < 0) {
    return BadTlsFile(file,
                      named + "expired on " + DateText(ExpiresAt(certificate)) + ": renew it");
  }
  if (X509_cmp_current_time(X509_get0_notBefore(&certificate)) > 0) {
    return BadTlsFile(file, named + "is only valid from " + DateText(BeginsAt(certificate)) +
                                " on: check this machine's clock");
  }
  return Status::Ok();
}

Result<std::vector<CertificatePtr>> ReadCertificates(const TlsFile& file) {
  PemText text;
  if (Status read = ReadPem(file, text); !read.ok()) return read;
  const BioPtr bio = ReadOnly(text.view());
  std::vector<CertificatePtr> found;
  ERR_clear_error();
  while (X509* const one = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    found.emplace_back(one);
  }
  const unsigned long error = ERR_peek_last_error();
  const bool at_end =
      ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
  static_cast<void>(TakeOpensslError());
  if (!at_end) {
    return BadTlsFile(file, "certificate " + std::to_string(found.size() + 1) +
                                " in it is damaged: " + OpensslReason(error));
  }
  if (found.empty()) {
    return BadTlsFile(file, text.Mentions("PRIVATE KEY-----")
                                ? "holds a private key instead of a certificate"
                                : "holds no certificate in PEM form "
                                  "(-----BEGIN CERTIFICATE-----)");
  }
  for (const CertificatePtr& one : found) {
    if (Status valid = CheckDates(file, *one); !valid.ok()) return valid;
  }
  return found;
}

/// Nobody is asked for a passphrase.
int NoPassphrase(char* /*to*/, int /*size*/, int /*writing*/, void* asked) {
  *static_cast<bool*>(asked) = true;
  return -1;
}

Result<PrivateKeyPtr> ReadKey(const TlsFile& file) {
  PemText text;
  if (Status read = ReadPem(file, text); !read.ok()) return read;
  const BioPtr bio = ReadOnly(text.view());
  bool encrypted = false;
  ERR_clear_error();
  PrivateKeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassphrase, &encrypted));
  const unsigned long error = TakeOpensslError();
  if (key != nullptr) return key;
  if (encrypted) {
    return BadTlsFile(file,
                      "is encrypted with a passphrase; decrypt it: openssl pkey -in FILE "
                      "-out NEW");
  }
  if (text.Mentions("PRIVATE KEY-----")) {
    return BadTlsFile(file, "the private key in it is damaged: " + OpensslReason(error));
  }
  return BadTlsFile(file, text.Mentions("CERTIFICATE-----")
                              ? "holds a certificate instead of a private key"
                              : "holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)");
}

StorePtr StoreOf(const std::vector<CertificatePtr>& ca) {
  StorePtr store(X509_STORE_new());
  RAFTKV_CHECK(store != nullptr);
  for (const CertificatePtr& one : ca) {
    RAFTKV_CHECK(X509_STORE_add_cert(store.get(), one.get()) == 1);
  }
  // What stands in the file is believed, also an intermediate CA.
  X509_STORE_set_flags(store.get(), X509_V_FLAG_PARTIAL_CHAIN);
  return store;
}

/// X509_V_OK, or what is wrong with `own` for `purpose`.
int VerdictOn(const TlsCredentials& own, X509_STORE& store, int purpose) {
  const StoreContextPtr context(X509_STORE_CTX_new());
  RAFTKV_CHECK(context != nullptr);
  STACK_OF(X509)* const chain = sk_X509_new_null();
  RAFTKV_CHECK(chain != nullptr);
  for (const CertificatePtr& one : own.chain) sk_X509_push(chain, one.get());
  RAFTKV_CHECK(X509_STORE_CTX_init(context.get(), &store, own.certificate.get(), chain) == 1);
  X509_STORE_CTX_set_purpose(context.get(), purpose);
  const bool good = X509_verify_cert(context.get()) == 1;
  const int error = X509_STORE_CTX_get_error(context.get());
  sk_X509_free(chain);
  static_cast<void>(TakeOpensslError());
  if (good) return X509_V_OK;
  return error != X509_V_OK ? error : X509_V_ERR_UNSPECIFIED;
}

}  // namespace

Result<TlsCredentials> ReadCredentials(const TlsFile& certificate, const TlsFile& key) {
  auto certificates = ReadCertificates(certificate);
  if (!certificates.ok()) return certificates.status();
  auto private_key = ReadKey(key);
  if (!private_key.ok()) return private_key.status();
  TlsCredentials own;
  own.key = *std::move(private_key);
  own.certificate = std::move(certificates->front());
  std::move(std::next(certificates->begin()), certificates->end(), std::back_inserter(own.chain));
  const bool fits = X509_check_private_key(own.certificate.get(), own.key.get()) == 1;
  static_cast<void>(TakeOpensslError());
  if (!fits) {
    return BadTlsFile(key, "this is not the key of the first certificate in " + certificate.Text());
  }
  X509* signed_by_next = own.certificate.get();
  for (const CertificatePtr& next : own.chain) {
    if (X509_check_issued(next.get(), signed_by_next) != X509_V_OK) {
      return BadTlsFile(certificate,
                        "each certificate in it has to be followed by the one that signed it: " +
                            ListedNames(IdentityOf(*signed_by_next)) + " was not signed by " +
                            ListedNames(IdentityOf(*next)));
    }
    signed_by_next = next.get();
  }
  return own;
}

Result<std::vector<CertificatePtr>> ReadCa(const TlsFile& file) { return ReadCertificates(file); }

Status CheckMemberCertificate(const TlsCredentials& own, const TlsFile& file,
                              const std::vector<CertificatePtr>& ca, const TlsFile& ca_file) {
  const StorePtr store = StoreOf(ca);
  for (const int purpose : {X509_PURPOSE_SSL_SERVER, X509_PURPOSE_SSL_CLIENT}) {
    const int verdict = VerdictOn(own, *store, purpose);
    if (verdict == X509_V_OK) continue;
    if (verdict == X509_V_ERR_INVALID_PURPOSE) {
      return BadTlsFile(file,
                        "members present it to each other as servers and as clients, so its "
                        "extendedKeyUsage has to have serverAuth and clientAuth");
    }
    return BadTlsFile(file, "the other members would not accept it by the CA in " + ca_file.Text() +
                                ": " + X509_verify_cert_error_string(verdict));
  }
  return Status::Ok();
}

std::int64_t FirstExpiry(const TlsCredentials* own, const std::vector<CertificatePtr>& ca) {
  std::vector<std::int64_t> all;
  for (const CertificatePtr& one : ca) all.push_back(ExpiresAt(*one));
  if (own != nullptr) {
    all.push_back(ExpiresAt(*own->certificate));
    for (const CertificatePtr& one : own->chain) all.push_back(ExpiresAt(*one));
  }
  return all.empty() ? 0 : *std::min_element(all.begin(), all.end());
}

Status Present(SSL_CTX& context, const TlsCredentials& own, const TlsFile& file) {
  STACK_OF(X509)* const chain = sk_X509_new_null();
  RAFTKV_CHECK(chain != nullptr);
  for (const CertificatePtr& one : own.chain) sk_X509_push(chain, one.get());
  const int used =
      SSL_CTX_use_cert_and_key(&context, own.certificate.get(), own.key.get(), chain, 1);
  sk_X509_free(chain);
  if (used == 1) return Status::Ok();
  return BadTlsFile(file, "cannot be used: " + OpensslReason(TakeOpensslError()) +
                              "; issue one with a P-256 key and SHA-256");
}

void Believe(SSL_CTX& context, const std::vector<CertificatePtr>& ca) {
  SSL_CTX_set_cert_store(&context, StoreOf(ca).release());
  for (const CertificatePtr& one : ca) {
    // Shown to the other side, which may have several certificates to choose from.
    RAFTKV_CHECK(SSL_CTX_add_client_CA(&context, one.get()) == 1);
  }
}

std::string StampOf(const std::vector<std::string>& paths) {
  std::string stamp;
  for (const std::string& path : paths) {
    struct stat about {};
    if (stat(path.c_str(), &about) != 0) {
      stamp += "none ";
      continue;
    }
    stamp += std::to_string(about.st_ino) + '-' + std::to_string(about.st_size) + '-' +
             std::to_string(about.st_mtim.tv_sec) + '.' + std::to_string(about.st_mtim.tv_nsec) +
             ' ';
  }
  return stamp;
}

}  // namespace raftkv::rpc
