#include "rpc/loop/resolver.h"

#include <string.h>

#include <atomic>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <utility>

#include <kj/debug.h>

#include "lib/base/mutex.h"
#include "lib/base/thread.h"

namespace raftkv::rpc {
namespace {

/// Names being looked up at a time. A cluster has 64 members at most.
constexpr std::size_t kMaxNames = 128;
/// Callers waiting for one name.
constexpr std::size_t kMaxWaiting = 64;

struct Answer {
  std::vector<SocketAddress> addresses;
  std::string problem;
};
/// A waiting caller.
struct Asker {
  std::function<void(const Answer&)> tell;
  std::function<bool()> waits;
};

std::atomic<LookUp> g_look_up{nullptr};

/// Never destroyed: a thread may hang in the resolver while the process ends.
struct LookUps {
  Mutex mutex;
  std::map<std::pair<std::string, std::string>, std::vector<Asker>> waiting
      RAFTKV_GUARDED_BY(mutex);
};
LookUps& TheLookUps() {
  static auto* const lookups = new LookUps();
  return *lookups;
}

Answer LookUpNow(const std::string& host, const std::string& port, int flags) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  // Passive: no host at all stands for every address of this machine.
  hints.ai_flags = AI_NUMERICSERV | AI_PASSIVE | flags;
  const LookUp replaced = g_look_up.load();
  const LookUp look_up = replaced != nullptr && flags == 0 ? replaced : &getaddrinfo;
  addrinfo* found = nullptr;
  Answer answer;
  if (const int failed =
          look_up(host.empty() ? nullptr : host.c_str(), port.c_str(), &hints, &found);
      failed != 0) {
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
  const Answer answer = LookUpNow(host, port, 0);
  std::vector<Asker> waiting;
  {
    LookUps& lookups = TheLookUps();
    const MutexLock lock(lookups.mutex);
    waiting = std::move(lookups.waiting.extract({host, port}).mapped());
  }
  for (const Asker& asker : waiting) asker.tell(answer);
}

/// Empty, or why there is no thread.
std::string StartLookUp(const std::string& host, const std::string& port) {
  Result<std::thread> thread =
      StartThread("raftkv-resolver", [host, port] { LookUpForAll(host, port); });
  if (!thread.ok()) return thread.status().message();
  thread->detach();
  return {};
}

/// Empty: `asker` will be called, on another thread; otherwise why not.
std::string Ask(const std::string& host, const std::string& port, Asker asker) {
  LookUps& lookups = TheLookUps();
  const MutexLock lock(lookups.mutex);
  const auto [it, first] = lookups.waiting.try_emplace({host, port});
  std::string problem;
  if (lookups.waiting.size() > kMaxNames) problem = "too many names are waiting for the resolver";
  std::erase_if(it->second, [](const Asker& other) { return !other.waits(); });
  if (it->second.size() >= kMaxWaiting) problem = "the resolver does not respond";
  if (problem.empty() && first) problem = StartLookUp(host, port);
  if (problem.empty()) {
    it->second.push_back(std::move(asker));
  } else if (first) {
    lookups.waiting.erase(it);
  }
  return problem;
}

}  // namespace

kj::Promise<std::vector<SocketAddress>> Resolve(const std::string& host, std::uint16_t number) {
  const std::string port = std::to_string(number);
  if (Answer numeric = LookUpNow(host, port, AI_NUMERICHOST); numeric.problem.empty()) {
    return std::move(numeric.addresses);
  }
  using Fulfiller = kj::Own<kj::CrossThreadPromiseFulfiller<std::vector<SocketAddress>>>;
  auto pair = kj::newPromiseAndCrossThreadFulfiller<std::vector<SocketAddress>>();
  // Shared: a std::function must be one that could be copied.
  const auto fulfiller = std::make_shared<Fulfiller>(kj::mv(pair.fulfiller));
  Asker asker;
  asker.waits = [fulfiller] { return (*fulfiller)->isWaiting(); };
  asker.tell = [fulfiller, host](const Answer& answer) {
    if (answer.problem.empty()) {
      (*fulfiller)->fulfill(std::vector<SocketAddress>(answer.addresses));
    } else {
      (*fulfiller)->reject(Unresolved(host, answer.problem));
    }
  };
  if (const std::string problem = Ask(host, port, std::move(asker)); !problem.empty()) {
    return Unresolved(host, problem);
  }
  return kj::mv(pair.promise);
}

Result<std::vector<SocketAddress>> ResolveWithin(const std::string& host, std::uint16_t number,
                                                 Duration timeout) {
  const std::string port = std::to_string(number);
  if (Answer numeric = LookUpNow(host, port, AI_NUMERICHOST); numeric.problem.empty()) {
    return std::move(numeric.addresses);
  }
  const auto told = std::make_shared<std::promise<Answer>>();
  auto answer = told->get_future();
  const auto waits = std::make_shared<std::atomic<bool>>(true);
  Asker asker;
  asker.waits = [waits] { return waits->load(); };
  asker.tell = [told](const Answer& found) { told->set_value(found); };
  std::string problem = Ask(host, port, std::move(asker));
  if (!problem.empty()) return Status(Code::kUnavailable, problem);
  if (answer.wait_for(timeout) != std::future_status::ready) {
    waits->store(false);
    return Status(Code::kUnavailable, "the resolver does not respond");
  }
  Answer found = answer.get();
  if (!found.problem.empty()) return Status(Code::kInvalidArgument, found.problem);
  return std::move(found.addresses);
}

void SetLookUp(LookUp look_up) { g_look_up.store(look_up); }

}  // namespace raftkv::rpc
