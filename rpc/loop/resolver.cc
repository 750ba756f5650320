#include "rpc/loop/resolver.h"

#include <signal.h>
#include <string.h>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include <kj/debug.h>

namespace raftkv::rpc {
namespace {

/// Names that are looked up at once. A cluster has 64 members at most.
constexpr std::size_t kMaxNames = 128;
/// Askers of one name.
constexpr std::size_t kMaxWaiting = 64;

struct Answer {
  std::vector<SocketAddress> addresses;
  std::string problem;
};
using Fulfiller = kj::Own<kj::CrossThreadPromiseFulfiller<std::vector<SocketAddress>>>;

std::atomic<LookUp> g_look_up{nullptr};

/// Never destroyed: a thread may hang in the resolver while the process ends.
struct LookUps {
  std::mutex mutex;
  std::map<std::pair<std::string, std::string>, std::vector<Fulfiller>>
      waiting;  // guarded by mutex
};
LookUps& TheLookUps() {
  static auto* const lookups = new LookUps();
  return *lookups;
}

Answer LookUpNow(const std::string& host, const std::string& port, int flags) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | flags;
  const LookUp replaced = g_look_up.load();
  const LookUp look_up = replaced != nullptr && flags == 0 ? replaced : &getaddrinfo;
  addrinfo* found = nullptr;
  Answer answer;
  if (const int failed = look_up(host.c_str(), port.c_str(), &hints, &found); failed != 0) {
    answer.problem = failed == EAI_SYSTEM ? strerror(errno) : gai_strerror(failed);
    return answer;
  }
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    if (one->ai_addrlen > sizeof(sockaddr_storage)) continue;
    SocketAddress address;
    memcpy(&address.storage, one->ai_addr, one->ai_addrlen);
    address.size = one->ai_addrlen;
    answer.addresses.push_back(address);
  }
  freeaddrinfo(found);
  if (answer.addresses.empty()) answer.problem = "it has no address";
  return answer;
}

kj::Exception Unresolved(const std::string& host, const std::string& problem) {
  return {kj::Exception::Type::FAILED, __FILE__, __LINE__,
          kj::str("cannot look up '", host.c_str(), "': ", problem.c_str())};
}

void LookUpForAll(const std::string& host, const std::string& port) {
  Answer answer = LookUpNow(host, port, 0);
  std::vector<Fulfiller> waiting;
  {
    LookUps& lookups = TheLookUps();
    const std::lock_guard lock(lookups.mutex);
    waiting = std::move(lookups.waiting.extract({host, port}).mapped());
  }
  for (Fulfiller& fulfiller : waiting) {
    if (answer.problem.empty()) {
      fulfiller->fulfill(std::vector<SocketAddress>(answer.addresses));
    } else {
      fulfiller->reject(Unresolved(host, answer.problem));
    }
  }
}

/// Empty, or why there is no thread.
std::string StartLookUp(const std::string& host, const std::string& port) {
  std::string problem;
  // It takes no signal that is meant for the host: it inherits a full mask.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    std::thread([host, port] { LookUpForAll(host, port); }).detach();
  } catch (const std::system_error& error) {
    problem = std::string("no thread: ") + error.what();
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return problem;
}

}  // namespace

kj::Promise<std::vector<SocketAddress>> Resolve(const std::string& host, std::uint16_t number) {
  const std::string port = std::to_string(number);
  if (Answer numeric = LookUpNow(host, port, AI_NUMERICHOST); numeric.problem.empty()) {
    return std::move(numeric.addresses);
  }
  auto pair = kj::newPromiseAndCrossThreadFulfiller<std::vector<SocketAddress>>();
  LookUps& lookups = TheLookUps();
  const std::lock_guard lock(lookups.mutex);
  const auto [it, first] = lookups.waiting.try_emplace({host, port});
  std::string problem;
  if (lookups.waiting.size() > kMaxNames) problem = "too many names wait for the resolver";
  std::erase_if(it->second, [](const Fulfiller& fulfiller) { return !fulfiller->isWaiting(); });
  if (it->second.size() >= kMaxWaiting) problem = "the resolver does not answer";
  if (problem.empty() && first) problem = StartLookUp(host, port);
  if (!problem.empty()) {
    if (first) lookups.waiting.erase(it);
    return Unresolved(host, problem);
  }
  it->second.push_back(kj::mv(pair.fulfiller));
  return kj::mv(pair.promise);
}

void SetLookUp(LookUp look_up) { g_look_up.store(look_up); }

}  // namespace raftkv::rpc
