#include "rpc/tls/tls_failure.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include "lib/base/address.h"
#include "rpc/tls/certificate.h"
#include "rpc/tls/openssl.h"

namespace raftkv::rpc {
namespace {

TlsFailure OursRefused(const std::string& why) {
  return {TlsFault::kRefusedOurs, "it does not accept our certificate: " + why};
}

/// What the other side says, or what is wrong with what it said.
TlsFailure ExplainReason(int reason) {
  switch (reason) {
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
      return {TlsFault::kNoCertificate,
              "it presented no certificate, which is required here (a client: --cert and --key)"};
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
      return OursRefused("it requires one (a client: --cert and --key)");
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA: return OursRefused("it is not signed by a CA that it knows");
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED: return OursRefused("it has expired: renew it");
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED: return OursRefused("it was revoked");
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
      return OursRefused(
          "it is for another use: by its extendedKeyUsage, a member's has to be for serverAuth and "
          "clientAuth, a client's for clientAuth");
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
      return OursRefused("it may lack the name that the other side looked for");
    case SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL:
    case SSL_R_NO_APPLICATION_PROTOCOL:
      return {TlsFault::kProtocol,
              "the two sides have no application protocol (ALPN) in common: check that this is the "
              "right port, and that the member has a CA for other members"};
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_UNKNOWN_PROTOCOL:
    case SSL_R_WRONG_SSL_VERSION:
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
      return {TlsFault::kVersion,
              "the two sides have no version of TLS in common (--tls-min-version, of 1.2 and 1.3)"};
    default: return {TlsFault::kOther, {}};
  }
}

}  // namespace

const char* TlsFaultName(TlsFault fault) {
  switch (fault) {
    case TlsFault::kNone: return "none";
    case TlsFault::kPlainText: return "plain_text";
    case TlsFault::kTimeout: return "timeout";
    case TlsFault::kBusy: return "busy";
    case TlsFault::kLost: return "lost";
    case TlsFault::kNoCertificate: return "no_certificate";
    case TlsFault::kUnknownCa: return "unknown_ca";
    case TlsFault::kExpired: return "expired";
    case TlsFault::kWrongName: return "wrong_name";
    case TlsFault::kWrongPurpose: return "wrong_purpose";
    case TlsFault::kBadCertificate: return "bad_certificate";
    case TlsFault::kRefusedOurs: return "refused_ours";
    case TlsFault::kVersion: return "version";
    case TlsFault::kProtocol: return "protocol";
    case TlsFault::kOther: return "other";
  }
  return "other";
}

TlsFailure ExplainVerification(int error, const X509& leaf, const X509& faulty,
                               const std::string& ca, const std::string& host) {
  const std::string its = "its certificate (" + ListedNames(IdentityOf(leaf)) + ")";
  const std::string at_fault =
      &leaf == &faulty ? its : "the CA certificate (" + ListedNames(IdentityOf(faulty)) + ")";
  switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return {TlsFault::kExpired,
              at_fault + " expired on " + DateText(ExpiresAt(faulty)) + ": renew it"};
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return {TlsFault::kExpired, at_fault + " is only valid from " + DateText(BeginsAt(faulty)) +
                                      " on: check the clocks of both machines"};
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
    case X509_V_ERR_CERT_UNTRUSTED:
      return {TlsFault::kUnknownCa, its + " is not signed by the CA in " + ca};
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return {TlsFault::kWrongName, its + " is not for " + Quoted(host) +
                                        ": issue one that has it in its subjectAltName"};
    case X509_V_ERR_INVALID_PURPOSE:
      return {TlsFault::kWrongPurpose,
              its +
                  " is for another use: by its extendedKeyUsage, a member's has to be for "
                  "serverAuth and clientAuth, a client's for clientAuth"};
    default:
      return {TlsFault::kBadCertificate,
              at_fault + " is not accepted: " + X509_verify_cert_error_string(error)};
  }
}

TlsFailure ExplainTls() {
  const unsigned long error = TakeOpensslError();
  const bool of_tls = error != 0 && ERR_GET_LIB(error) == ERR_LIB_SSL;
  TlsFailure failure = ExplainReason(of_tls ? ERR_GET_REASON(error) : 0);
  if (failure.why.empty()) failure.why = "TLS failed: " + OpensslReason(error);
  return failure;
}

}  // namespace raftkv::rpc
