// How long do a disk sync and a round trip take here, without which no write can be acknowledged?
//
// The sync: fdatasync of a 4 KiB append to a growing file. The round trip: a small message over
// loopback TCP between two processes which, like a server, sleep in epoll until something comes.
// What a round trip takes depends on where the two ends run, by a factor of ten on some machines,
// so it is measured in each way:
//   round_trip     wherever the system puts them, one after the other (the one of the goal)
//   after_sync     the same, but both sleep through a sync between two of them, as members do
//   one_core       both on one core: no other core has to be woken
//   two_cores      each on its own; left out where there is but one
// usage: bench_sync_probe FILE SECONDS     (FILE is made and removed)
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cmd/histogram.h"
#include "lib/base/check.h"

namespace {

using raftkv::cmd::Histogram;
using std::chrono::steady_clock;

constexpr std::size_t kMessageBytes = 300;  // a put of 256 bytes, about

/// Records how long `work` takes, again and again; `between` is not counted.
void Repeat(
    std::chrono::milliseconds duration, Histogram& histogram, const std::function<void()>& work,
    const std::function<void()>& between = [] {}) {
  const auto end = steady_clock::now() + duration;
  for (auto start = steady_clock::now(); start < end; start = steady_clock::now()) {
    work();
    histogram.Record(static_cast<std::uint64_t>((steady_clock::now() - start).count()));
    between();
  }
}

/// A file that grows by a synced block at a time.
class SyncedFile {
 public:
  explicit SyncedFile(const char* path)
      : path_(path), file_(open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644)) {
    RAFTKV_CHECK(file_ >= 0, path);
  }
  ~SyncedFile() {
    close(file_);
    unlink(path_);
  }
  SyncedFile(const SyncedFile&) = delete;
  SyncedFile& operator=(const SyncedFile&) = delete;

  void Append() {
    RAFTKV_CHECK(write(file_, block_.data(), block_.size()) == static_cast<ssize_t>(block_.size()));
    RAFTKV_CHECK(fdatasync(file_) == 0);
  }

 private:
  const char* const path_;
  const int file_;
  const std::string block_ = std::string(4096, 'x');
};

void SendAll(int socket, const std::array<char, kMessageBytes>& message) {
  // A loopback socket with nothing else in it takes a small message whole.
  RAFTKV_CHECK(send(socket, message.data(), message.size(), MSG_NOSIGNAL) ==
               static_cast<ssize_t>(message.size()));
}

/// Sleeps until the whole message has come; false: the other end has closed.
bool ReceiveAll(int epoll, int socket, std::array<char, kMessageBytes>& message) {
  std::size_t done = 0;
  while (done < message.size()) {
    epoll_event event = {};
    if (epoll_wait(epoll, &event, 1, -1) < 1) continue;
    const ssize_t count = recv(socket, message.data() + done, message.size() - done, 0);
    if (count <= 0) return false;
    done += static_cast<std::size_t>(count);
  }
  return true;
}

int EpollOf(int socket) {
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  epoll_event event = {};
  event.events = EPOLLIN;
  RAFTKV_CHECK(epoll >= 0);
  RAFTKV_CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, socket, &event) == 0);
  return epoll;
}

std::vector<int> Cores() {
  cpu_set_t set;
  RAFTKV_CHECK(sched_getaffinity(0, sizeof set, &set) == 0);
  std::vector<int> cores;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &set)) cores.push_back(core);
  }
  return cores;
}

void RunOn(const std::vector<int>& cores) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int core : cores) CPU_SET(core, &set);
  RAFTKV_CHECK(sched_setaffinity(0, sizeof set, &set) == 0);
}

// Both ends of a loopback connection.
std::pair<int, int> Connection() {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  RAFTKV_CHECK(bind(listener, generic, size) == 0);
  RAFTKV_CHECK(listen(listener, 1) == 0);
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

/// Where the two ends run.
struct Placement {
  std::vector<int> client;
  std::vector<int> server;
};

[[noreturn]] void Echo(int socket, const std::vector<int>& cores) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  RunOn(cores);
  const int epoll = EpollOf(socket);
  std::array<char, kMessageBytes> message{};
  while (ReceiveAll(epoll, socket, message)) SendAll(socket, message);
  _exit(0);
}

double RoundTripMs(
    std::chrono::milliseconds duration, const Placement& placement,
    const std::function<void()>& between = [] {}) {
  const auto before = Cores();
  const auto [client, server] = Connection();
  const pid_t echo = fork();
  RAFTKV_CHECK(echo >= 0);
  if (echo == 0) {
    close(client);
    Echo(server, placement.server);
  }
  close(server);
  RunOn(placement.client);
  const int epoll = EpollOf(client);
  const auto histogram = std::make_unique<Histogram>();
  std::array<char, kMessageBytes> message{};
  message.fill('x');
  Repeat(
      duration, *histogram,
      [&, client = client] {
        SendAll(client, message);
        RAFTKV_CHECK(ReceiveAll(epoll, client, message));
      },
      between);
  close(epoll);
  close(client);
  RAFTKV_CHECK(waitpid(echo, nullptr, 0) == echo);
  RunOn(before);
  return static_cast<double>(histogram->Quantile(0.5)) / 1e6;
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
  const std::chrono::milliseconds part = half / 4;
  const std::vector<int> all = Cores();
  SyncedFile file(argv[1]);
  const auto sync = std::make_unique<Histogram>();
  Repeat(half, *sync, [&] { file.Append(); });
  std::printf(R"({"sync_p50_ms":%.4f,"round_trip_p50_ms":%.4f,"after_sync_p50_ms":%.4f,)"
              R"("one_core_p50_ms":%.4f)",
              static_cast<double>(sync->Quantile(0.5)) / 1e6, RoundTripMs(part, {all, all}),
              RoundTripMs(part, {all, all}, [&] { file.Append(); }),
              RoundTripMs(part, {{all[0]}, {all[0]}}));
  if (all.size() > 1) {
    std::printf(R"(,"two_cores_p50_ms":%.4f)", RoundTripMs(part, {{all[0]}, {all[1]}}));
  }
  std::printf("}\n");
  return 0;
}
