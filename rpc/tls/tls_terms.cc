#include "rpc/tls/tls_terms.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <string_view>

#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "lib/base/check.h"

namespace raftkv::rpc {
namespace {

/// For TLS 1.2; the suites of 1.3 are all good.
constexpr char kTls12Ciphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20";

TlsTerms& TermsOf(const SSL* ssl) {
  auto* const terms = static_cast<TlsTerms*>(SSL_get_app_data(ssl));
  RAFTKV_CHECK(terms != nullptr);
  return *terms;
}

/// Whether `list`, as ALPN has it, names `protocol`.
bool OffersProtocol(std::string_view list, std::string_view protocol) {
  while (!list.empty()) {
    const auto size = static_cast<unsigned char>(list.front());
    list.remove_prefix(1);
    if (size > list.size()) return false;
    if (list.substr(0, size) == protocol) return true;
    list.remove_prefix(size);
  }
  return false;
}

std::string OfferOf(const std::string& protocol) {
  RAFTKV_CHECK(!protocol.empty());
  RAFTKV_CHECK(protocol.size() <= 255, protocol);
  return static_cast<char>(protocol.size()) + protocol;
}

/// Called for each certificate of the other side's chain, and for each fault.
int VerifyOther(int good, X509_STORE_CTX* context) {
  const int ssl_at = SSL_get_ex_data_X509_STORE_CTX_idx();
  const auto* const ssl = static_cast<const SSL*>(X509_STORE_CTX_get_ex_data(context, ssl_at));
  TlsTerms& terms = TermsOf(ssl);
  X509* const leaf = X509_STORE_CTX_get0_cert(context);
  const bool is_leaf = X509_STORE_CTX_get_error_depth(context) == 0;
  if (good == 1 && terms.peer && is_leaf) {
    // A member is a server and a client to the others. So a client that has a certificate of the
    // same CA is not one.
    for (const int purpose : {X509_PURPOSE_SSL_SERVER, X509_PURPOSE_SSL_CLIENT}) {
      if (X509_check_purpose(leaf, purpose, 0) == 1) continue;
      X509_STORE_CTX_set_error(context, X509_V_ERR_INVALID_PURPOSE);
      good = 0;
    }
  }
  if (good == 1 || !terms.found.ok()) return good;
  const X509* const current = X509_STORE_CTX_get_current_cert(context);
  const X509* const faulty = current != nullptr ? current : leaf;
  const bool by_members = SSL_is_server(ssl) == 0 || terms.peer;
  terms.found =
      ExplainVerification(X509_STORE_CTX_get_error(context), *leaf, *faulty,
                          by_members ? terms.setup->peers_ca : terms.setup->clients_ca, terms.host);
  return 0;
}

/// The first thing that is known of a connection.
int OnClientHello(SSL* ssl, int* alert, void* /*unused*/) {
  constexpr unsigned kAlpn = TLSEXT_TYPE_application_layer_protocol_negotiation;
  constexpr std::size_t kLengthBytes = 2;
  const unsigned char* bytes = nullptr;
  std::size_t size = 0;
  if (SSL_client_hello_get0_ext(ssl, kAlpn, &bytes, &size) != 1 || size < kLengthBytes) {
    return SSL_CLIENT_HELLO_SUCCESS;
  }
  const std::string_view list(reinterpret_cast<const char*>(bytes), size);
  if (!OffersProtocol(list.substr(kLengthBytes), kTlsPeer)) return SSL_CLIENT_HELLO_SUCCESS;
  TlsTerms& terms = TermsOf(ssl);
  SSL_CTX* const members = terms.setup->accept_peers.get();
  if (!terms.accepts.peers || members == nullptr) {
    terms.found = {TlsFault::kProtocol,
                   terms.accepts.peers
                       ? "it is a member of a cluster, and this one has no CA for other members: "
                         "set --peer-tls-ca, or --tls-ca"
                       : "it is a member of a cluster, and this port is not for members"};
    *alert = SSL_AD_NO_APPLICATION_PROTOCOL;
    return SSL_CLIENT_HELLO_ERROR;
  }
  RAFTKV_CHECK(SSL_set_SSL_CTX(ssl, members) == members);
  SSL_set_verify(ssl, SSL_CTX_get_verify_mode(members), VerifyOther);
  terms.peer = true;
  return SSL_CLIENT_HELLO_SUCCESS;
}

int SelectProtocol(SSL* ssl, const unsigned char** selected, unsigned char* selected_size,
                   const unsigned char* offered, unsigned offered_size, void* /*unused*/) {
  const TlsTerms& terms = TermsOf(ssl);
  const std::string_view list(reinterpret_cast<const char*>(offered), offered_size);
  static const std::vector<std::string> kOfMembers = {kTlsPeer};
  for (const std::string& protocol : terms.peer ? kOfMembers : terms.accepts.protocols) {
    if (!OffersProtocol(list, protocol)) continue;
    // It is copied before the terms can go.
    *selected = reinterpret_cast<const unsigned char*>(protocol.data());
    *selected_size = static_cast<unsigned char>(protocol.size());
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

TlsContext NewContext(const SSL_METHOD* method, const std::string& min_version) {
  PrepareOpenssl();
  TlsContext context(SSL_CTX_new(method), SSL_CTX_free);
  RAFTKV_CHECK(context != nullptr, OpensslReason(TakeOpensslError()));
  SSL_CTX* const raw = context.get();
  const int least = min_version == "1.2" ? TLS1_2_VERSION : TLS1_3_VERSION;
  RAFTKV_CHECK(SSL_CTX_set_min_proto_version(raw, least) == 1);
  RAFTKV_CHECK(SSL_CTX_set_cipher_list(raw, kTls12Ciphers) == 1);
  // Nothing is resumed: a certificate that was replaced, or has expired, would live on in a ticket.
  SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(raw, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  RAFTKV_CHECK(SSL_CTX_set_num_tickets(raw, 0) == 1);
  // Thousands of connections may be idle.
  SSL_CTX_set_mode(raw, SSL_MODE_RELEASE_BUFFERS);
  return context;
}

/// An IP address is compared with the IP addresses of a certificate, a name with its DNS names; the
/// common name does not count.
void ExpectHost(SSL& ssl, std::string host) {
  X509_VERIFY_PARAM* const expected = SSL_get0_param(&ssl);
  X509_VERIFY_PARAM_set_hostflags(
      expected, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  host = host.substr(0, host.find('%'));  // the zone of an IPv6 address is of this machine
  if (X509_VERIFY_PARAM_set1_ip_asc(expected, host.c_str()) == 1) return;
  static_cast<void>(TakeOpensslError());
  if (host.ends_with('.')) host.pop_back();
  RAFTKV_CHECK(!host.empty());  // which would be any
  RAFTKV_CHECK(X509_VERIFY_PARAM_set1_host(expected, host.data(), host.size()) == 1);
  RAFTKV_CHECK(SSL_set_tlsext_host_name(&ssl, host.c_str()) == 1);
}

}  // namespace

TlsContext NewAcceptContext(const std::string& min_version) {
  TlsContext context = NewContext(TLS_server_method(), min_version);
  SSL_CTX_set_client_hello_cb(context.get(), OnClientHello, nullptr);
  SSL_CTX_set_alpn_select_cb(context.get(), SelectProtocol, nullptr);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, VerifyOther);
  return context;
}

TlsContext NewDialContext(const std::string& min_version) {
  TlsContext context = NewContext(TLS_client_method(), min_version);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, VerifyOther);
  return context;
}

SslPtr NewAccepting(TlsTerms& terms) {
  RAFTKV_CHECK(terms.setup != nullptr);
  RAFTKV_CHECK(terms.setup->accept_clients != nullptr);
  SslPtr ssl(SSL_new(terms.setup->accept_clients.get()));
  RAFTKV_CHECK(ssl != nullptr);
  SSL_set_app_data(ssl.get(), &terms);
  SSL_set_accept_state(ssl.get());
  return ssl;
}

SslPtr NewDialling(TlsTerms& terms) {
  RAFTKV_CHECK(terms.setup != nullptr);
  RAFTKV_CHECK(terms.setup->dial != nullptr);
  SslPtr ssl(SSL_new(terms.setup->dial.get()));
  RAFTKV_CHECK(ssl != nullptr);
  SSL_set_app_data(ssl.get(), &terms);
  terms.peer = terms.protocol == kTlsPeer;
  ExpectHost(*ssl, terms.host);
  const std::string offer = OfferOf(terms.protocol);
  // It returns 0 for success.
  RAFTKV_CHECK(SSL_set_alpn_protos(ssl.get(), reinterpret_cast<const unsigned char*>(offer.data()),
                                   static_cast<unsigned>(offer.size())) == 0);
  SSL_set_connect_state(ssl.get());
  return ssl;
}

}  // namespace raftkv::rpc
