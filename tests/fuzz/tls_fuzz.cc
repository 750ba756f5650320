// The bytes of a TLS connection, at the side that accepts, at the side that dials, and after the
// handshake: whatever they are, there is an end with a reason, and never a byte that nobody sent.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <kj/async-io.h>

#include "rpc/tls/certificate_authority.h"
#include "rpc/tls/tls_setup.h"
#include "rpc/tls/tls_stream.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/wait_scope.h"

namespace raftkv::fuzz {
namespace {

/// What a handshake that fails may have sent: certificates and alerts.
constexpr std::size_t kMaxAnswerBytes = 64 << 10;

/// A connection on which `bytes` arrive in pieces, and then the end. Before that, if it has one,
/// it is `first`.
class TlsPieces final : public kj::AsyncIoStream {
 public:
  TlsPieces(std::string_view bytes, std::size_t piece, kj::Own<kj::AsyncIoStream> first = {})
      : left_(bytes), piece_(piece), first_(kj::mv(first)) {}

  void EndFirst() { first_ = nullptr; }
  [[nodiscard]] std::size_t written() const { return written_; }

  kj::Promise<std::size_t> tryRead(void* to, std::size_t min_bytes,
                                   std::size_t max_bytes) override {
    if (first_.get() != nullptr) return first_->tryRead(to, min_bytes, max_bytes);
    const std::size_t wanted = std::min(std::max(min_bytes, piece_), max_bytes);
    const std::size_t count = std::min(wanted, left_.size());
    if (count > 0) std::memcpy(to, left_.data(), count);
    left_.remove_prefix(count);
    return count;
  }
  kj::Promise<void> write(const void* bytes, std::size_t size) override {
    if (first_.get() != nullptr) return first_->write(bytes, size);
    written_ += size;
    return kj::READY_NOW;
  }
  kj::Promise<void> write(kj::ArrayPtr<const kj::ArrayPtr<const kj::byte>> pieces) override {
    for (const auto& piece : pieces) written_ += piece.size();
    return kj::READY_NOW;
  }
  kj::Promise<void> whenWriteDisconnected() override { return kj::NEVER_DONE; }
  void shutdownWrite() override {}

 private:
  std::string_view left_;
  const std::size_t piece_;
  kj::Own<kj::AsyncIoStream> first_;
  std::size_t written_ = 0;
};

/// Certificates of a member, which last for as long as the program.
rpc::TlsSetupPtr NewSetup() {
  namespace fs = std::filesystem;
  std::string folder = fs::temp_directory_path() / "raftkv-tls-fuzz-XXXXXX";
  RAFTKV_CHECK(mkdtemp(folder.data()) != nullptr, folder);
  const auto ca = rpc::CertificateAuthority::New("ca", std::chrono::hours(24 * 365));
  RAFTKV_CHECK(ca.ok(), ca.status().ToString());
  const auto peer =
      ca->Issue({.common_name = "peer", .hosts = {"localhost"}, .server = true, .client = true});
  RAFTKV_CHECK(peer.ok(), peer.status().ToString());
  const auto write = [&folder](const std::string& name, const std::string& content) {
    const std::string path = folder + "/" + name;
    std::ofstream(path) << content;
    return path;
  };
  const NodeTlsOptions options = {.cert = write("crt", peer->certificate),
                                  .key = write("key", peer->key),
                                  .ca = write("ca", ca->pem().certificate),
                                  .min_version = "1.2"};
  auto loaded = rpc::LoadTls(options, /*has_peers=*/true);
  RAFTKV_CHECK(loaded.ok(), loaded.status().ToString());
  fs::remove_all(folder);
  return *loaded;
}

const rpc::TlsSetupPtr& TheSetup() {
  static const rpc::TlsSetupPtr& setup = *new rpc::TlsSetupPtr(NewSetup());
  return setup;
}

rpc::TlsAccepts Accepts() { return {.protocols = {rpc::kTlsNative}, .peers = true}; }

void CheckReason(const std::string& why) {
  RAFTKV_CHECK(!why.empty());
  RAFTKV_CHECK(why.find('\n') == std::string::npos, why);
}

/// Nobody who only repeats bytes can prove who he is, or knows the keys.
void Shake(std::string_view input, std::size_t piece, bool accepts) {
  auto pieces = kj::heap<TlsPieces>(input, piece);
  TlsPieces& inner = *pieces;
  kj::Own<rpc::TlsStream> stream =
      accepts ? kj::heap<rpc::TlsStream>(kj::mv(pieces), TheSetup(), Accepts())
              : kj::heap<rpc::TlsStream>(kj::mv(pieces), TheSetup(), std::string(rpc::kTlsNative),
                                         std::string("localhost"));
  const rpc::TlsFailure failure = stream->Handshake().wait(TheWaitScope());
  RAFTKV_CHECK(!failure.ok());
  CheckReason(failure.why);
  RAFTKV_CHECK(inner.written() <= kMaxAnswerBytes, inner.written());
  stream->Linger().wait(TheWaitScope());
}

/// A connection that is well, until `input` arrives.
void ReadAfterHandshake(std::string_view input, std::size_t piece) {
  kj::WaitScope& scope = TheWaitScope();
  auto pipe = kj::newTwoWayPipe();
  auto pieces = kj::heap<TlsPieces>(input, piece, kj::mv(pipe.ends[0]));
  TlsPieces& inner = *pieces;
  rpc::TlsStream server(kj::mv(pieces), TheSetup(), Accepts());
  {
    rpc::TlsStream client(kj::mv(pipe.ends[1]), TheSetup(), rpc::kTlsPeer, "localhost");
    auto at_server = server.Handshake();
    RAFTKV_CHECK(client.Handshake().wait(scope).ok());
    RAFTKV_CHECK(at_server.wait(scope).ok());
    inner.EndFirst();
  }
  std::array<char, 256> got{};
  std::string why;
  auto read = server.tryRead(got.data(), 1, got.size())
                  .then([](std::size_t size) { RAFTKV_CHECK(false, "bytes of nobody", size); },
                        [&why](kj::Exception&& failed) { why = failed.getDescription().cStr(); });
  read.wait(scope);
  CheckReason(why);
}

}  // namespace
}  // namespace raftkv::fuzz

RAFTKV_FUZZ_TARGET(tls) {
  if (input.empty()) return;
  const std::size_t which = TakeCase(input, 3);
  for (const std::size_t piece : {std::size_t{1} << 20, std::size_t{1}}) {
    if (which == 2) {
      ReadAfterHandshake(input, piece);
    } else {
      Shake(input, piece, /*accepts=*/which == 0);
    }
  }
}
