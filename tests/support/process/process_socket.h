// How does a test speak to a server's port as a stranger: garbage, nothing at all, or plain HTTP?
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace raftkv::test {

/// A TCP connection. Nothing here waits for longer than its timeout.
class RawConnection {
 public:
  /// To "127.0.0.1:PORT"; connected() is false if nobody listens.
  explicit RawConnection(const std::string& address);
  RawConnection(RawConnection&& other) noexcept : socket_(other.socket_) { other.socket_ = -1; }
  RawConnection& operator=(RawConnection&&) = delete;
  ~RawConnection();

  [[nodiscard]] bool connected() const { return socket_ >= 0; }
  /// False if the other end has closed it, or takes nothing.
  bool Send(std::string_view bytes, std::chrono::milliseconds timeout);
  /// Everything up to the other end's close; nothing if it does not close in time.
  std::optional<std::string> ReadToEnd(std::chrono::milliseconds timeout);

 private:
  int socket_ = -1;
};

/// A listening socket that keeps a port busy.
class BusyPort {
 public:
  BusyPort();
  ~BusyPort();
  BusyPort(const BusyPort&) = delete;
  BusyPort& operator=(const BusyPort&) = delete;
  [[nodiscard]] const std::string& address() const { return address_; }

 private:
  int socket_ = -1;
  std::string address_;
};

struct HttpAnswer {
  int status = 0;  ///< 0: no answer
  std::string headers;
  std::string body;
};
HttpAnswer HttpGet(const std::string& address, const std::string& path);

}  // namespace raftkv::test
