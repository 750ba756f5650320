// How long do a disk sync and a round trip take here, without which no write can be acknowledged?
// The measure for the latency goal: fdatasync of a 4 KiB append to a growing file, and a round trip
// of a small message over loopback TCP between two threads.
// usage: bench_sync_probe FILE SECONDS     (FILE is made and removed)
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "cmd/histogram.h"
#include "lib/base/check.h"

namespace {

using raftkv::cmd::Histogram;
using std::chrono::steady_clock;

constexpr std::size_t kMessageBytes = 300;  // a put of 256 bytes, about

template <class Work>
void Repeat(std::chrono::milliseconds duration, Histogram& histogram, const Work& work) {
  const auto end = steady_clock::now() + duration;
  for (auto start = steady_clock::now(); start < end;) {
    work();
    const auto now = steady_clock::now();
    histogram.Record(static_cast<std::uint64_t>((now - start).count()));
    start = now;
  }
}

void MeasureSync(const char* path, std::chrono::milliseconds duration, Histogram& histogram) {
  const int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
  RAFTKV_CHECK(file >= 0, path);
  const std::string block(4096, 'x');
  Repeat(duration, histogram, [&] {
    RAFTKV_CHECK(write(file, block.data(), block.size()) == static_cast<ssize_t>(block.size()));
    RAFTKV_CHECK(fdatasync(file) == 0);
  });
  close(file);
  unlink(path);
}

void Transfer(int socket, std::array<char, kMessageBytes>& message, bool sends) {
  std::size_t done = 0;
  while (done < message.size()) {
    const ssize_t count = sends ? send(socket, message.data() + done, message.size() - done, 0)
                                : recv(socket, message.data() + done, message.size() - done, 0);
    if (count <= 0) {
      RAFTKV_CHECK(!sends);  // the other end has finished
      message[0] = '\0';
      return;
    }
    done += static_cast<std::size_t>(count);
  }
}

// Both ends of a loopback connection.
std::pair<int, int> Connection() {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  RAFTKV_CHECK(bind(listener, generic, size) == 0 && listen(listener, 1) == 0);
  RAFTKV_CHECK(getsockname(listener, generic, &size) == 0);
  const int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  RAFTKV_CHECK(connect(client, generic, size) == 0);
  const int server = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  RAFTKV_CHECK(server >= 0);
  close(listener);
  const int on = 1;
  for (const int end : {client, server}) {
    setsockopt(end, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  }
  return {client, server};
}

void MeasureRoundTrip(std::chrono::milliseconds duration, Histogram& histogram) {
  const auto [client, server] = Connection();
  std::thread echo([server = server] {
    std::array<char, kMessageBytes> message{};
    for (Transfer(server, message, false); message[0] != '\0'; Transfer(server, message, false)) {
      Transfer(server, message, true);
    }
  });
  std::array<char, kMessageBytes> message{};
  message.fill('x');
  Repeat(duration, histogram, [&, client = client] {
    Transfer(client, message, true);
    Transfer(client, message, false);
  });
  shutdown(client, SHUT_RDWR);
  echo.join();
  close(client);
  close(server);
}

}  // namespace

int main(int argc, char** argv) {
  int seconds = 0;
  if (argc == 3) std::from_chars(argv[2], argv[2] + std::string_view(argv[2]).size(), seconds);
  if (seconds <= 0) {
    std::cerr << "usage: bench_sync_probe FILE SECONDS" << std::endl;
    return 128;
  }
  const std::chrono::milliseconds half(seconds * 500);
  const auto sync = std::make_unique<Histogram>();
  const auto round_trip = std::make_unique<Histogram>();
  MeasureSync(argv[1], half, *sync);
  MeasureRoundTrip(half, *round_trip);
  std::printf(R"({"sync_p50_ms":%.4f,"round_trip_p50_ms":%.4f})"
              "\n",
              static_cast<double>(sync->Quantile(0.5)) / 1e6,
              static_cast<double>(round_trip->Quantile(0.5)) / 1e6);
  return 0;
}
