#include "rpc/http/http_server.h"

#include <algorithm>
#include <map>
#include <utility>

#include <kj/compat/http.h>

#include "lib/base/check.h"
#include "rpc/loop/acceptor.h"
#include "rpc/loop/descriptors.h"
#include "rpc/loop/outbound.h"
#include "rpc/loop/sockets.h"
#include "rpc/tls/plain_guard.h"

namespace raftkv::rpc {
namespace {

// Malformed requests are answered; nothing is written to the host's stderr.
class QuietErrors final : public kj::HttpServerErrorHandler {
 public:
  kj::Promise<void> handleApplicationError(kj::Exception,
                                           kj::Maybe<kj::HttpService::Response&>) override {
    return kj::READY_NOW;
  }
};

// One answer per connection: scrapes are seconds apart, and KJ would keep an idle connection open
// even for a client that asked to close it.
class OneAnswer final : public kj::HttpServerCallbacks {
 public:
  bool shouldClose() override { return true; }
};

class Pages final : public kj::HttpService {
 public:
  Pages(kj::HttpHeaderTable& table, HttpHandlers handlers)
      : table_(table), handlers_(std::move(handlers)) {}

  kj::Promise<void> request(kj::HttpMethod method, kj::StringPtr url, const kj::HttpHeaders&,
                            kj::AsyncInputStream&, Response& response) override {
    if (method != kj::HttpMethod::GET && method != kj::HttpMethod::HEAD) {
      return Send(response, 405, "Method Not Allowed", "only GET and HEAD are supported\n");
    }
    std::string path = url.cStr();
    path = path.substr(0, path.find('?'));
    if (path == "/metrics") {
      return Send(response, 200, "OK", handlers_.metrics(), "text/plain; version=0.0.4");
    }
    if (path == "/livez") return Send(response, 200, "OK", "ok\n");
    if (path == "/readyz") {
      const Status ready = handlers_.ready();
      if (ready.ok()) return Send(response, 200, "OK", "ok\n");
      return Send(response, 503, "Service Unavailable", ready.message() + "\n");
    }
    return Send(response, 404, "Not Found", "not found; try /metrics, /livez or /readyz\n");
  }

 private:
  kj::Promise<void> Send(Response& response, kj::uint code, kj::StringPtr text, std::string body,
                         kj::StringPtr type = "text/plain; charset=utf-8") {
    kj::HttpHeaders headers(table_);
    headers.set(kj::HttpHeaderId::CONTENT_TYPE, type);
    auto stream = response.send(code, text, headers, body.size());
    auto kept = kj::heap<std::string>(std::move(body));
    auto written = stream->write(kept->data(), kept->size());
    return written.attach(kj::mv(stream), kj::mv(kept));
  }

  kj::HttpHeaderTable& table_;
  const HttpHandlers handlers_;
};

class HttpServerImpl final : public HttpServer, private kj::TaskSet::ErrorHandler {
 public:
  HttpServerImpl(EventLoop& loop, HttpHandlers handlers, HttpOptions options, Listener listener)
      : loop_(loop),
        options_(WithinDescriptors(std::move(options))),
        pages_(table_, std::move(handlers)),
        server_(loop.timer(), table_, pages_, Settings()),
        tasks_(*this),
        acceptor_(
            loop, std::move(listener), options_.log_sink,
            [this](kj::Own<kj::AsyncIoStream> stream) { Accept(kj::mv(stream)); },
            [this] { return CloseOldest("no file descriptor is left"); }) {}
  ~HttpServerImpl() noexcept override = default;

  const std::string& address() const override { return acceptor_.address(); }

 private:
  static HttpOptions WithinDescriptors(HttpOptions options) {
    // In addition to the half that the connections of peers and clients may use.
    constexpr std::uint32_t kShare = 8;
    options.max_connections =
        std::max(ConnectionsThatFit(options.max_connections * kShare) / kShare, 1U);
    return options;
  }

  kj::HttpServerSettings Settings() {
    kj::HttpServerSettings settings;
    settings.headerTimeout = ToKj(options_.request_timeout);
    // KJ 0.9.2 waits this long for a next request even after announcing that it closes.
    settings.pipelineTimeout = 1 * kj::MILLISECONDS;
    settings.errorHandler = errors_;
    settings.callbacks = one_answer_;
    return settings;
  }

  void Accept(kj::Own<kj::AsyncIoStream> stream) {
    // A request is answered as soon as it is complete, so the oldest connection is silent, or does
    // not read.
    if (connections_.size() >= options_.max_connections) {
      CloseOldest("all " + std::to_string(options_.max_connections) + " are in use");
    }
    ConfigureSocket(*stream);
    const std::uint64_t number = ++last_number_;
    auto closed = kj::newPromiseAndFulfiller<void>();
    connections_.emplace(number, kj::mv(closed.fulfiller));
    auto served = loop_.timer()
                      .timeoutAfter(ToKj(options_.connection_life), Serve(kj::mv(stream)))
                      .exclusiveJoin(kj::mv(closed.promise));
    // A request that cannot be parsed, a lost connection, one that is too old: all are treated
    // alike.
    tasks_.add(served.catch_([](kj::Exception&&) {}).attach(kj::defer([this, number] {
      connections_.erase(number);
    })));
  }

  kj::Promise<void> Serve(kj::Own<kj::AsyncIoStream> stream) {
    std::string remote = PeerAddressOf(*stream);
    if (options_.tls != nullptr) {
      return options_.tls->Accept(kj::mv(stream), std::move(remote))
          .then([this](kj::Own<TlsStream>&& secure) { return server_.listenHttp(kj::mv(secure)); });
    }
    return server_.listenHttp(
        kj::heap<PlainGuard>(kj::mv(stream), [this, remote = std::move(remote)] {
          acceptor_.LogRefused("closed the HTTP connection from " + remote + ": " + kSpeaksTls);
        }));
  }

  bool CloseOldest(const std::string& why) {
    if (connections_.empty()) return false;
    const auto oldest = connections_.begin();
    acceptor_.LogRefused("closed the oldest HTTP connection: " + why);
    oldest->second->fulfill();
    connections_.erase(oldest);
    return true;
  }

  void taskFailed(kj::Exception&& exception) override {
    acceptor_.LogRefused("HTTP: " + ShortReason(exception));
  }

  EventLoop& loop_;
  const HttpOptions options_;
  std::uint64_t last_number_ = 0;
  /// By age; fulfilled to close one.
  std::map<std::uint64_t, kj::Own<kj::PromiseFulfiller<void>>> connections_;
  kj::HttpHeaderTable table_;
  QuietErrors errors_;
  OneAnswer one_answer_;
  Pages pages_;
  kj::HttpServer server_;
  kj::TaskSet tasks_;
  Acceptor acceptor_;  // last: no connection arrives while the others are destroyed
};

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::Listen(EventLoop& loop, HttpHandlers handlers,
                                                       HttpOptions options) {
  RAFTKV_CHECK(loop.OnLoop());
  Result<Listener> listener = rpc::Listen(options.listen, "--http");
  if (!listener.ok()) return listener.status();
  std::unique_ptr<HttpServer> server;
  auto failed = kj::runCatchingExceptions([&] {
    server = std::make_unique<HttpServerImpl>(loop, std::move(handlers), std::move(options),
                                              std::move(listener).value());
  });
  KJ_IF_MAYBE (exception, failed) {
    return Status(Code::kUnavailable, "cannot serve HTTP: " + ShortReason(*exception));
  }
  return server;
}

}  // namespace raftkv::rpc
