// How are OpenSSL's objects owned, and what does it say when something failed?
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

namespace raftkv::rpc {

template <auto Free>
struct FreedBy {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
using SslPtr = std::unique_ptr<SSL, FreedBy<SSL_free>>;
using BioPtr = std::unique_ptr<BIO, FreedBy<BIO_free_all>>;
using CertificatePtr = std::unique_ptr<X509, FreedBy<X509_free>>;
using PrivateKeyPtr = std::unique_ptr<EVP_PKEY, FreedBy<EVP_PKEY_free>>;

/// Before anything else of OpenSSL. It is not taken down by exit(): connections may be open then.
void PrepareOpenssl();

/// The reason of the first error in this thread's queue, which is emptied; 0: there is none.
unsigned long TakeOpensslError();
/// In words; never empty.
std::string OpensslReason(unsigned long error);

/// Reads from `bytes`, which outlive it.
BioPtr ReadOnly(std::string_view bytes);

}  // namespace raftkv::rpc
