// What do the tests of rpc/tls share? Both ends of a connection inside one loop, on virtual time.
#pragma once

#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <kj/async-io.h>
#include <kj/timer.h>

#include "rpc/tls/tls_setup.h"
#include "rpc/tls/tls_stream.h"
#include "tests/support/tls/test_certificates.h"

namespace raftkv::rpc {

/// The setup of a member; fails the test if there is none.
inline TlsSetupPtr SetupOf(const NodeTlsOptions& options) {
  auto loaded = LoadTls(options, /*has_peers=*/true);
  EXPECT_TRUE(loaded.ok()) << loaded.status().ToString();
  return loaded.ok() ? *loaded : nullptr;
}
inline TlsSetupPtr SetupOf(const ClientTlsOptions& options) {
  auto loaded = LoadTls(options);
  EXPECT_TRUE(loaded.ok()) << loaded.status().ToString();
  return loaded.ok() ? *loaded : nullptr;
}

class TlsTest : public testing::Test {
 public:
  // A loop's own may throw, that of a test may not.
  ~TlsTest() noexcept override {}

 protected:
  /// Both ends, and what has come of their handshakes so far.
  struct Shaken {
    kj::Own<TlsStream> server;
    kj::Own<TlsStream> client;
    TlsFailure at_server = {TlsFault::kOther, "it has not come to an end"};
    TlsFailure at_client = {TlsFault::kOther, "it has not come to an end"};
    kj::Promise<void> serving = nullptr;
  };

  /// Connects them; `host` is the one that the client has dialled.
  std::unique_ptr<Shaken> Connect(TlsSetupPtr server, TlsSetupPtr client, TlsAccepts accepts,
                                  const std::string& protocol,
                                  const std::string& host = "127.0.0.1") {
    auto pipe = kj::newTwoWayPipe();
    auto made = std::make_unique<Shaken>();
    Shaken& shaken = *made;
    shaken.server =
        kj::heap<TlsStream>(kj::mv(pipe.ends[0]), std::move(server), std::move(accepts));
    shaken.client = kj::heap<TlsStream>(kj::mv(pipe.ends[1]), std::move(client), protocol, host);
    shaken.serving = shaken.server->Handshake()
                         .then([&shaken](TlsFailure&& failure) {
                           shaken.at_server = std::move(failure);
                           // As a port does: the other side sees the end.
                           if (!shaken.at_server.ok()) shaken.server->shutdownWrite();
                         })
                         .eagerlyEvaluate(nullptr);
    shaken.at_client = shaken.client->Handshake().wait(scope_);
    if (!shaken.at_client.ok()) shaken.client = nullptr;
    scope_.poll();
    return made;
  }
  /// As a client of a member, with the certificates of the kit.
  std::unique_ptr<Shaken> ConnectClient(const ClientTlsOptions& client) {
    return Connect(SetupOf(certificates_.node()), SetupOf(client), Native(), kTlsNative);
  }
  static TlsAccepts Native() { return {.protocols = {kTlsNative}, .peers = true}; }

  std::string Read(kj::AsyncIoStream& stream, std::size_t min, std::size_t max) {
    std::string bytes(max, '?');
    bytes.resize(stream.tryRead(bytes.data(), min, max).wait(scope_));
    return bytes;
  }
  /// What is wrong with the stream, or empty if it ended as it should.
  std::string ReadUntilItEnds(kj::AsyncIoStream& stream) {
    char byte = 0;
    std::string why;
    auto read = stream.tryRead(&byte, 1, 1)
                    .then([](std::size_t) {},
                          [&](kj::Exception&& failed) { why = failed.getDescription().cStr(); });
    read.wait(scope_);
    return why;
  }

  kj::EventLoop loop_;
  kj::WaitScope scope_{loop_};
  test::TestCertificates certificates_;
};

inline bool Mentions(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace raftkv::rpc
