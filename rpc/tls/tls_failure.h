// Why is there no TLS connection, in words that say what to mend, and as a reason to count?
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include <openssl/x509.h>

namespace raftkv::rpc {

/// The labels of a metric: a reason keeps its name.
enum class TlsFault : std::uint8_t {
  kNone,
  kPlainText,       ///< the other side does not speak TLS
  kTimeout,         ///< its handshake took too long
  kBusy,            ///< too many handshakes are in progress, or waiting
  kLost,            ///< it closed the connection during the handshake
  kNoCertificate,   ///< it presented none, and has to
  kUnknownCa,       ///< its certificate is not signed by the CA
  kExpired,         ///< its certificate is not valid any more, or not yet
  kWrongName,       ///< its certificate is for another host
  kWrongPurpose,    ///< its certificate is not for this kind of use
  kBadCertificate,  ///< its certificate has another fault
  kRefusedOurs,     ///< it does not accept our certificate
  kVersion,         ///< no version of TLS is spoken by both
  kProtocol,        ///< no application protocol (ALPN) is spoken by both
  kOther,
};
inline constexpr std::size_t kTlsFaults = static_cast<std::size_t>(TlsFault::kOther) + 1;
const char* TlsFaultName(TlsFault fault);

struct TlsFailure {
  TlsFault fault = TlsFault::kNone;
  /// About the other side: "its certificate expired on ...: renew it". One line.
  std::string why = {};

  [[nodiscard]] bool ok() const { return fault == TlsFault::kNone; }
};

/// Our verdict on the certificate of the other side: `error` (X509_V_ERR_...) was found at
/// `faulty`, which is `leaf` or one of its chain. `ca`: the file with the CA of the other side;
/// `host`: the name that its certificate has to be for, or empty.
TlsFailure ExplainVerification(int error, const X509& leaf, const X509& faulty,
                               const std::string& ca, const std::string& host);

/// What this thread's queue of OpenSSL's errors says, which is emptied.
TlsFailure ExplainTls();

}  // namespace raftkv::rpc
