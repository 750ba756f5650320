// Is what a member serves over HTTP served over HTTPS, and measured?
#include <future>

#include "rpc/http/http_server.h"
#include "rpc/http/metrics.h"
#include "rpc/loop/sockets.h"
#include "tests/rpc/server/rpc_fixture.h"
#include "tests/support/tls/test_certificates.h"

namespace raftkv::rpc {
namespace {

class HttpsTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto setup = LoadTls(kit_.node(), /*has_peers=*/true);
    ASSERT_TRUE(setup.ok()) << setup.status().ToString();
    loop_->Call([&] {
      source_ = std::make_unique<TlsSource>(*setup);
      TlsPortOptions port;
      port.accepts = {.protocols = {kTlsHttp1}};
      port_ = std::make_unique<TlsPort>(loop_->timer(), *source_, std::move(port));
      HttpOptions options;
      options.listen = "127.0.0.1:0";
      options.tls = port_.get();
      HttpHandlers handlers;
      handlers.metrics = [this] {
        MetricsSnapshot snapshot;
        snapshot.tls = {.counts = source_->counts, .expiry_days = {{"clients", 30}}};
        return metrics_.Serialize(snapshot);
      };
      handlers.ready = [] { return Status::Ok(); };
      auto made = HttpServer::Listen(*loop_, handlers, options);
      ASSERT_TRUE(made.ok()) << made.status().ToString();
      server_ = *std::move(made);
    });
  }
  void TearDown() override {
    loop_->Call([this] {
      server_.reset();
      port_.reset();
    });
    loop_->Stop();
  }

  /// The answer over TLS, or why there is none.
  std::string Get(const std::string& path, const ClientTlsOptions& tls) {
    auto setup = LoadTls(tls);
    EXPECT_TRUE(setup.ok()) << setup.status().ToString();
    const TlsDialer dialer([&setup] { return *setup; }, kTlsHttp1);
    const std::string request = "GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n";
    std::promise<std::string> answer;
    auto answered = answer.get_future();
    loop_->Post([&] { loop_->Spawn(Ask(dialer, request, answer)); });
    return answered.get();
  }

  kj::Promise<void> Ask(const TlsDialer& dialer, const std::string& request,
                        std::promise<std::string>& answer) {
    return loop_->network()
        .parseAddress(server_->address().c_str())
        .then([](kj::Own<kj::NetworkAddress>&& to) {
          auto connected = to->connect();
          return connected.attach(kj::mv(to));
        })
        .then([&dialer](kj::Own<kj::AsyncIoStream>&& stream) {
          return dialer.Connect(kj::mv(stream), "127.0.0.1");
        })
        .then([&request](kj::Own<kj::AsyncIoStream>&& stream) {
          auto read = stream->write(request.data(), request.size()).then([&stream = *stream] {
            return stream.readAllText();
          });
          return read.attach(kj::mv(stream));
        })
        .then([&answer](kj::String&& text) { answer.set_value(text.cStr()); },
              [&answer](kj::Exception&& failed) { answer.set_value(ShortReason(failed)); });
  }

  test::TestCertificates kit_;
  std::unique_ptr<EventLoop> loop_ = StartLoop();
  Metrics metrics_{"n1", "1.2.3"};
  std::unique_ptr<TlsSource> source_;
  std::unique_ptr<TlsPort> port_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpsTest, ServesItsPagesAndEndsWithAFarewell) {
  // Without a farewell the read would fail.
  const std::string page = Get("/livez", kit_.client());
  EXPECT_EQ(page.find("HTTP/1.1 200 OK"), 0U) << page;
  EXPECT_NE(page.find("\r\n\r\nok\n"), std::string::npos) << page;
}

TEST_F(HttpsTest, CountsHandshakesAndRefusalsByReason) {
  const test::TestCertificates other;
  ClientTlsOptions stranger = kit_.client();
  stranger.cert = other.crt("client");
  stranger.key = other.key("client");
  EXPECT_NE(Get("/livez", stranger).find("it is not signed by a CA that it knows"),
            std::string::npos);
  EXPECT_EQ(Get("/livez", kit_.client()).find("HTTP/1.1 200"), 0U);
  const std::string page = Get("/metrics", kit_.client());
  for (const std::string line :
       {"raftkv_tls_handshakes_total 2\n", "raftkv_tls_refused_total{reason=\"unknown_ca\"} 1\n",
        "raftkv_tls_refused_total{reason=\"expired\"} 0\n",
        "raftkv_tls_certificate_expiry_days{shown_to=\"clients\"} 30\n",
        "raftkv_tls_reloads_total{outcome=\"ok\"} 0\n"}) {
    EXPECT_NE(page.find(line), std::string::npos) << line << page;
  }
}

}  // namespace
}  // namespace raftkv::rpc
