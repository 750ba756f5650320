#include "rpc/tls/certificate.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <memory>
#include <string_view>

#include <openssl/asn1.h>
#include <openssl/x509v3.h>

#include "lib/base/address.h"
#include "rpc/tls/openssl.h"

namespace raftkv::rpc {
namespace {

/// More are no identity: a certificate is input from outside.
constexpr std::size_t kMaxIdentityNames = 64;
constexpr std::size_t kMaxIdentityBytes = 256;

using GeneralNamesPtr = std::unique_ptr<GENERAL_NAMES, FreedBy<GENERAL_NAMES_free>>;

void AddIdentityName(Identity& identity, std::string_view name) {
  const auto is_control = [](unsigned char c) { return c < ' ' || c == 0x7f; };
  if (name.empty() || name.size() > kMaxIdentityBytes) return;
  if (identity.names.size() >= kMaxIdentityNames) return;
  if (std::any_of(name.begin(), name.end(), is_control)) return;
  identity.names.emplace_back(name);
}

std::string_view BytesOfAsn1(const ASN1_STRING* text) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
          static_cast<std::size_t>(ASN1_STRING_length(text))};
}

std::string IpText(std::string_view bytes) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const int family = bytes.size() == sizeof(in_addr) ? AF_INET : AF_INET6;
  if (family == AF_INET6 && bytes.size() != sizeof(in6_addr)) return {};
  if (inet_ntop(family, bytes.data(), text.data(), text.size()) == nullptr) return {};
  return text.data();
}

void AddAlternativeNames(Identity& identity, const GENERAL_NAMES* alternative, int type) {
  for (int i = 0; i < sk_GENERAL_NAME_num(alternative); ++i) {
    const GENERAL_NAME* const name = sk_GENERAL_NAME_value(alternative, i);
    if (name->type != type) continue;
    switch (type) {
      case GEN_DNS: AddIdentityName(identity, BytesOfAsn1(name->d.dNSName)); break;
      case GEN_IPADD: AddIdentityName(identity, IpText(BytesOfAsn1(name->d.iPAddress))); break;
      default: AddIdentityName(identity, BytesOfAsn1(name->d.uniformResourceIdentifier)); break;
    }
  }
}

void AddCommonName(Identity& identity, const X509& certificate) {
  const X509_NAME* const subject = X509_get_subject_name(&certificate);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at < 0) return;
  unsigned char* text = nullptr;
  const int size =
      ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
  if (size < 0) return;
  AddIdentityName(identity, {reinterpret_cast<const char*>(text), static_cast<std::size_t>(size)});
  OPENSSL_free(text);
}

std::int64_t SecondsOfAsn1(const ASN1_TIME* when) {
  tm parts{};
  return ASN1_TIME_to_tm(when, &parts) == 1 ? timegm(&parts) : 0;
}

}  // namespace

Identity IdentityOf(const X509& certificate) {
  Identity identity;
  const GeneralNamesPtr alternative(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr)));
  if (alternative != nullptr) {
    for (const int type : {GEN_DNS, GEN_IPADD, GEN_URI}) {
      AddAlternativeNames(identity, alternative.get(), type);
    }
  }
  AddCommonName(identity, certificate);
  static_cast<void>(TakeOpensslError());  // a malformed extension names nobody
  return identity;
}

std::string ListedNames(const Identity& identity) {
  constexpr std::size_t kMostListed = 4;
  std::string listed;
  for (std::size_t i = 0; i < std::min(identity.names.size(), kMostListed); ++i) {
    listed += (listed.empty() ? "" : ", ") + Quoted(identity.names[i]);
  }
  if (listed.empty()) return "nobody";
  return listed + (identity.names.size() > kMostListed ? ", ..." : "");
}

std::int64_t BeginsAt(const X509& certificate) {
  return SecondsOfAsn1(X509_get0_notBefore(&certificate));
}

std::int64_t ExpiresAt(const X509& certificate) {
  return SecondsOfAsn1(X509_get0_notAfter(&certificate));
}

std::string DateText(std::int64_t seconds) {
  const std::time_t when = seconds;
  tm parts{};
  std::array<char, 64> text{};
  if (gmtime_r(&when, &parts) == nullptr) return "an unknown date";
  const std::size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S UTC", &parts);
  return {text.data(), size};
}

}  // namespace raftkv::rpc
