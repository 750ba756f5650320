#include "tests/support/maelstrom/maelstrom_clients.h"

#include <algorithm>
#include <utility>

#include "lib/base/check.h"

namespace raftkv::test::maelstrom {

Clients::Clients(ClientOptions options, Network& network, Workload& workload)
    : options_(options), network_(network), workload_(workload), random_(options.seed) {
  RAFTKV_CHECK(options_.nodes <= network_.size(), options_.nodes);
  const std::size_t nodes = options_.nodes == 0 ? network_.size() : options_.nodes;
  for (std::size_t i = 0; i < nodes * options_.a_node; ++i) {
    places_.emplace_back().node = i % nodes;
    Rename(i);
  }
  network_.set_receive([this](std::size_t node, const std::string& client, const Json& body) {
    Receive(node, client, body);
  });
}

std::uint64_t Clients::NowMs() const {
  const auto since = std::chrono::duration_cast<Milliseconds>(Clock::now() - began_);
  return static_cast<std::uint64_t>(since.count());
}

void Clients::Start() {
  asking_ = true;
  if (options_.rate == 0) {
    for (std::size_t place = 0; place < places_.size(); ++place) AskAgain(place);
    return;
  }
  std::set<std::size_t> nodes;
  for (const Place& place : places_) nodes.insert(place.node);
  for (const std::size_t node : nodes) Tick(node);
}

void Clients::Tick(std::size_t node) {
  if (!asking_) return;
  // From a half to one and a half of the time between two.
  const double share = 0.5 + static_cast<double>(random_.Below(1000)) / 1000;
  const auto pause = std::chrono::duration<double>(share / options_.rate);
  network_.scheduler().After(std::chrono::duration_cast<Clock::duration>(pause),
                             [this, node] { Tick(node); });
  if (paused_ || !network_.IsUp(node)) return;
  std::vector<std::size_t> idle;
  for (std::size_t i = 0; i < places_.size(); ++i) {
    if (places_[i].node == node && !places_[i].busy) idle.push_back(i);
  }
  if (!idle.empty()) Ask(idle[random_.Below(idle.size())], workload_.Draw(random_));
}

void Clients::AskAgain(std::size_t place) {
  if (!asking_ || place >= places_.size() ||
      (options_.most_requests != 0 && counts_.requests >= options_.most_requests)) {
    return;
  }
  if (!paused_ && network_.IsUp(places_[place].node)) return Ask(place, workload_.Draw(random_));
  constexpr Milliseconds kPause{20};
  network_.scheduler().After(kPause, [this, place] { AskAgain(place); });
}

void Clients::Ask(std::size_t place, Json body) {
  Place& asker = places_[place];
  RAFTKV_CHECK(!asker.busy, place);
  Name& name = names_.at(asker.client);
  const std::int64_t msg_id = name.next++;
  name.unanswered.insert(msg_id);
  ++counts_.requests;
  asker.busy = true;
  asker.request = workload_.Ask(static_cast<std::uint32_t>(place), NowMs(), body);
  asker.sent = Clock::now();
  asker.reads = body.at("type") == "read";
  network_.scheduler().After(options_.timeout,
                             [this, place, request = asker.request] { TimeOut(place, request); });
  body["msg_id"] = msg_id;
  network_.Send(asker.client, asker.node, std::move(body));
}

void Clients::Receive(std::size_t node, const std::string& client, const Json& body) {
  const auto name = names_.find(client);
  const bool is_answer =
      name != names_.end() && name->second.node == node && body.contains("in_reply_to") &&
      body["in_reply_to"].is_number_integer() &&
      name->second.unanswered.erase(body["in_reply_to"].get<std::int64_t>()) == 1;
  if (!is_answer) {
    return network_.Report(Network::name(node) + " answered " + client +
                           " what was not asked, or again: " + body.dump());
  }
  const std::size_t place = name->second.place;
  if (place >= places_.size() || places_[place].client != client)
    return;  // too late: what it asked is of unknown fate
  RAFTKV_CHECK(places_[place].busy, client);
  End(place, workload_.Answer(places_[place].request, NowMs(), body));
}

void Clients::TimeOut(std::size_t place, std::uint64_t request) {
  if (place >= places_.size()) return;
  if (!places_[place].busy || places_[place].request != request) return;
  workload_.GiveUp(request, NowMs());
  End(place, Outcome::kUnknown);
}

void Clients::End(std::size_t place, Outcome outcome) {
  Place& ended = places_[place];
  ended.busy = false;
  switch (outcome) {
    case Outcome::kOk: ++counts_.ok; break;
    case Outcome::kRefused: ++counts_.refused; break;
    case Outcome::kFailed: ++counts_.failed; break;
    case Outcome::kUnknown: ++counts_.unknown; break;
  }
  if (outcome == Outcome::kOk) {
    const std::chrono::duration<double, std::milli> took = Clock::now() - ended.sent;
    latencies_ms_.push_back(took.count());
  }
  if (outcome == Outcome::kUnknown) Rename(place);
  if (ended_) {
    ended_({.node = ended.node, .sent = ended.sent, .reads = ended.reads, .outcome = outcome});
  }
  if (outcome == Outcome::kOk || outcome == Outcome::kRefused) {
    unanswered_.erase(place);
  } else if (!unanswered_.empty()) {
    constexpr Milliseconds kPause{50};
    not_before_[ended.node] = Clock::now() + kPause;
    network_.scheduler().At(not_before_[ended.node], [] {});  // somebody looks again then
  }
  // From the scheduler: a node that answers at once must not make the stack grow.
  if (options_.rate == 0) {
    network_.scheduler().After(Milliseconds(0), [this, place] { AskAgain(place); });
  }
}

void Clients::Rename(std::size_t place) {
  places_[place].client = "c" + std::to_string(names_.size() + 1);
  Name& name = names_[places_[place].client];
  name.place = place;
  name.node = places_[place].node;
}

bool Clients::Idle() const {
  return std::none_of(places_.begin(), places_.end(), [](const Place& each) { return each.busy; });
}

bool Clients::Done() const {
  return options_.most_requests != 0 && counts_.requests >= options_.most_requests && Idle();
}

void Clients::AskAll(const std::vector<Json>& bodies, Milliseconds timeout) {
  RAFTKV_CHECK(!asking_);
  RAFTKV_CHECK(Idle());
  const std::size_t first = places_.size();
  for (std::size_t i = 0; i < network_.size() * bodies.size(); ++i) {
    unanswered_.insert(places_.size());
    places_.emplace_back().node = i % network_.size();
    Rename(first + i);
  }
  network_.RunUntil(Clock::now() + timeout, [&] {
    AskUnanswered(bodies, first);
    return unanswered_.empty();
  });
  for (const std::size_t place : std::exchange(unanswered_, {})) {
    network_.Report(Network::name(places_[place].node) + " did not answer in the end: " +
                    bodies[(place - first) / network_.size()].dump());
  }
  network_.RunUntil(Clock::now() + timeout, [this] { return Idle(); });
  places_.resize(first);
}

void Clients::AskUnanswered(const std::vector<Json>& bodies, std::size_t first) {
  constexpr std::size_t kAtATime = 32;
  std::map<std::size_t, std::size_t> asking;
  for (const std::size_t place : unanswered_) asking[places_[place].node] += places_[place].busy;
  for (const std::size_t place : unanswered_) {
    const std::size_t node = places_[place].node;
    const bool may = network_.IsUp(node) && Clock::now() >= not_before_[node];
    if (!may || places_[place].busy || asking[node] >= kAtATime) continue;
    ++asking[node];
    Ask(place, bodies[(place - first) / network_.size()]);
  }
}

std::vector<double> Clients::LatenciesMs() const {
  std::vector<double> sorted = latencies_ms_;
  std::sort(sorted.begin(), sorted.end());
  return sorted;
}

}  // namespace raftkv::test::maelstrom
