// How does a test speak gRPC over HTTP/2 to a port, as a client does or as none should?
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nghttp2/nghttp2.h>

namespace raftkv::test {

struct H2Options {
  /// Of each stream and of the connection: what the server may send without our consent.
  std::int32_t window_bytes = 64 << 20;
  /// Consent to more as it arrives.
  bool reads = true;
  /// Answer pings.
  bool answers_pings = true;
  bool sends_settings = true;
};

/// What has arrived on one stream so far.
struct H2Answer {
  std::map<std::string, std::string> headers;
  std::map<std::string, std::string> trailers;
  std::string data;
  bool closed = false;
  std::uint32_t error = 0;  ///< of a reset

  [[nodiscard]] std::string status() const { return Find(headers, ":status"); }
  /// In the trailers, or in the headers where there are no others.
  [[nodiscard]] std::string grpc_status() const { return FindEither("grpc-status"); }
  [[nodiscard]] std::string grpc_message() const { return FindEither("grpc-message"); }
  /// The messages in `data` that are complete.
  [[nodiscard]] std::vector<std::string> messages() const;

 private:
  static std::string Find(const std::map<std::string, std::string>& in, const std::string& name);
  [[nodiscard]] std::string FindEither(const std::string& name) const;
};

/// A connection, used from one thread. Nothing here waits for longer than its timeout.
class H2Client {
 public:
  using Headers = std::vector<std::pair<std::string, std::string>>;
  static constexpr std::chrono::milliseconds kPatience{20'000};

  /// To "127.0.0.1:PORT".
  explicit H2Client(const std::string& address, H2Options options = {});
  ~H2Client();
  H2Client(const H2Client&) = delete;
  H2Client& operator=(const H2Client&) = delete;

  /// The headers of a gRPC call of `path`; `extra` replaces those of the same name, and leaves out
  /// those that it has without a value.
  static Headers CallHeaders(const std::string& path, const Headers& extra = {});
  /// `message` as gRPC frames it.
  static std::string Frame(std::string_view message);

  /// Opens a stream; `body` follows the headers. Nothing is sent before the next Pump or Wait.
  std::int32_t Open(const Headers& headers, std::string body, bool end);
  /// More of the body.
  void Send(std::int32_t stream, std::string bytes, bool end);
  void Reset(std::int32_t stream, std::uint32_t error);
  void Ping();
  void SubmitSettings();
  /// Consents to `bytes` more of a stream.
  void Consent(std::int32_t stream, std::size_t bytes);
  /// And of the connection alone.
  void ConsentToConnection(std::size_t bytes);
  /// Bytes that nghttp2 would not send.
  void SendRaw(std::string_view bytes);

  /// Opens a call with one message, and waits until it is over.
  H2Answer Call(const std::string& path, std::string_view message, const Headers& extra = {});

  /// Sends and receives until `condition` holds; false: it did not in time, or the connection
  /// ended.
  bool Wait(const std::function<bool()>& condition, std::chrono::milliseconds timeout = kPatience);
  bool WaitClosed(std::int32_t stream) {
    return Wait([&] { return answers_[stream].closed; });
  }
  bool WaitForEnd(std::chrono::milliseconds timeout = kPatience);

  [[nodiscard]] H2Answer& answer(std::int32_t stream) { return answers_[stream]; }
  /// The other side has closed the connection.
  [[nodiscard]] bool over() const { return over_; }
  /// The error code of a GOAWAY that has come.
  [[nodiscard]] std::optional<std::uint32_t> goaway() const { return goaway_; }
  [[nodiscard]] int pings() const { return pings_; }
  [[nodiscard]] int ping_answers() const { return ping_answers_; }
  [[nodiscard]] int resets() const { return resets_; }
  /// How many reads from the socket brought something.
  [[nodiscard]] int reads() const { return reads_; }
  /// The server's SETTINGS.
  [[nodiscard]] std::uint32_t setting(nghttp2_settings_id id) const;

 private:
  struct Body {
    std::string bytes;
    bool end = false;
    std::size_t sent = 0;
  };
  struct Callbacks;  // what nghttp2 calls

  void Flush();
  void Receive();

  const H2Options options_;
  int socket_ = -1;
  nghttp2_session* session_ = nullptr;
  std::map<std::int32_t, H2Answer> answers_;
  std::map<std::int32_t, Body> bodies_;
  bool over_ = false;
  std::optional<std::uint32_t> goaway_;
  int pings_ = 0;
  int ping_answers_ = 0;
  int resets_ = 0;
  int reads_ = 0;
};

}  // namespace raftkv::test
