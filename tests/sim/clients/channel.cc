#include "tests/sim/clients/channel.h"

#include <algorithm>
#include <utility>

#include "lib/kv/request.h"
#include "tests/sim/world.h"

namespace raftkv::sim {

// --- The loop.

MonoTime SimLoop::Now() { return MonoTime(Duration(world_.now() + kSecond)); }

void SimLoop::At(MonoTime when, OnceFunction<void()> work) {
  world_.At(std::max<Nanos>(0, (when - Now()).count()), std::move(work));
}

void SimLoop::RunPosted() {
  while (!posted_.empty()) {
    OnceFunction<void()> work = std::move(posted_.front());
    posted_.pop_front();
    work();
  }
}

// --- The channel.

SimChannel::SimChannel(World& world, std::string name, const SimChannelOptions& options)
    : world_(world),
      name_(std::move(name)),
      options_(options),
      current_(options_.chance.Below(world_.hosts().size())) {}

Nanos SimChannel::Delay() { return world_.network().Delay(options_.delays); }

SimChannel::Attempt* SimChannel::Find(std::uint64_t number) {
  for (Attempt& attempt : attempts_) {
    if (attempt.number == number) return &attempt;
  }
  return nullptr;
}

void SimChannel::Begin(bool write, MonoTime deadline, Ask ask, End end) {
  auto place = std::find_if(attempts_.begin(), attempts_.end(),
                            [](const Attempt& attempt) { return attempt.number == 0; });
  if (place == attempts_.end()) place = attempts_.emplace(attempts_.end());
  const std::uint64_t number = next_number_++;
  const Nanos end_at = deadline.time_since_epoch().count() - kSecond;
  *place = Attempt{number, current_, write, false, std::move(end), std::move(ask)};
  world_.At(Delay(), [this, number] { Arrive(number); });
  world_.At(std::max<Nanos>(0, end_at - world_.now()), [this, number] { Lost(number); });
}

void SimChannel::Arrive(std::uint64_t number) {
  Attempt* const attempt = Find(number);
  if (attempt == nullptr || blocked_[attempt->host] > 0) return;
  Host& host = world_.host(attempt->host);
  if (!host.running()) {
    world_.At(Delay(), [this, number] { Lost(number); });
    return;
  }
  attempt->sent = true;
  if (world_.tracing())
    world_.Trace("%s: attempt %llu reaches %s", name_.c_str(),
                 static_cast<unsigned long long>(number), host.name.c_str());
  world_.OnHost(host, [this, number, &host] {
    Attempt* const open = Find(number);
    if (open == nullptr) return;
    const Ask ask = open->ask;
    const auto answered = NoteAsked(host);
    ask(host, [this, number, &host, epoch = host.epoch, answered](const Answer& answer) {
      *answered = true;
      if (host.epoch == epoch && host.running()) Answered(number, host, answer);
    });
  });
}

std::shared_ptr<bool> SimChannel::NoteAsked(const Host& host) {
  if (asked_.size() >= prune_at_) {
    std::erase_if(asked_, [](const Asked& asked) { return !asked.Open(); });
    prune_at_ = 2 * asked_.size() + 64;
  }
  asked_.push_back({&host, host.epoch, std::make_shared<bool>(false)});
  return asked_.back().answered;
}

bool SimChannel::AllAnswered() const {
  return std::none_of(asked_.begin(), asked_.end(),
                      [](const Asked& asked) { return asked.Open() && asked.host->running(); });
}

void SimChannel::Answered(std::uint64_t number, Host& host, const Answer& answer) {
  if (Find(number) == nullptr || blocked_[host.index] > 0) return;
  Random& random = options_.chance;
  if (!world_.calm() && Chance(random, options_.drop_answer_ppm)) {
    world_.Count(Fault::kAnswerDropped);
    world_.At(Delay(), [this, number] { Lost(number); });
    return;
  }
  const Host* const leader = world_.FindHost(host.process->member().leader());
  const bool follow = leader != nullptr && Chance(random, options_.follow_leader_ppm);
  const std::size_t next = follow ? leader->index : host.index;
  world_.At(Delay(), [this, number, next, answer] {
    if (Find(number) != nullptr) current_ = next;
    Finish(number, answer);
  });
}

void SimChannel::Finish(std::uint64_t number, const Answer& answer) {
  Attempt* const attempt = Find(number);
  if (attempt == nullptr) return;
  End end = std::move(attempt->end);
  const std::size_t host = attempt->host;
  *attempt = Attempt();
  if (world_.tracing())
    world_.Trace("%s: attempt %llu ends: %s", name_.c_str(),
                 static_cast<unsigned long long>(number), answer.status.ToString().c_str());
  const Code code = answer.status.code();
  if (code == Code::kUnavailable || code == Code::kNotLeader) MoveOn(host);
  end(answer);
}

void SimChannel::Lost(std::uint64_t number) {
  const Attempt* const attempt = Find(number);
  if (attempt == nullptr) return;
  MoveOn(attempt->host);
  if (attempt->write && attempt->sent) {
    Finish(number, {{Code::kUnknownOutcome, "the connection was lost"}, {}, 0});
  } else {
    Finish(number, {{Code::kUnavailable, "nobody answers"}, {}, 0});
  }
}

void SimChannel::MoveOn(std::size_t from) {
  if (current_ != from) return;
  // Mostly to somebody who may be there.
  for (int i = 0; i < 4; ++i) {
    current_ = options_.chance.Below(world_.hosts().size());
    if (!world_.host(current_).out) return;
  }
}

void SimChannel::HostDown(const Host& host) {
  for (const Attempt& attempt : attempts_) {
    if (attempt.number == 0 || !attempt.sent || attempt.host != host.index) continue;
    world_.At(Delay(), [this, number = attempt.number] { Lost(number); });
  }
}

// --- The calls.

namespace {

/// On the host's clock.
MonoTime LocalDeadline(Host& host, MonoTime now, MonoTime deadline) {
  return host.process->Now() + std::max(Duration::zero(), deadline - now);
}

}  // namespace

void SimChannel::OpenSession(MonoTime deadline, node::Done<std::uint64_t> done) {
  const auto ask = [this, deadline](Host& host, std::function<void(Answer)> answer) {
    const MonoTime now(Duration(world_.now() + kSecond));
    const auto opened = [this, &host, committed = world_.checks().committed(),
                         answer = std::move(answer)](const Result<std::uint64_t>& time_ms) {
      if (time_ms.ok()) world_.reads().CheckSession(host, committed, *time_ms);
      answer({time_ms.status(), {}, time_ms.ok() ? *time_ms : 0});
    };
    host.process->member().OpenSession(LocalDeadline(host, now, deadline), opened);
  };
  Begin(false, deadline, ask, [done = std::move(done)](const Answer& answer) mutable {
    if (answer.status.ok()) return done(answer.number);
    done(answer.status);
  });
}

void SimChannel::Submit(Bytes request, MonoTime deadline, node::SubmitDone done) {
  const auto header = kv::ValidateRequest(request.view(), Limits());
  if (header.ok()) world_.reads().OnSent(header->session, header->sequence);
  const auto ask = [this, request = std::move(request), deadline](
                       Host& host, std::function<void(Answer)> answer) {
    const MonoTime now(Duration(world_.now() + kSecond));
    const auto answered = [this, copy = world_.refusals().Asked(request),
                           answer = std::move(answer)](node::SubmitOutcome outcome) {
      if (!world_.clients().stopped()) world_.refusals().Ended(copy, outcome.status);
      answer({outcome.status, std::move(outcome.response), 0});
    };
    host.process->member().Submit(request, LocalDeadline(host, now, deadline), answered);
  };
  Begin(true, deadline, ask, [this, done = std::move(done)](const Answer& answer) mutable {
    if (world_.tracing() && answer.status.ok()) {
      const auto response = kv::DecodeResponse(answer.bytes.view(), 1);
      if (response.ok()) {
        world_.Trace("%s: response %d %s", name_.c_str(), static_cast<int>(response->code),
                     response->message.c_str());
      }
    }
    done({answer.status, answer.bytes});
  });
}

void SimChannel::Read(Bytes request, node::ReadPolicy policy, MonoTime deadline,
                      node::Done<Bytes> done) {
  const auto ask = [this, request = std::move(request), policy, deadline](
                       Host& host, std::function<void(Answer)> answer) {
    const MonoTime now(Duration(world_.now() + kSecond));
    const auto question = world_.reads().Ask(host, request, policy);
    const auto answered = [this, &host, epoch = host.epoch, question,
                           answer = std::move(answer)](const Result<Bytes>& bytes) {
      if (!bytes.ok()) return answer({bytes.status(), {}, 0});
      const bool there = host.epoch == epoch && host.running();
      if (there && !world_.clients().stopped()) world_.reads().OnAnswer(host, question, *bytes);
      answer({Status::Ok(), *bytes, 0});
    };
    host.process->member().Read(request, policy, LocalDeadline(host, now, deadline), answered);
  };
  Begin(false, deadline, ask, [done = std::move(done)](const Answer& answer) mutable {
    if (answer.status.ok()) return done(answer.bytes);
    done(answer.status);
  });
}

void SimChannel::Watch(Bytes request, MonoTime deadline, node::Done<Bytes> done) {
  const auto ask = [this, request = std::move(request), deadline](
                       Host& host, std::function<void(Answer)> answer) {
    const MonoTime now(Duration(world_.now() + kSecond));
    // The answer has a way to go, and the host's clock may be slow.
    const Duration wait = (deadline - now) * 3 / 5;
    const auto answered = [this, request, &host,
                           answer = std::move(answer)](const Result<Bytes>& bytes) {
      if (!world_.clients().stopped()) world_.watched().OnAnswer(host, request, bytes);
      if (!bytes.ok()) return answer({bytes.status(), {}, 0});
      answer({Status::Ok(), *bytes, 0});
    };
    host.process->member().Watch(request, LocalDeadline(host, now, now + wait), answered);
  };
  Begin(false, deadline, ask, [done = std::move(done)](const Answer& answer) mutable {
    if (answer.status.ok()) return done(answer.bytes);
    done(answer.status);
  });
}

}  // namespace raftkv::sim
