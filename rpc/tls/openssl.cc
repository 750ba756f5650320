#include "rpc/tls/openssl.h"

#include <openssl/err.h>

#include "lib/base/check.h"

namespace raftkv::rpc {

void PrepareOpenssl() {
  const int prepared = OPENSSL_init_ssl(OPENSSL_INIT_NO_ATEXIT, nullptr);
  RAFTKV_CHECK(prepared == 1, OpensslReason(TakeOpensslError()));
}

unsigned long TakeOpensslError() {
  const unsigned long first = ERR_get_error();
  ERR_clear_error();
  return first;
}

std::string OpensslReason(unsigned long error) {
  if (error == 0) return "unknown failure";
  const char* const reason = ERR_reason_error_string(error);
  return reason != nullptr ? reason : "error " + std::to_string(error);
}

BioPtr ReadOnly(std::string_view bytes) {
  BioPtr bio(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
  RAFTKV_CHECK(bio != nullptr);
  return bio;
}

}  // namespace raftkv::rpc
