#include "rpc/tls/tls_stream.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include <kj/debug.h>

#include "lib/base/address.h"
#include "lib/base/check.h"

namespace raftkv::rpc {
namespace {

/// The most that TLS puts into one record.
constexpr std::size_t kRecordBytes = 16 * 1024;
/// Encrypted before the system has to take some of it.
constexpr std::size_t kWriteBytes = 128 * 1024;
/// For what arrives: little at first, and more as soon as that was not enough.
constexpr std::size_t kFewBytes = 4 * 1024;
constexpr std::size_t kManyBytes = 64 * 1024;
constexpr std::uint32_t kSmallReadsInARow = 16;
/// What is kept of a buffer that is empty.
constexpr std::size_t kKeptBytes = 32 * 1024;
/// Of a refused connection.
constexpr std::size_t kLingerBytes = 256 * 1024;

/// The first byte of records: a handshake, and the least and the greatest of all.
constexpr kj::byte kHandshakeRecord = 0x16;
constexpr kj::byte kFirstRecord = 0x14;
constexpr kj::byte kLastRecord = 0x17;
/// A record that every version of TLS understands: a fatal alert, protocol_version.
constexpr std::string_view kPlainAlert("\x15\x03\x03\x00\x02\x02\x46", 7);
constexpr std::string_view kHttpAnswer =
    "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
    "this port speaks TLS: use https\n";

bool LooksLikeHttp(std::string_view bytes) {
  for (const std::string_view method : {"GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "OPTIONS "}) {
    if (bytes.starts_with(method)) return true;
  }
  return false;
}

/// "Connection reset by peer", without the call that said so.
std::string WhatFailed(const kj::Exception& lost) {
  std::string text = lost.getDescription().cStr();
  if (const std::size_t call = text.rfind("): "); call != std::string::npos)
    text.erase(0, call + 3);
  return text.substr(0, text.find_first_of(";\n"));
}

kj::Exception TlsException(kj::Exception::Type type, const std::string& why) {
  return {type, __FILE__, __LINE__, kj::heapString(why.c_str())};
}

}  // namespace

/// The memory of a stream, as OpenSSL sees it.
struct TlsBio {
  static TlsStream& StreamOf(BIO* bio) { return *static_cast<TlsStream*>(BIO_get_data(bio)); }

  static int Read(BIO* bio, char* to, int max) {
    TlsStream& stream = StreamOf(bio);
    BIO_clear_retry_flags(bio);
    const std::size_t size =
        std::min(stream.in_end_ - stream.in_begin_, static_cast<std::size_t>(std::max(max, 0)));
    if (size == 0) {
      BIO_set_retry_read(bio);
      return -1;
    }
    std::memcpy(to, stream.in_.begin() + stream.in_begin_, size);
    stream.in_begin_ += size;
    return static_cast<int>(size);
  }

  static int Write(BIO* bio, const char* from, int size) {
    BIO_clear_retry_flags(bio);
    if (size > 0) StreamOf(bio).out_.append(from, static_cast<std::size_t>(size));
    return size;
  }

  static long Control(BIO* /*bio*/, int command, long /*number*/, void* /*pointer*/) {
    return command == BIO_CTRL_FLUSH ? 1 : 0;
  }

  static BIO* New(TlsStream& stream) {
    static BIO_METHOD* const method = [] {
      BIO_METHOD* const made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "raftkv");
      RAFTKV_CHECK(made != nullptr);
      BIO_meth_set_read(made, Read);
      BIO_meth_set_write(made, Write);
      BIO_meth_set_ctrl(made, Control);
      return made;
    }();
    BIO* const bio = BIO_new(method);
    RAFTKV_CHECK(bio != nullptr);
    BIO_set_data(bio, &stream);
    BIO_set_init(bio, 1);
    return bio;
  }
};

TlsStream::TlsStream(kj::Own<kj::AsyncIoStream> inner, TlsSetupPtr setup, TlsAccepts accepts)
    : inner_(kj::mv(inner)) {
  terms_.setup = std::move(setup);
  terms_.accepts = std::move(accepts);
  Connect(NewAccepting(terms_));
}

TlsStream::TlsStream(kj::Own<kj::AsyncIoStream> inner, TlsSetupPtr setup, std::string protocol,
                     std::string host)
    : inner_(kj::mv(inner)) {
  terms_.setup = std::move(setup);
  terms_.protocol = std::move(protocol);
  terms_.host = std::move(host);
  Connect(NewDialling(terms_));
}

void TlsStream::Connect(SslPtr ssl) {
  ssl_ = std::move(ssl);
  BIO* const bio = TlsBio::New(*this);
  SSL_set_bio(ssl_.get(), bio, bio);  // which owns it
}

TlsStream::~TlsStream() noexcept(false) {
  // Not behind half a record.
  if (!established_ || draining_) return;
  SayFarewell();
  if (out_.empty()) return;
  KJ_IF_MAYBE (fd, inner_->getFd()) {
    // The system's buffer is full: then the other side learns of the end without it.
    static_cast<void>(send(*fd, out_.data(), out_.size(), MSG_DONTWAIT | MSG_NOSIGNAL));
  }
}

// --- The handshake.

kj::Promise<TlsFailure> TlsStream::Handshake() {
  return kj::evalNow([this] { return Shake(); }).catch_([](kj::Exception&& lost) -> TlsFailure {
    return {TlsFault::kLost,
            "the connection was lost during the TLS handshake: " + WhatFailed(lost)};
  });
}

kj::Promise<TlsFailure> TlsStream::Shake() {
  static_cast<void>(TakeOpensslError());
  const int shaken = SSL_do_handshake(ssl_.get());
  if (shaken == 1) {
    TlsFailure failure = Established();
    if (!failure.ok()) return Refuse(std::move(failure));
    return Flush().then([] { return TlsFailure(); });
  }
  if (SSL_get_error(ssl_.get(), shaken) != SSL_ERROR_WANT_READ) {
    TlsFailure failure = ExplainTls();
    if (!terms_.found.ok()) failure = terms_.found;
    return Refuse(std::move(failure));
  }
  return Flush().then([this] { return Fill(); }).then([this](bool more) -> kj::Promise<TlsFailure> {
    if (!more) {
      return TlsFailure{TlsFault::kLost,
                        "it closed the connection during the TLS handshake; it may not speak TLS"};
    }
    TlsFailure plain = LookAtFirstBytes();
    if (!plain.ok()) return Refuse(std::move(plain));
    return Shake();
  });
}

TlsFailure TlsStream::LookAtFirstBytes() {
  if (std::exchange(looked_, true)) return {};
  const kj::byte first = in_[in_begin_];
  if (SSL_is_server(ssl_.get()) == 1) {
    if (first == kHandshakeRecord) return {};
    const std::string_view bytes(reinterpret_cast<const char*>(in_.begin()) + in_begin_,
                                 in_end_ - in_begin_);
    out_ = LooksLikeHttp(bytes) ? kHttpAnswer : kPlainAlert;
    return {TlsFault::kPlainText,
            "it speaks plain text, and this port TLS (a client needs --cacert, a member --tls-cert "
            "and --tls-key)"};
  }
  if (first >= kFirstRecord && first <= kLastRecord) return {};
  return {TlsFault::kPlainText, "it speaks plain text there, and not TLS"};
}

TlsFailure TlsStream::Established() {
  const unsigned char* selected = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl_.get(), &selected, &size);
  if (size > 0) protocol_.assign(reinterpret_cast<const char*>(selected), size);
  if (SSL_is_server(ssl_.get()) == 0 && protocol_ != terms_.protocol) {
    return {TlsFault::kProtocol, "it speaks TLS, but not " + Quoted(terms_.protocol) + " over it"};
  }
  if (const X509* const other = SSL_get0_peer_certificate(ssl_.get()); other != nullptr) {
    // Whoever presents one has to present a good one.
    RAFTKV_CHECK(SSL_get_verify_result(ssl_.get()) == X509_V_OK);
    identity_ = IdentityOf(*other);
  }
  RAFTKV_CHECK(!terms_.peer || SSL_get0_peer_certificate(ssl_.get()) != nullptr);
  established_ = true;
  return {};
}

kj::Promise<TlsFailure> TlsStream::Refuse(TlsFailure failure) {
  // Whatever comes of it: the verdict stands.
  return Flush().catch_([](kj::Exception&&) {}).then([failure = std::move(failure)]() mutable {
    return std::move(failure);
  });
}

kj::Promise<void> TlsStream::Linger() {
  inner_->shutdownWrite();
  in_ = kj::heapArray<kj::byte>(kFewBytes);
  struct Rest {
    static kj::Promise<void> Read(TlsStream& stream, std::size_t total) {
      if (total >= kLingerBytes) return kj::READY_NOW;
      return stream.inner_->tryRead(stream.in_.begin(), 1, stream.in_.size())
          .then([&stream, total](std::size_t size) -> kj::Promise<void> {
            if (size == 0) return kj::READY_NOW;
            return Read(stream, total + size);
          });
    }
  };
  return Rest::Read(*this, 0);
}

// --- Reading.

kj::Promise<std::size_t> TlsStream::tryRead(void* buffer, std::size_t min_bytes,
                                            std::size_t max_bytes) {
  return Read(static_cast<kj::byte*>(buffer), min_bytes, max_bytes, 0);
}

kj::Promise<std::size_t> TlsStream::Read(kj::byte* to, std::size_t min_bytes, std::size_t max_bytes,
                                         std::size_t got) {
  RAFTKV_CHECK(established_);
  while (got < max_bytes) {
    static_cast<void>(TakeOpensslError());
    std::size_t size = 0;
    const int read = SSL_read_ex(ssl_.get(), to + got, max_bytes - got, &size);
    if (read == 1) {
      got += size;
      continue;
    }
    const int error = SSL_get_error(ssl_.get(), read);
    if (error == SSL_ERROR_WANT_READ) break;
    if (error == SSL_ERROR_ZERO_RETURN) return got;
    const TlsFailure failure = ExplainTls();
    // An alert for the other side; it goes by itself.
    static_cast<void>(Flush());
    const bool refused = failure.fault != TlsFault::kOther;
    return TlsException(refused ? kj::Exception::Type::DISCONNECTED : kj::Exception::Type::FAILED,
                        failure.why);
  }
  if (got >= min_bytes) return got;
  return Fill().then([this, to, min_bytes, max_bytes, got](bool more) -> kj::Promise<std::size_t> {
    if (more) return Read(to, min_bytes, max_bytes, got);
    return TlsException(kj::Exception::Type::DISCONNECTED, "the connection was cut off");
  });
}

kj::Promise<bool> TlsStream::Fill() {
  // OpenSSL asks for more only when it has taken everything.
  RAFTKV_CHECK(in_begin_ == in_end_, in_begin_, in_end_);
  const std::size_t capacity = in_.size();
  const bool filled = capacity > 0 && in_end_ == capacity;
  small_reads_ = in_end_ > kFewBytes ? 0 : small_reads_ + 1;
  std::size_t wanted = capacity == 0 ? kFewBytes : capacity;
  if (filled) {
    wanted = kManyBytes;
    small_reads_ = 0;
  } else if (small_reads_ > kSmallReadsInARow) {
    wanted = kFewBytes;
  }
  if (wanted != capacity) in_ = kj::heapArray<kj::byte>(wanted);
  in_begin_ = in_end_ = 0;
  return inner_->tryRead(in_.begin(), 1, in_.size()).then([this](std::size_t size) {
    in_end_ = size;
    return size > 0;
  });
}

// --- Writing.

bool TlsStream::Pieces::Settle() {
  while (first.size() == 0 && rest.size() > 0) {
    first = rest.front();
    rest = rest.slice(1, rest.size());
  }
  return first.size() > 0;
}

void TlsStream::Pieces::Take(std::size_t bytes) { first = first.slice(bytes, first.size()); }

kj::Promise<void> TlsStream::write(const void* buffer, std::size_t size) {
  return Write({kj::arrayPtr(static_cast<const kj::byte*>(buffer), size), nullptr});
}

kj::Promise<void> TlsStream::write(kj::ArrayPtr<const kj::ArrayPtr<const kj::byte>> pieces) {
  return Write({nullptr, pieces});
}

bool TlsStream::Encrypt(Pieces& pieces) {
  // Short pieces share a record: each has its cost, at both ends.
  std::array<kj::byte, kRecordBytes> gathered;
  const kj::byte* from = pieces.first.begin();
  std::size_t size = std::min(pieces.first.size(), kWriteBytes);
  if (size < kRecordBytes && pieces.rest.size() > 0) {
    from = gathered.data();
    size = 0;
    while (size < gathered.size() && pieces.Settle()) {
      const std::size_t part = std::min(pieces.first.size(), gathered.size() - size);
      std::memcpy(gathered.data() + size, pieces.first.begin(), part);
      pieces.Take(part);
      size += part;
    }
  } else {
    pieces.Take(size);
  }
  static_cast<void>(TakeOpensslError());
  std::size_t written = 0;
  return SSL_write_ex(ssl_.get(), from, size, &written) == 1 && written == size;
}

kj::Promise<void> TlsStream::Write(Pieces pieces) {
  RAFTKV_CHECK(established_);
  while (out_.size() < kWriteBytes) {
    if (!pieces.Settle()) return Flush();
    if (!Encrypt(pieces)) {
      return TlsException(kj::Exception::Type::DISCONNECTED, ExplainTls().why);
    }
  }
  return Flush().then([this, pieces] { return Write(pieces); });
}

kj::Promise<void> TlsStream::Flush() {
  if (!draining_) {
    if (out_.empty()) return kj::READY_NOW;
    draining_ = true;
    // By itself, so that a write whose caller has gone does not end in half a record.
    drain_ = kj::evalNow([this] { return Drain(); }).fork();
  }
  return drain_.addBranch();
}

kj::Promise<void> TlsStream::Drain() {
  if (out_.empty()) {
    if (sending_.capacity() > kKeptBytes) sending_ = std::string();
    draining_ = false;
    return kj::READY_NOW;
  }
  sending_.swap(out_);
  return inner_->write(sending_.data(), sending_.size()).then([this] {
    sending_.clear();
    return Drain();
  });
}

void TlsStream::SayFarewell() {
  static_cast<void>(TakeOpensslError());
  // A second time it does nothing.
  static_cast<void>(SSL_shutdown(ssl_.get()));
  static_cast<void>(TakeOpensslError());
}

void TlsStream::shutdownWrite() {
  if (established_) SayFarewell();
  farewell_ =
      Flush().then([this] { inner_->shutdownWrite(); }).eagerlyEvaluate([](kj::Exception&&) {});
}

}  // namespace raftkv::rpc
