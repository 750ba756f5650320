// Does the JSON gateway answer as that of etcd does, with a real loop and real sockets?
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "lib/base/address.h"
#include "rpc/etcd/json_values.h"
#include "rpc/etcd/version.h"
#include "tests/rpc/etcd/door_fixture.h"

namespace raftkv::etcd {
namespace {

using namespace std::chrono_literals;

/// A connection that is read a piece at a time.
class HttpClient {
 public:
  explicit HttpClient(const std::string& address) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    const auto parsed = ParseHostPort(address);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(parsed->port);
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    EXPECT_EQ(connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  }
  ~HttpClient() { Close(); }
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }
  void Write(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }
  /// Reads until `part` has come; everything since the last call, up to its end. Nothing: it did
  /// not come in time.
  std::optional<std::string> ReadUntil(const std::string& part,
                                       std::chrono::milliseconds limit = 20s) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (true) {
      if (const auto found = buffer_.find(part); found != std::string::npos) {
        std::string taken = buffer_.substr(0, found + part.size());
        buffer_.erase(0, taken.size());
        return taken;
      }
      if (!Read(end)) return std::nullopt;
    }
  }
  /// Whether the other side closes in time.
  bool WaitForEnd(std::chrono::milliseconds limit = 20s) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (Read(end)) {
    }
    return over_;
  }
  /// One answer with Content-Length.
  struct Answer {
    std::string head;
    std::string body;
    [[nodiscard]] std::string status() const { return head.substr(0, 12); }
  };
  Answer ReadAnswer() {
    Answer answer;
    answer.head = ReadUntil("\r\n\r\n").value_or("");
    const auto at = answer.head.find("Content-Length: ");
    if (at == std::string::npos) return answer;
    const std::size_t size = std::stoul(answer.head.substr(at + 16));
    const auto end = std::chrono::steady_clock::now() + 20s;
    while (buffer_.size() < size && Read(end)) {
    }
    answer.body = buffer_.substr(0, size);
    buffer_.erase(0, size);
    return answer;
  }
  Answer Post(const std::string& path, const std::string& body, const std::string& headers = "") {
    Write("POST " + path + " HTTP/1.1\r\nHost: x\r\n" + headers +
          "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    return ReadAnswer();
  }
  Answer Get(const std::string& path, const std::string& method = "GET") {
    Write(method + " " + path + " HTTP/1.1\r\nHost: x\r\n\r\n");
    return ReadAnswer();
  }

 private:
  bool Read(std::chrono::steady_clock::time_point end) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    pollfd wanted{fd_, POLLIN, 0};
    if (left.count() <= 0 || poll(&wanted, 1, static_cast<int>(left.count())) <= 0) return false;
    char buffer[16 * 1024];
    const ssize_t size = recv(fd_, buffer, sizeof buffer, 0);
    over_ = size <= 0;
    if (!over_) buffer_.append(buffer, static_cast<std::size_t>(size));
    return !over_;
  }

  int fd_;
  bool over_ = false;
  std::string buffer_;
};

/// {"key": ...} of the unary method; the key is base64.
std::string Range(const std::string& base64) { return R"({"key":")" + base64 + "\"}"; }
std::string Create(const std::string& base64, int answers) {
  return R"({"create_request":{"key":")" + base64 + R"(","watch_id":)" + std::to_string(answers) +
         "}}";
}
constexpr char kHold[] = "aG9sZA==";    // "hold"
constexpr char kFinish[] = "ZmluaXNo";  // "finish"
constexpr char kFail[] = "ZmFpbA==";    // "fail"
constexpr char kKey[] = "a2V5";         // "key"

class GatewayTest : public DoorTest {
 protected:
  std::vector<std::string> keys() {
    return Get<std::vector<std::string>>([this] { return seen.keys; });
  }
};

TEST_F(GatewayTest, AnswersACallAsJson) {
  Start();
  HttpClient client(address);
  for (const char* const path :
       {"/v3/kv/range", "/v3beta/kv/range", "/v3alpha/kv/range", "/v3/kv/range?pretty=1"}) {
    const auto answer = client.Post(path, Range(kKey));
    EXPECT_EQ(answer.status(), "HTTP/1.1 200") << path;
    EXPECT_NE(answer.head.find("Content-Type: application/json\r\n"), std::string::npos);
    EXPECT_EQ(answer.body, R"({"kvs":[{"key":"a2V5"}],"count":"1"})");
  }
  EXPECT_EQ(connections(), 1U) << "a connection is kept";
}

TEST_F(GatewayTest, AnEmptyBodyIsAnEmptyRequestAndWhatFollowsOneIsIgnored) {
  Start();
  HttpClient client(address);
  EXPECT_EQ(client.Post("/v3/kv/range", "").status(), "HTTP/1.1 200");
  EXPECT_EQ(client.Post("/v3/kv/range", Range(kKey) + " and more").status(), "HTTP/1.1 200");
  EXPECT_EQ(client.Post("/v3/kv/range", Range(kKey) + "\r\n").status(), "HTTP/1.1 200");
  EXPECT_EQ(keys(), (std::vector<std::string>{"", "key", "key"}));
}

TEST_F(GatewayTest, AFailureHasItsCodeAndText) {
  Start();
  HttpClient client(address);
  struct Case {
    GrpcCode code;
    const char* status;
  };
  for (const auto& [code, status] : std::vector<Case>{{GrpcCode::kInvalidArgument, "400"},
                                                      {GrpcCode::kOutOfRange, "400"},
                                                      {GrpcCode::kNotFound, "404"},
                                                      {GrpcCode::kFailedPrecondition, "412"},
                                                      {GrpcCode::kUnavailable, "503"},
                                                      {GrpcCode::kResourceExhausted, "429"},
                                                      {GrpcCode::kUnimplemented, "501"},
                                                      {GrpcCode::kInternal, "500"},
                                                      {GrpcCode::kDeadlineExceeded, "504"},
                                                      {GrpcCode::kPermissionDenied, "403"},
                                                      {GrpcCode::kUnauthenticated, "401"}}) {
    const std::string number = std::to_string(static_cast<int>(code));
    // range_end, the text, is base64 of: it "failed"
    const auto answer =
        client.Post("/v3/kv/range",
                    R"({"key":"ZmFpbA==","range_end":"aXQgImZhaWxlZCI=","limit":)" + number + "}");
    EXPECT_EQ(answer.status(), std::string("HTTP/1.1 ") + status);
    EXPECT_EQ(answer.body,
              R"({"error":"it \"failed\"","message":"it \"failed\"","code":)" + number + "}");
  }
  const auto malformed = client.Post("/v3/kv/range", "{bad");
  EXPECT_EQ(malformed.status(), "HTTP/1.1 400");
  EXPECT_NE(malformed.body.find(R"("code":3})"), std::string::npos) << malformed.body;
  EXPECT_EQ(client.Post("/v3/kv/range", "bad").status(), "HTTP/1.1 400");
  EXPECT_EQ(client.Post("/v3/kv/range", Range(kKey)).status(), "HTTP/1.1 200");
}

TEST_F(GatewayTest, PathsAndMethodsThatAreNotServed) {
  Start();
  HttpClient client(address);
  EXPECT_EQ(client.Get("/v3/kv/range").status(), "HTTP/1.1 405");
  EXPECT_EQ(client.Get("/v3/kv/range", "PUT").status(), "HTTP/1.1 405");
  EXPECT_EQ(client.Get("/v3/kv/range", "DELETE").body, "Method Not Allowed\n");
  EXPECT_EQ(client.Post("/v3/kv/nothing", "{}").body, "Not Found\n");
  EXPECT_EQ(client.Post("/v3/kv/range/", "{}").status(), "HTTP/1.1 404");
  EXPECT_EQ(client.Post("/v2/keys", "{}").body, "404 page not found\n");
  EXPECT_EQ(client.Get("/").status(), "HTTP/1.1 404");
}

TEST_F(GatewayTest, TellsItsVersion) {
  Start();
  HttpClient client(address);
  const auto version = client.Get("/version");
  EXPECT_EQ(version.status(), "HTTP/1.1 200");
  EXPECT_EQ(version.body, R"({"etcdserver":"3.5.13","etcdcluster":"3.5.0"})");
  EXPECT_NE(version.body.find(kEtcdVersion), std::string::npos);
  EXPECT_EQ(client.Post("/version", "").status(), "HTTP/1.1 405");
}

TEST_F(GatewayTest, TellsItsHealth) {
  Status healthy;
  DoorOptions options;
  options.healthy = [&healthy] { return healthy; };
  Start(options);
  HttpClient client(address);
  EXPECT_EQ(client.Get("/health").body, R"({"health":"true"})");
  EXPECT_EQ(client.Get("/health").status(), "HTTP/1.1 200");
  loop->Call([&] { healthy = {Code::kUnavailable, "no leader is known"}; });
  const auto ill = client.Get("/health");
  EXPECT_EQ(ill.status(), "HTTP/1.1 503");
  EXPECT_EQ(ill.body, R"({"health":"false","reason":"no leader is known"})");
}

TEST_F(GatewayTest, CallsWaitForAMemberThatIsStarting) {
  Start({}, /*serves=*/false);
  HttpClient client(address);
  const auto answer = client.Post("/v3/kv/range", Range(kKey));
  EXPECT_EQ(answer.status(), "HTTP/1.1 503");
  EXPECT_NE(answer.body.find(R"("code":14)"), std::string::npos);
  EXPECT_EQ(client.Get("/version").status(), "HTTP/1.1 200");
}

TEST_F(GatewayTest, AStreamAnswersOneObjectALineAndAChunk) {
  Start();
  HttpClient client(address);
  const std::string body = Create(kKey, 2);
  client.Write("POST /v3/watch HTTP/1.1\r\nHost: x\r\nContent-Length: " +
               std::to_string(body.size()) + "\r\n\r\n" + body);
  const std::string head = client.ReadUntil("\r\n\r\n").value_or("");
  EXPECT_NE(head.find("HTTP/1.1 200 OK"), std::string::npos) << head;
  EXPECT_NE(head.find("Transfer-Encoding: chunked"), std::string::npos) << head;
  const std::string first = R"({"result":{"watch_id":"1"}})";
  EXPECT_EQ(client.ReadUntil("}\n\r\n"), "1c\r\n" + first + "\n\r\n");
  EXPECT_EQ(client.ReadUntil("}\n\r\n"),
            "1c\r\n"
            R"({"result":{"watch_id":"2"}})"
            "\n\r\n");
  EXPECT_EQ(closed(), 0);
  client.Close();
  EXPECT_TRUE(rpc::WaitFor([&] { return closed() == 1 && connections() == 0; }))
      << "a client that goes away is noticed although nothing is written";
}

TEST_F(GatewayTest, ObjectsOfAStreamAreTakenOneAfterAnother) {
  Start();
  HttpClient client(address);
  client.Write("POST /v3/watch HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
  const auto chunk = [&](const std::string& bytes) {
    char size[16];
    std::snprintf(size, sizeof size, "%zx\r\n", bytes.size());
    client.Write(size + bytes + "\r\n");
  };
  const std::string one = Create(kKey, 1);
  chunk(one + "\n" + one.substr(0, 5));
  EXPECT_TRUE(client.ReadUntil(R"("watch_id":"1"}})").has_value());
  chunk(one.substr(5) + one);
  EXPECT_TRUE(client.ReadUntil(R"("watch_id":"3"}})").has_value());
  chunk(Create(kFinish, 0));
  EXPECT_TRUE(client.ReadUntil("\r\n0\r\n\r\n").has_value()) << "the end of the answer";
  EXPECT_EQ(keys(), (std::vector<std::string>{"key", "key", "key", "finish"}));
}

TEST_F(GatewayTest, AStreamThatFails) {
  Start();
  HttpClient client(address);
  // Before its first answer it is an answer of HTTP.
  const auto early = client.Post("/v3/watch", Create(kFail, 0));
  EXPECT_EQ(early.status(), "HTTP/1.1 503");
  EXPECT_EQ(early.body, R"({"error":"it failed","message":"it failed","code":14})");
  EXPECT_EQ(client.Post("/v3/watch", "{}", "Grpc-Metadata-hasleader: true\r\n").body,
            R"({"error":"etcdserver: no leader","message":"etcdserver: no leader","code":14})");
  const std::string body = Create(kKey, 1) + Create(kFail, 0);
  client.Write("POST /v3/watch HTTP/1.1\r\nHost: x\r\nContent-Length: " +
               std::to_string(body.size()) + "\r\n\r\n" + body);
  EXPECT_TRUE(client.ReadUntil(R"("watch_id":"1"}})").has_value());
  const std::string error = R"({"error":{"grpc_code":14,"http_code":503,"message":"it failed",)"
                            R"("http_status":"Service Unavailable"}})";
  EXPECT_TRUE(client.ReadUntil(error + "\n\r\n0\r\n\r\n").has_value());
  EXPECT_EQ(client.Post("/v3/kv/range", Range(kKey)).status(), "HTTP/1.1 200")
      << "the connection is of use after a stream";
}

TEST_F(GatewayTest, ACallHasADeadline) {
  Start();
  HttpClient client(address);
  const auto answer = client.Post("/v3/kv/range", Range(kHold), "Grpc-Timeout: 50m\r\n");
  EXPECT_EQ(answer.status(), "HTTP/1.1 504");
  EXPECT_NE(answer.body.find(R"("code":4)"), std::string::npos);
  EXPECT_EQ(client.Post("/v3/kv/range", Range(kKey), "Grpc-Timeout: x\r\n").status(),
            "HTTP/1.1 400");
  AnswerHeld();
}

TEST_F(GatewayTest, AClientMayAskBeforeItSendsItsBody) {
  Start();
  HttpClient client(address);
  const std::string body = Range(kKey);
  client.Write("POST /v3/kv/range HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n" +
               ("Content-Length: " + std::to_string(body.size()) + "\r\n\r\n"));
  EXPECT_EQ(client.ReadUntil("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.Write(body);
  EXPECT_EQ(client.ReadAnswer().status(), "HTTP/1.1 200");
}

TEST_F(GatewayTest, AConnectionIsClosedWhereItsClientAsksForThat) {
  Start();
  HttpClient client(address);
  const auto answer = client.Post("/v3/kv/range", Range(kKey), "Connection: close\r\n");
  EXPECT_EQ(answer.status(), "HTTP/1.1 200");
  EXPECT_NE(answer.head.find("Connection: close"), std::string::npos);
  EXPECT_TRUE(client.WaitForEnd(5s));
  HttpClient reader(address);
  reader.Write("GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(reader.ReadAnswer().status(), "HTTP/1.1 200");
  EXPECT_TRUE(reader.WaitForEnd(5s));
}

TEST_F(GatewayTest, PipelinedRequestsAreAnsweredInOrder) {
  Start();
  HttpClient client(address);
  const std::string body = Range(kHold);
  const std::string held =
      "POST /v3/kv/range HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(body.size()) +
      "\r\n\r\n" + body;
  client.Write(held + "GET /version HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(rpc::WaitFor([&] { return keys().size() == 1; }));
  AnswerHeld();
  EXPECT_NE(client.ReadAnswer().body.find(R"("kvs")"), std::string::npos);
  EXPECT_NE(client.ReadAnswer().body.find("etcdserver"), std::string::npos);
}

TEST_F(GatewayTest, BodiesAreBounded) {
  DoorOptions options;
  options.http2.max_message_bytes = 30'000;
  Start(options);
  const std::size_t most = 30'000 / 3 * 4 + 16 * 1024;
  const std::size_t around = Range("").size();
  HttpClient client(address);
  const std::size_t fits = (most - around) / 4 * 4;
  EXPECT_EQ(client.Post("/v3/kv/range", Range(std::string(fits, 'A'))).status(), "HTTP/1.1 200");
  const auto above = client.Post("/v3/kv/range", Range(std::string(fits + 4, 'A')));
  EXPECT_EQ(above.status(), "HTTP/1.1 429");
  EXPECT_NE(above.body.find(R"("code":8)"), std::string::npos);
  EXPECT_EQ(unfinished_bytes(), 0U);
}

TEST_F(GatewayTest, ABodyThatDoesNotArriveIsNotWaitedFor) {
  DoorOptions options = ImpatientDoor();
  options.ticks.unfinished = 5;
  Start(options);
  HttpClient client(address);
  client.Write("POST /v3/kv/range HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"key\"");
  EXPECT_TRUE(client.WaitForEnd());
  EXPECT_EQ(log.Count("it did not finish a request in time"), 1U);
  EXPECT_EQ(unfinished_bytes(), 0U);
  // Nor is a head.
  HttpClient head(address);
  head.Write("POST /v3/kv/ra");
  EXPECT_TRUE(head.WaitForEnd());
}

TEST_F(GatewayTest, AStreamWithoutFurtherRequestsIsKept) {
  DoorOptions options = ImpatientDoor();
  options.ticks.unfinished = 5;
  Start(options);
  HttpClient client(address);
  const std::string body = Create(kKey, 1);
  client.Write("POST /v3/watch HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" + body);
  EXPECT_TRUE(client.ReadUntil(R"("watch_id":"1"}})").has_value());
  EXPECT_FALSE(client.WaitForEnd(400ms));
  EXPECT_EQ(closed(), 0);
}

TEST_F(GatewayTest, AnAnswerThatIsNotReadIsNotWaitedFor) {
  DoorOptions options = ImpatientDoor();
  options.ticks.stuck = 10;
  Start(options);
  HttpClient client(address);
  const std::string body =
      R"({"create_request":{"key":"a2V5","watch_id":1000,"start_revision":100000}})";
  client.Write("POST /v3/watch HTTP/1.1\r\nHost: x\r\nContent-Length: " +
               std::to_string(body.size()) + "\r\n\r\n" + body);
  EXPECT_TRUE(rpc::WaitFor([&] { return opened() == 1; }));
  EXPECT_TRUE(rpc::WaitFor([&] { return connections() == 0; }));
  EXPECT_EQ(log.Count("it does not read the answers that it asked for"), 1U);
  EXPECT_EQ(queued_bytes(), 0U);
}

TEST_F(GatewayTest, GarbageIsAnswered) {
  Start();
  HttpClient client(address);
  client.Write("\x01\x02 nonsense\r\n\r\n");
  EXPECT_TRUE(client.WaitForEnd());
  HttpClient other(address);
  EXPECT_EQ(other.Get("/version").status(), "HTTP/1.1 200");
}

TEST_F(GatewayTest, ADoorThatClosesEndsItsConnections) {
  Start();
  HttpClient busy(address);
  HttpClient idle(address);
  EXPECT_EQ(idle.Get("/version").status(), "HTTP/1.1 200");
  const std::string body = Range(kHold);
  busy.Write("POST /v3/kv/range HTTP/1.1\r\nHost: x\r\nContent-Length: " +
             std::to_string(body.size()) + "\r\n\r\n" + body);
  ASSERT_TRUE(rpc::WaitFor([&] { return keys().size() == 1; }));
  loop->Call([this] { door->SayGoodbye(); });
  EXPECT_TRUE(idle.WaitForEnd());
  AnswerHeld();
  const auto answer = busy.ReadAnswer();
  EXPECT_EQ(answer.status(), "HTTP/1.1 200");
  EXPECT_NE(answer.head.find("Connection: close"), std::string::npos);
  EXPECT_TRUE(busy.WaitForEnd());
  loop->Call([this] { door.reset(); });
}

// --- Objects in a body.

class Values : public testing::Test {
 protected:
  Outcome Read(std::string_view bytes) {
    return values.Read(bytes, [this](std::string_view value) {
      found.emplace_back(value);
      return true;
    });
  }
  JsonValues values{50};
  std::vector<std::string> found;
};

TEST_F(Values, AreTakenHoweverTheyArrive) {
  const std::vector<std::string> sent = {"{}", R"({"a":"}\"{\\"})", R"({"b":[{"c":{}},{}]})"};
  const std::string bytes = "\n" + sent[0] + sent[1] + " \t" + sent[2] + "\r\n";
  for (std::size_t piece = 1; piece <= bytes.size(); ++piece) {
    found.clear();
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
      ASSERT_TRUE(Read(std::string_view(bytes).substr(at, piece)).ok());
    }
    EXPECT_EQ(found, sent) << piece;
    EXPECT_EQ(values.unfinished(), "");
  }
}

TEST_F(Values, AreBounded) {
  EXPECT_TRUE(Read(std::string("{") + std::string(48, ' ') + "}").ok());
  EXPECT_TRUE(Read(std::string("{") + std::string(49, ' ')).ok());
  EXPECT_EQ(Read("}").code, GrpcCode::kResourceExhausted);
}

TEST_F(Values, WhatIsNoObjectIsForTheDecoder) {
  EXPECT_TRUE(Read("{} 12 {}").ok());
  EXPECT_EQ(found, (std::vector<std::string>{"{}", "12 {}"}));
  EXPECT_TRUE(Read("}").ok());
  EXPECT_EQ(found.back(), "}");
  EXPECT_TRUE(Read(R"({"open": )").ok());
  EXPECT_EQ(values.unfinished(), R"({"open": )");
}

}  // namespace
}  // namespace raftkv::etcd
