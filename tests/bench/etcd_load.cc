// How many calls a second does a server of etcd's API answer, etcd or raftkv, to one and the same
// client?
//
// gRPC unary calls over nghttp2, from one thread, each message laid out by hand: the client costs a
// fraction of what gRPC's own costs, so that it is the server that is measured. Every connection
// keeps its share of the outstanding calls under way; the next one starts where one has ended.
//   put     256 random bytes to a random key of KEYS
//   range   a linearizable read of a random key of KEYS
//   fill    one put to each key
// usage: bench_etcd_load put|range|fill HOST:PORT,... CONNECTIONS OUTSTANDING SECONDS KEYS
// (IPv4 addresses, over which the connections are spread; fill takes as long as it takes.)
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nghttp2/nghttp2.h>

#include "cmd/histogram.h"
#include "lib/base/check.h"
#include "lib/base/random.h"

namespace {

using raftkv::Random;
using raftkv::cmd::Histogram;
using std::chrono::steady_clock;

constexpr std::size_t kValueBytes = 256;
constexpr std::uint32_t kWindowBytes = 1 << 20;
constexpr std::chrono::seconds kDrain(30);  // for calls under way at the end

enum class Operation : unsigned char { kPut, kRange, kFill };

struct LoadOptions {
  Operation operation = Operation::kPut;
  std::vector<sockaddr_in> servers;
  std::uint32_t connections = 0;
  std::uint32_t outstanding = 0;  ///< over all connections
  std::uint32_t seconds = 0;
  std::uint32_t keys = 0;
};

/// The messages, as they are on the wire: a gRPC frame, and in it Protocol Buffers.
class Messages {
 public:
  Messages(Operation operation, std::uint32_t keys)
      : operation_(operation),
        keys_(keys),
        chance_(steady_clock::now().time_since_epoch().count()) {
    for (char& byte : noise_) byte = static_cast<char>(chance_.Next());
  }

  /// False: there is none left.
  bool Next(std::string& frame) {
    if (operation_ == Operation::kFill && filled_ == keys_) return false;
    const std::uint64_t key = operation_ == Operation::kFill ? filled_++ : chance_.Next() % keys_;
    std::array<char, 24> text{};
    const int length = std::snprintf(text.data(), text.size(), "bench/%010llu",
                                     static_cast<unsigned long long>(key));
    frame.assign(5, '\0');  // not compressed, and a length
    AppendField(frame, 1, {text.data(), static_cast<std::size_t>(length)});
    if (operation_ != Operation::kRange) {
      const std::size_t begin = chance_.Next() % (noise_.size() - kValueBytes);
      AppendField(frame, 2, {noise_.data() + begin, kValueBytes});
    }
    const std::uint32_t size = htonl(static_cast<std::uint32_t>(frame.size() - 5));
    std::memcpy(frame.data() + 1, &size, sizeof size);
    return true;
  }

 private:
  // Of bytes.
  static void AppendField(std::string& message, int number, std::string_view bytes) {
    message.push_back(static_cast<char>(number << 3 | 2));
    std::size_t length = bytes.size();
    for (; length > 0x7f; length >>= 7) message.push_back(static_cast<char>(length | 0x80));
    message.push_back(static_cast<char>(length));
    message.append(bytes);
  }

  const Operation operation_;
  const std::uint32_t keys_;
  Random chance_;
  std::array<char, 1 << 16> noise_{};
  std::uint32_t filled_ = 0;
};

struct Call {
  std::string frame;
  std::size_t sent = 0;
  std::size_t answered = 0;  ///< bytes
  bool succeeded = false;    ///< grpc-status 0
  steady_clock::time_point start;
};

/// What all connections share.
struct Run {
  explicit Run(const LoadOptions& options) : messages(options.operation, options.keys) {}
  Messages messages;
  std::string path;
  std::size_t least_answer = 0;  ///< bytes, of an answer that has what was asked for
  bool over = false;             ///< no new calls
  std::uint32_t under_way = 0;
  std::uint64_t errors = 0;
  std::unique_ptr<Histogram> histogram = std::make_unique<Histogram>();
};

nghttp2_nv Header(std::string_view name, std::string_view value) {
  const auto* const bytes = reinterpret_cast<const std::uint8_t*>(name.data());
  const auto* const value_bytes = reinterpret_cast<const std::uint8_t*>(value.data());
  return {const_cast<std::uint8_t*>(bytes), const_cast<std::uint8_t*>(value_bytes), name.size(),
          value.size(), NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

class Connection {
 public:
  Connection(const sockaddr_in& server, std::uint32_t calls, Run& run) : run_(run), calls_(calls) {
    socket_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    RAFTKV_CHECK(socket_ >= 0, errno);
    RAFTKV_CHECK(connect(socket_, reinterpret_cast<const sockaddr*>(&server), sizeof server) == 0,
                 errno);
    const int on = 1;
    setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    RAFTKV_CHECK(fcntl(socket_, F_SETFL, O_NONBLOCK) == 0, errno);
    OpenSession();
  }
  ~Connection() {
    nghttp2_session_del(session_);
    close(socket_);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  [[nodiscard]] int socket_number() const { return socket_; }

  void Start() {
    for (Call& call : calls_) Begin(call);
    Write();
  }

  void Read() {
    std::array<std::uint8_t, 1 << 16> buffer{};
    for (;;) {
      const ssize_t got = recv(socket_, buffer.data(), buffer.size(), 0);
      if (got < 0 && errno == EAGAIN) break;
      RAFTKV_CHECK(got > 0, "the server closed a connection", errno);
      const auto taken =
          nghttp2_session_mem_recv(session_, buffer.data(), static_cast<std::size_t>(got));
      RAFTKV_CHECK(taken == got, taken);
      if (static_cast<std::size_t>(got) < buffer.size()) break;
    }
    Write();
  }

  void Write() {
    for (;;) {
      if (waiting_.empty()) Collect();
      if (waiting_.empty()) return;
      const ssize_t sent = send(socket_, waiting_.data(), waiting_.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno == EAGAIN) return;
      RAFTKV_CHECK(sent > 0, errno);
      waiting_.erase(0, static_cast<std::size_t>(sent));
    }
  }

 private:
  void OpenSession() {
    nghttp2_session_callbacks* callbacks = nullptr;
    RAFTKV_CHECK(nghttp2_session_callbacks_new(&callbacks) == 0);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, OnHeader);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, OnData);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, OnClose);
    RAFTKV_CHECK(nghttp2_session_client_new(&session_, callbacks, this) == 0);
    nghttp2_session_callbacks_del(callbacks);
    const std::array<nghttp2_settings_entry, 2> settings = {{
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kWindowBytes},
    }};
    RAFTKV_CHECK(nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(),
                                         settings.size()) == 0);
    RAFTKV_CHECK(nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0,
                                                       16 * kWindowBytes) == 0);
  }

  // All that nghttp2 has to send now, so that it goes out in one piece.
  void Collect() {
    constexpr std::size_t kPiece = 256 << 10;
    while (waiting_.size() < kPiece) {
      const std::uint8_t* data = nullptr;
      const ssize_t size = nghttp2_session_mem_send(session_, &data);
      RAFTKV_CHECK(size >= 0, size);
      if (size == 0) return;
      waiting_.append(reinterpret_cast<const char*>(data), static_cast<std::size_t>(size));
    }
  }

  void Begin(Call& call) {
    if (run_.over || !run_.messages.Next(call.frame)) return;
    call.sent = 0;
    call.answered = 0;
    call.succeeded = false;
    call.start = steady_clock::now();
    const std::array<nghttp2_nv, 6> headers = {
        Header(":method", "POST"),  Header(":scheme", "http"),
        Header(":path", run_.path), Header(":authority", "bench"),
        Header("te", "trailers"),   Header("content-type", "application/grpc")};
    nghttp2_data_provider body{};
    body.source.ptr = &call;
    body.read_callback = ReadFrame;
    const int stream =
        nghttp2_submit_request(session_, nullptr, headers.data(), headers.size(), &body, &call);
    RAFTKV_CHECK(stream > 0, stream);
    ++run_.under_way;
  }

  void End(Call& call) {
    --run_.under_way;
    if (call.succeeded && call.answered >= run_.least_answer) {
      run_.histogram->Record(
          static_cast<std::uint64_t>((steady_clock::now() - call.start).count()));
    } else {
      ++run_.errors;
    }
    Begin(call);
  }

  static Call& CallOf(nghttp2_session* session, std::int32_t stream) {
    auto* const call = static_cast<Call*>(nghttp2_session_get_stream_user_data(session, stream));
    RAFTKV_CHECK(call != nullptr, stream);
    return *call;
  }

  static ssize_t ReadFrame(nghttp2_session* /*session*/, std::int32_t /*stream*/,
                           std::uint8_t* buffer, std::size_t size, std::uint32_t* flags,
                           nghttp2_data_source* source, void* /*connection*/) {
    Call& call = *static_cast<Call*>(source->ptr);
    const std::size_t part = std::min(size, call.frame.size() - call.sent);
    std::memcpy(buffer, call.frame.data() + call.sent, part);
    call.sent += part;
    if (call.sent == call.frame.size()) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(part);
  }

  static int OnHeader(nghttp2_session* session, const nghttp2_frame* frame,
                      const std::uint8_t* name, std::size_t name_size, const std::uint8_t* value,
                      std::size_t value_size, std::uint8_t /*flags*/, void* /*connection*/) {
    const std::string_view key(reinterpret_cast<const char*>(name), name_size);
    if (key != "grpc-status") return 0;
    const std::string_view text(reinterpret_cast<const char*>(value), value_size);
    CallOf(session, frame->hd.stream_id).succeeded = text == "0";
    return 0;
  }

  static int OnData(nghttp2_session* session, std::uint8_t /*flags*/, std::int32_t stream,
                    const std::uint8_t* /*data*/, std::size_t size, void* /*connection*/) {
    CallOf(session, stream).answered += size;
    return 0;
  }

  static int OnClose(nghttp2_session* session, std::int32_t stream, std::uint32_t /*error*/,
                     void* connection) {
    static_cast<Connection*>(connection)->End(CallOf(session, stream));
    return 0;
  }

  Run& run_;
  std::vector<Call> calls_;
  nghttp2_session* session_ = nullptr;
  int socket_ = -1;
  std::string waiting_;  ///< bytes that the socket has not taken yet
};

// Until the time is over, or all is filled, and no call is under way any more.
void Serve(const std::vector<std::unique_ptr<Connection>>& connections, Run& run,
           std::optional<std::chrono::seconds> duration) {
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  RAFTKV_CHECK(epoll >= 0, errno);
  for (const auto& connection : connections) {
    epoll_event event = {};
    event.events = EPOLLIN | EPOLLOUT | EPOLLET;
    event.data.ptr = connection.get();
    RAFTKV_CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, connection->socket_number(), &event) == 0, errno);
  }
  const auto begin = steady_clock::now();
  for (const auto& connection : connections) connection->Start();
  std::array<epoll_event, 64> events{};
  while (run.under_way > 0) {
    const int count = epoll_wait(epoll, events.data(), events.size(), 1000);
    for (int i = 0; i < count; ++i) {
      auto& connection = *static_cast<Connection*>(events.at(static_cast<std::size_t>(i)).data.ptr);
      connection.Read();
    }
    if (!duration) continue;
    const auto passed = steady_clock::now() - begin;
    run.over = passed >= *duration;
    RAFTKV_CHECK(passed < *duration + kDrain, run.under_way);
  }
  close(epoll);
}

double CpuSeconds() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

void Measure(const LoadOptions& options) {
  Run run(options);
  const bool reads = options.operation == Operation::kRange;
  run.path = reads ? "/etcdserverpb.KV/Range" : "/etcdserverpb.KV/Put";
  run.least_answer = reads ? kValueBytes : 5;
  std::vector<std::unique_ptr<Connection>> connections;
  for (std::uint32_t i = 0; i < options.connections; ++i) {
    const std::uint32_t calls = options.outstanding / options.connections +
                                (i < options.outstanding % options.connections ? 1 : 0);
    connections.push_back(
        std::make_unique<Connection>(options.servers[i % options.servers.size()], calls, run));
  }
  const double cpu = CpuSeconds();
  const auto begin = steady_clock::now();
  const bool fills = options.operation == Operation::kFill;
  Serve(connections, run,
        fills ? std::nullopt : std::optional(std::chrono::seconds(options.seconds)));
  const double seconds = std::chrono::duration<double>(steady_clock::now() - begin).count();
  const Histogram& histogram = *run.histogram;
  const auto ms = [&](double fraction) {
    return static_cast<double>(histogram.Quantile(fraction)) / 1e6;
  };
  std::printf(R"({"connections":%u,"outstanding":%u,"ops":%llu,"errors":%llu,"seconds":%.3f,)"
              R"("ops_per_s":%.1f,"p50_ms":%.3f,"p99_ms":%.3f,"max_ms":%.3f,"client_cpu_s":%.3f})"
              "\n",
              options.connections, options.outstanding,
              static_cast<unsigned long long>(histogram.count()),
              static_cast<unsigned long long>(run.errors), seconds,
              static_cast<double>(histogram.count()) / seconds, ms(0.5), ms(0.99),
              static_cast<double>(histogram.max()) / 1e6, CpuSeconds() - cpu);
}

std::optional<std::uint32_t> Number(std::string_view text) {
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number == 0) return std::nullopt;
  return number;
}

std::optional<sockaddr_in> Address(const std::string& text) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  const auto colon = text.rfind(':');
  if (colon == std::string::npos) return std::nullopt;
  const auto port = Number(std::string_view(text).substr(colon + 1));
  if (!port || *port > 65535) return std::nullopt;
  address.sin_port = htons(static_cast<std::uint16_t>(*port));
  if (inet_pton(AF_INET, text.substr(0, colon).c_str(), &address.sin_addr) != 1)
    return std::nullopt;
  return address;
}

std::optional<LoadOptions> Parse(int argc, char** argv) {
  if (argc != 7) return std::nullopt;
  LoadOptions options;
  const std::string_view operation = argv[1];
  if (operation == "range") {
    options.operation = Operation::kRange;
  } else if (operation == "fill") {
    options.operation = Operation::kFill;
  } else if (operation != "put") {
    return std::nullopt;
  }
  std::string_view servers = argv[2];
  while (!servers.empty()) {
    const auto comma = std::min(servers.find(','), servers.size());
    const auto address = Address(std::string(servers.substr(0, comma)));
    if (!address) return std::nullopt;
    options.servers.push_back(*address);
    servers.remove_prefix(std::min(comma + 1, servers.size()));
  }
  const auto connections = Number(argv[3]);
  const auto outstanding = Number(argv[4]);
  const auto seconds = Number(argv[5]);
  const auto keys = Number(argv[6]);
  if (!connections || !outstanding || !seconds || !keys || options.servers.empty()) {
    return std::nullopt;
  }
  if (*outstanding < *connections) return std::nullopt;
  options.connections = *connections;
  options.outstanding = *outstanding;
  options.seconds = *seconds;
  options.keys = *keys;
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  const auto options = Parse(argc, argv);
  if (!options) {
    std::fputs(
        "usage: bench_etcd_load put|range|fill HOST:PORT,... CONNECTIONS OUTSTANDING SECONDS "
        "KEYS (as many calls as connections, at least)\n",
        stderr);
    return 128;
  }
  Measure(*options);
  return 0;
}
