// Who asks the nodes, how often, and what becomes of each request?
//
// Each client talks with one node and asks one thing at a time. One that gets no answer in time, or
// an error that leaves open what happened, is done for: another one with a new name takes its
// place.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "lib/base/random.h"
#include "tests/support/maelstrom/maelstrom_network.h"
#include "tests/support/maelstrom/maelstrom_workload.h"

namespace raftkv::test::maelstrom {

struct ClientOptions {
  std::size_t a_node = 3;
  /// Nodes that have clients, from the first on; 0: all.
  std::size_t nodes = 0;
  /// Requests a second to each node; 0: each client asks again at once.
  double rate = 30;
  Milliseconds timeout{1000};
  /// Stop after so many; 0: no bound.
  std::uint64_t most_requests = 0;
  std::uint64_t seed = 1;
};

struct Counts {
  std::uint64_t requests = 0;
  std::uint64_t ok = 0;
  std::uint64_t refused = 0;
  std::uint64_t failed = 0;
  std::uint64_t unknown = 0;
};

class Clients {
 public:
  struct EndedRequest {
    std::size_t node = 0;
    Time sent;
    bool reads = false;  ///< only
    Outcome outcome = Outcome::kUnknown;
  };
  /// A request has ended now.
  using Ended = std::function<void(const EndedRequest& request)>;

  Clients(ClientOptions options, Network& network, Workload& workload);

  void set_ended(Ended ended) { ended_ = std::move(ended); }
  /// They begin to ask. Events of the network's scheduler point to this object from here on.
  void Start();
  /// Nobody asks anything new.
  void Stop() { asking_ = false; }
  /// For a while.
  void SetPaused(bool paused) { paused_ = paused; }
  [[nodiscard]] bool Idle() const;
  /// As many as there may be have ended.
  [[nodiscard]] bool Done() const;
  /// Asks each node all of these, each by a client of its own and some at a time, until each is
  /// answered. What is not when the time is over is a problem.
  void AskAll(const std::vector<Json>& bodies, Milliseconds timeout);

  [[nodiscard]] const Counts& counts() const { return counts_; }
  /// How long those took that ended ok, in order.
  [[nodiscard]] std::vector<double> LatenciesMs() const;

 private:
  /// A place that is taken by one client after the other.
  struct Place {
    std::size_t node = 0;
    std::string client;
    bool busy = false;
    std::uint64_t request = 0;
    Time sent;
    bool reads = false;
  };
  /// One name that was ever used.
  struct Name {
    std::size_t place = 0;
    std::size_t node = 0;
    std::set<std::int64_t> unanswered;
    std::int64_t next = 1;
  };

  void Tick(std::size_t node);
  void AskAgain(std::size_t place);
  void AskUnanswered(const std::vector<Json>& bodies, std::size_t first);
  void Ask(std::size_t place, Json body);
  void Receive(std::size_t node, const std::string& client, const Json& body);
  void TimeOut(std::size_t place, std::uint64_t request);
  void End(std::size_t place, Outcome outcome);
  void Rename(std::size_t place);
  [[nodiscard]] std::uint64_t NowMs() const;

  const ClientOptions options_;
  Network& network_;
  Workload& workload_;
  Random random_;
  Ended ended_;
  const Time began_ = Clock::now();
  std::vector<Place> places_;
  std::map<std::string, Name> names_;
  bool asking_ = false;
  bool paused_ = false;
  Counts counts_;
  std::vector<double> latencies_ms_;
  // Of AskAll.
  std::set<std::size_t> unanswered_;  ///< places
  std::map<std::size_t, Time>
      not_before_;  ///< by node: after an error it is left alone for a while
};

}  // namespace raftkv::test::maelstrom
