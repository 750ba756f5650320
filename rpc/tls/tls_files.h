// What is in the files of certificates and keys, and does it fit together?
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <openssl/ssl.h>

#include <raftkv/status.h>

#include "rpc/tls/openssl.h"

namespace raftkv::rpc {

/// A file as the user named it.
struct TlsFile {
  std::string flag;  ///< "--tls-cert"
  std::string path;

  [[nodiscard]] std::string Text() const { return flag + " " + path; }
};

/// A certificate with what proves it.
struct TlsCredentials {
  CertificatePtr certificate;
  std::vector<CertificatePtr> chain;  ///< intermediate ones, each signed by the next
  PrivateKeyPtr key;
};

/// Reads both; InvalidArgument unless the key belongs to the certificate, each certificate of the
/// chain is signed by the next, and all of them are valid now.
Result<TlsCredentials> ReadCredentials(const TlsFile& certificate, const TlsFile& key);
/// At least one, all valid now.
Result<std::vector<CertificatePtr>> ReadCa(const TlsFile& file);

/// InvalidArgument unless `own` is signed by `ca` and good for a member: as a server and as a
/// client.
Status CheckMemberCertificate(const TlsCredentials& own, const TlsFile& file,
                              const std::vector<CertificatePtr>& ca, const TlsFile& ca_file);

/// The first expiry of all, in seconds since 1970.
std::int64_t FirstExpiry(const TlsCredentials* own, const std::vector<CertificatePtr>& ca);

/// Makes `context` present `own`, which was read from `file`. InvalidArgument: it is too weak.
Status Present(SSL_CTX& context, const TlsCredentials& own, const TlsFile& file);
/// Makes `context` believe whom `ca` has signed.
void Believe(SSL_CTX& context, const std::vector<CertificatePtr>& ca);

/// Changes whenever one of the files is written, replaced or removed; blocks on the disk.
std::string StampOf(const std::vector<std::string>& paths);

}  // namespace raftkv::rpc
