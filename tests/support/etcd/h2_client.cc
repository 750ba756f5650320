#include "tests/support/etcd/h2_client.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "lib/base/check.h"

namespace raftkv::test {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

int Connect(const std::string& address) {
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  const auto colon = address.rfind(':');
  RAFTKV_CHECK(colon != std::string::npos, address);
  std::uint16_t port = 0;
  std::from_chars(address.data() + colon + 1, address.data() + address.size(), port);
  to.sin_port = htons(port);
  const int parsed = inet_pton(AF_INET, address.substr(0, colon).c_str(), &to.sin_addr);
  RAFTKV_CHECK(parsed == 1, address);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  RAFTKV_CHECK(fd >= 0, errno);
  RAFTKV_CHECK(connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0, address, errno);
  const int flags = fcntl(fd, F_GETFL);
  RAFTKV_CHECK(fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0, errno);
  return fd;
}

nghttp2_nv ClientHeader(const std::string& name, const std::string& value) {
  const auto* n = reinterpret_cast<const std::uint8_t*>(name.data());
  const auto* v = reinterpret_cast<const std::uint8_t*>(value.data());
  return {const_cast<std::uint8_t*>(n), const_cast<std::uint8_t*>(v), name.size(), value.size(),
          NGHTTP2_NV_FLAG_NONE};
}

}  // namespace

// --- What has arrived.

std::string H2Answer::Find(const std::map<std::string, std::string>& in, const std::string& name) {
  const auto found = in.find(name);
  return found == in.end() ? "" : found->second;
}

std::string H2Answer::FindEither(const std::string& name) const {
  return trailers.empty() ? Find(headers, name) : Find(trailers, name);
}

std::vector<std::string> H2Answer::messages() const {
  constexpr std::size_t kPrefix = 5;
  std::vector<std::string> found;
  std::string_view left = data;
  while (left.size() >= kPrefix) {
    std::size_t size = 0;
    for (std::size_t i = 1; i < kPrefix; ++i) {
      size = size << 8 | static_cast<unsigned char>(left[i]);
    }
    if (left.size() < kPrefix + size) break;
    found.emplace_back(left.substr(kPrefix, size));
    left.remove_prefix(kPrefix + size);
  }
  return found;
}

/// Of the session whose user data is an H2Client.
struct H2Client::Callbacks {
  static H2Client& Of(void* user) { return *static_cast<H2Client*>(user); }

  static int OnHeader(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name,
                      std::size_t name_size, const std::uint8_t* value, std::size_t value_size,
                      std::uint8_t, void* user) {
    H2Answer& answer = Of(user).answers_[frame->hd.stream_id];
    const bool first = frame->headers.cat == NGHTTP2_HCAT_RESPONSE;
    auto& into = first ? answer.headers : answer.trailers;
    into[std::string(reinterpret_cast<const char*>(name), name_size)] =
        std::string(reinterpret_cast<const char*>(value), value_size);
    return 0;
  }

  static int OnData(nghttp2_session*, std::uint8_t, std::int32_t stream, const std::uint8_t* bytes,
                    std::size_t size, void* user) {
    Of(user).answers_[stream].data.append(reinterpret_cast<const char*>(bytes), size);
    return 0;
  }

  static int OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    H2Client& client = Of(user);
    const bool ack = (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0;
    if (frame->hd.type == NGHTTP2_PING) ++(ack ? client.ping_answers_ : client.pings_);
    if (frame->hd.type == NGHTTP2_GOAWAY) client.goaway_ = frame->goaway.error_code;
    if (frame->hd.type == NGHTTP2_RST_STREAM) ++client.resets_;
    return 0;
  }

  static int OnClose(nghttp2_session*, std::int32_t stream, std::uint32_t error, void* user) {
    H2Answer& answer = Of(user).answers_[stream];
    answer.closed = true;
    answer.error = error;
    return 0;
  }

  static ssize_t ReadBody(nghttp2_session*, std::int32_t stream, std::uint8_t* to, std::size_t size,
                          std::uint32_t* flags, nghttp2_data_source*, void* user) {
    Body& body = Of(user).bodies_[stream];
    const std::size_t part = std::min(size, body.bytes.size() - body.sent);
    if (part == 0 && !body.end) return NGHTTP2_ERR_DEFERRED;
    std::memcpy(to, body.bytes.data() + body.sent, part);
    body.sent += part;
    if (body.sent == body.bytes.size() && body.end) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(part);
  }
};

H2Client::H2Client(const std::string& address, H2Options options)
    : options_(options), socket_(Connect(address)) {
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, Callbacks::OnHeader);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, Callbacks::OnData);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, Callbacks::OnFrame);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, Callbacks::OnClose);
  nghttp2_option* option = nullptr;
  nghttp2_option_new(&option);
  if (!options_.reads) nghttp2_option_set_no_auto_window_update(option, 1);
  if (!options_.answers_pings) nghttp2_option_set_no_auto_ping_ack(option, 1);
  nghttp2_option_set_peer_max_concurrent_streams(option, 1 << 20);
  RAFTKV_CHECK(nghttp2_session_client_new2(&session_, callbacks, this, option) == 0);
  nghttp2_option_del(option);
  nghttp2_session_callbacks_del(callbacks);
  if (!options_.sends_settings) return;
  SubmitSettings();
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, options_.window_bytes);
}

H2Client::~H2Client() {
  nghttp2_session_del(session_);
  close(socket_);
}

// --- What is sent.

void H2Client::SubmitSettings() {
  const nghttp2_settings_entry window = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE,
                                         static_cast<std::uint32_t>(options_.window_bytes)};
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, &window, 1);
}

H2Client::Headers H2Client::CallHeaders(const std::string& path, const Headers& extra) {
  Headers headers = {{":method", "POST"},
                     {":scheme", "http"},
                     {":path", path},
                     {":authority", "test"},
                     {"content-type", "application/grpc"},
                     {"te", "trailers"}};
  for (const auto& [name, value] : extra) {
    const auto same = [&name = name](const auto& header) { return header.first == name; };
    headers.erase(std::remove_if(headers.begin(), headers.end(), same), headers.end());
    if (value.empty()) continue;
    // Pseudo headers come first.
    headers.insert(name[0] == ':' ? headers.begin() : headers.end(), {name, value});
  }
  return headers;
}

std::string H2Client::Frame(std::string_view message) {
  std::string framed(1, '\0');
  for (int shift = 24; shift >= 0; shift -= 8) {
    framed += static_cast<char>(message.size() >> shift & 0xff);
  }
  return framed.append(message);
}

std::int32_t H2Client::Open(const Headers& headers, std::string body, bool end) {
  std::vector<nghttp2_nv> list;
  list.reserve(headers.size());
  for (const auto& [name, value] : headers) list.push_back(ClientHeader(name, value));
  nghttp2_data_provider provider = {};
  provider.read_callback = Callbacks::ReadBody;
  const bool bodiless = body.empty() && end;
  const std::int32_t stream = nghttp2_submit_request(session_, nullptr, list.data(), list.size(),
                                                     bodiless ? nullptr : &provider, nullptr);
  RAFTKV_CHECK(stream > 0, stream);
  bodies_[stream] = {std::move(body), end, 0};
  answers_[stream];
  return stream;
}

void H2Client::Send(std::int32_t stream, std::string bytes, bool end) {
  Body& body = bodies_[stream];
  body.bytes += bytes;
  body.end = end;
  nghttp2_session_resume_data(session_, stream);
}

void H2Client::Reset(std::int32_t stream, std::uint32_t error) {
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream, error);
}

void H2Client::Ping() { nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr); }

void H2Client::Consent(std::int32_t stream, std::size_t bytes) {
  nghttp2_session_consume(session_, stream, bytes);
}

void H2Client::ConsentToConnection(std::size_t bytes) {
  nghttp2_session_consume_connection(session_, bytes);
}

void H2Client::SendRaw(std::string_view bytes) {
  Flush();
  while (!bytes.empty() && !over_) {
    pollfd polled = {.fd = socket_, .events = POLLOUT, .revents = 0};
    if (poll(&polled, 1, static_cast<int>(kPatience.count())) <= 0) return;
    const ssize_t sent = send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) over_ = true;
    if (sent > 0) bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

void H2Client::Flush() {
  while (!over_) {
    const std::uint8_t* bytes = nullptr;
    const ssize_t size = nghttp2_session_mem_send(session_, &bytes);
    if (size <= 0) return;
    std::string_view left(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
    while (!left.empty()) {
      const ssize_t sent = send(socket_, left.data(), left.size(), MSG_NOSIGNAL);
      if (sent > 0) left.remove_prefix(static_cast<std::size_t>(sent));
      if (sent >= 0) continue;
      if (errno != EAGAIN) {
        over_ = true;
        return;
      }
      pollfd polled = {.fd = socket_, .events = POLLOUT, .revents = 0};
      poll(&polled, 1, 10);
      Receive();  // or both sides might wait for one another
    }
  }
}

void H2Client::Receive() {
  std::array<std::uint8_t, 64 * 1024> buffer;
  const ssize_t size = recv(socket_, buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (size < 0 && errno == EAGAIN) return;
  if (size <= 0) {
    over_ = true;
    return;
  }
  ++reads_;
  const ssize_t used =
      nghttp2_session_mem_recv(session_, buffer.data(), static_cast<std::size_t>(size));
  if (used < 0) over_ = true;
}

bool H2Client::Wait(const std::function<bool()>& condition, milliseconds timeout) {
  const auto deadline = steady_clock::now() + timeout;
  while (true) {
    Flush();
    if (condition()) return true;
    const auto left = std::chrono::ceil<milliseconds>(deadline - steady_clock::now());
    if (over_ || left.count() <= 0) return false;
    pollfd polled = {.fd = socket_, .events = POLLIN, .revents = 0};
    if (poll(&polled, 1, static_cast<int>(std::min<std::int64_t>(left.count(), 20))) > 0) {
      Receive();
    }
  }
}

bool H2Client::WaitForEnd(milliseconds timeout) {
  Wait([this] { return over_; }, timeout);
  return over_;
}

H2Answer H2Client::Call(const std::string& path, std::string_view message, const Headers& extra) {
  const std::int32_t stream = Open(CallHeaders(path, extra), Frame(message), /*end=*/true);
  WaitClosed(stream);
  return answers_[stream];
}

std::uint32_t H2Client::setting(nghttp2_settings_id id) const {
  return nghttp2_session_get_remote_settings(session_, id);
}

}  // namespace raftkv::test
