// What is a TLS connection to those who read and write it? An ordinary stream of KJ, once the two
// ends have shaken hands.
//
// OpenSSL works on memory: what arrives is read into a buffer for it, and what it wants to send is
// gathered and written out. A write ends when the system has taken all of its bytes, so a slow
// reader slows the writer down. An end without a word of farewell (close_notify) is a lost
// connection and not the end of the stream: bytes may be missing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <kj/async-io.h>

#include "rpc/tls/certificate.h"
#include "rpc/tls/tls_failure.h"
#include "rpc/tls/tls_terms.h"

namespace raftkv::rpc {

/// Lives on a loop.
class TlsStream final : public kj::AsyncIoStream {
 public:
  /// The side that accepts. `setup` has accept_clients.
  TlsStream(kj::Own<kj::AsyncIoStream> inner, TlsSetupPtr setup, TlsAccepts accepts);
  /// The side that dials, and offers `protocol`. `setup` has dial; the certificate of the other
  /// side has to be for `host`, which is not empty.
  TlsStream(kj::Own<kj::AsyncIoStream> inner, TlsSetupPtr setup, std::string protocol,
            std::string host);
  /// Says farewell if that can be done at once.
  ~TlsStream() noexcept(false);
  KJ_DISALLOW_COPY(TlsStream);

  /// First, and once; for as long as the other side takes. A failure has been told to the other
  /// side; the promise itself does not fail.
  kj::Promise<TlsFailure> Handshake();
  /// After a handshake that failed: reads on for a moment, since bytes that are not read when a
  /// connection is closed make the system drop what was sent.
  kj::Promise<void> Linger();

  // --- After the handshake.
  /// The protocol that was agreed on (ALPN); empty: the other side offered none.
  [[nodiscard]] const std::string& protocol() const { return protocol_; }
  [[nodiscard]] const Identity& identity() const { return identity_; }
  /// Both ends have proved to be members, by the peer CA.
  [[nodiscard]] bool is_peer() const { return terms_.peer; }

  kj::Promise<std::size_t> tryRead(void* buffer, std::size_t min_bytes,
                                   std::size_t max_bytes) override;
  kj::Promise<void> write(const void* buffer, std::size_t size) override;
  kj::Promise<void> write(kj::ArrayPtr<const kj::ArrayPtr<const kj::byte>> pieces) override;
  kj::Promise<void> whenWriteDisconnected() override { return inner_->whenWriteDisconnected(); }
  void shutdownWrite() override;
  void abortRead() override { inner_->abortRead(); }
  void getsockopt(int level, int option, void* value, kj::uint* length) override {
    inner_->getsockopt(level, option, value, length);
  }
  void setsockopt(int level, int option, const void* value, kj::uint length) override {
    inner_->setsockopt(level, option, value, length);
  }
  void getsockname(sockaddr* address, kj::uint* length) override {
    inner_->getsockname(address, length);
  }
  void getpeername(sockaddr* address, kj::uint* length) override {
    inner_->getpeername(address, length);
  }
  // Not getFd(): what is written there would not be encrypted.

 private:
  /// What is left of a write.
  struct Pieces {
    kj::ArrayPtr<const kj::byte> first;
    kj::ArrayPtr<const kj::ArrayPtr<const kj::byte>> rest;

    /// Drops empty pieces; false: nothing is left.
    bool Settle();
    void Take(std::size_t bytes);
  };

  void Connect(SslPtr ssl);
  kj::Promise<TlsFailure> Shake();
  TlsFailure Established();
  /// Sends what OpenSSL has to say about it, or what another protocol may understand.
  kj::Promise<TlsFailure> Refuse(TlsFailure failure);
  /// The first bytes that arrive. Not ok: they are none of TLS.
  TlsFailure LookAtFirstBytes();

  kj::Promise<std::size_t> Read(kj::byte* to, std::size_t min_bytes, std::size_t max_bytes,
                                std::size_t got);
  kj::Promise<void> Write(Pieces pieces);
  /// Encrypts the beginning of `pieces`; false: OpenSSL refused.
  bool Encrypt(Pieces& pieces);

  /// Reads what has arrived, at least a byte; false: the end.
  kj::Promise<bool> Fill();
  /// Resolves once everything that OpenSSL has to send was taken by the system.
  kj::Promise<void> Flush();
  kj::Promise<void> Drain();
  void SayFarewell();

  // What OpenSSL reads from and writes to (BIO).
  friend struct TlsBio;

  TlsTerms terms_;
  kj::Own<kj::AsyncIoStream> inner_;
  kj::Array<kj::byte> in_;  ///< [in_begin_, in_end_) has not been taken yet
  std::size_t in_begin_ = 0;
  std::size_t in_end_ = 0;
  std::uint32_t small_reads_ = 0;  ///< in a row
  std::string out_;                ///< waits to be sent
  std::string sending_;
  SslPtr ssl_;
  bool looked_ = false;
  bool established_ = false;
  std::string protocol_;
  Identity identity_;
  bool draining_ = false;  ///< also after a write that failed
  // Last: their tasks refer to all of the above.
  kj::ForkedPromise<void> drain_ = nullptr;
  kj::Promise<void> farewell_ = nullptr;
};

}  // namespace raftkv::rpc
