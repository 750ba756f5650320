#include "tests/sim/clients/raw_client.h"

#include <utility>
#include <vector>

#include "tests/sim/world.h"

namespace raftkv::sim {

namespace {

constexpr std::uint32_t kRawDropAnswerPpm = 200'000;
constexpr std::uint32_t kSecondMemberPpm = 500'000;
constexpr std::uint32_t kLateCopyPpm = 300'000;
constexpr int kRetries = 4;
constexpr Nanos kRetryEvery = 400 * kMillisecond;
constexpr std::uint32_t kNewSessionPpm = 50'000;

}  // namespace

void RawClient::OpenSession() {
  Host& host = world_.host(world_.chance().clients.Below(world_.hosts().size()));
  if (!host.running() || host.paused) return;
  const std::uint64_t time = host.process->member().replicated_time_ms();
  if (time == 0) return;
  session_ = world_.chance().clients.Next() | 1;
  opened_at_ms_ = time;
  next_sequence_ = acknowledged_below_ = 1;
}

void RawClient::Step() {
  Random& random = world_.chance().clients;
  if (session_ == 0 || Chance(random, kNewSessionPpm)) OpenSession();
  if (session_ == 0) return;
  const auto request = Make();
  Send(request, 0);
  for (int i = 1; i <= kRetries; ++i) Retry(request, i * kRetryEvery);
  if (Chance(random, kSecondMemberPpm)) {
    world_.Count(Fault::kRequestDoubled);
    Send(request, Between(random, 0, 300 * kMillisecond));
  }
  if (Chance(random, kLateCopyPpm)) {
    world_.Count(Fault::kRequestDoubled);
    Send(request, Between(random, kSecond, 10 * kSecond));
  }
}

void RawClient::Retry(const std::shared_ptr<Request>& request, Nanos after) {
  world_.At(after, [this, request] {
    if (!request->answer.has_value()) Send(request, 0);
  });
}

std::shared_ptr<RawClient::Request> RawClient::Make() {
  Random& random = world_.chance().clients;
  Clients& clients = world_.clients();
  auto request = std::make_shared<Request>();
  request->increment = random.Below(4) != 0;
  request->floor = clients.WriteFloor();
  std::vector<kv::Operation> operations;
  if (request->increment) {
    const std::string key = clients.DrawCounter();
    const std::int64_t delta = clients.NewDelta();
    operations.emplace_back(kv::IncrementOp{key, delta});
    request->id = clients.history().Invoke(id_, test::ClientOp::Increment(key, delta));
  } else {
    const std::string key = clients.DrawKey();
    const std::string value = clients.NewValue(id_);
    operations.emplace_back(kv::PutOp{key, value});
    request->id = clients.history().Invoke(id_, test::ClientOp::Put(key, value));
  }
  const std::uint64_t sequence = next_sequence_++;
  if (ending_ || random.Below(3) == 0) acknowledged_below_ = sequence;
  request->bytes =
      kv::EncodeRequest({session_, opened_at_ms_, sequence, acknowledged_below_}, operations);
  ++made_;
  world_.Trace("raw client %u sends %s, sequence %llu", id_,
               clients.history().Describe(request->id).c_str(),
               static_cast<unsigned long long>(sequence));
  return request;
}

void RawClient::Send(const std::shared_ptr<Request>& request, Nanos after) {
  SendTo(world_.chance().clients.Below(world_.hosts().size()), request, after);
}

void RawClient::Burst(Host& host, int requests) {
  if (session_ == 0) OpenSession();
  for (int i = 0; i < requests && session_ != 0; ++i) SendTo(host.index, Make(), 0);
}

void RawClient::SendTo(std::size_t index, const std::shared_ptr<Request>& request, Nanos after) {
  world_.At(after + world_.network().Delay(), [this, request, index] {
    Host& host = world_.host(index);
    if (!host.running()) return;
    world_.OnHost(host, [this, request, &host, epoch = host.epoch] {
      const auto answered = [this, request, &host, epoch](const node::SubmitOutcome& outcome) {
        if (host.epoch != epoch || !host.running()) return;
        if (!ending_ && Chance(world_.chance().clients, kRawDropAnswerPpm)) {
          world_.Count(Fault::kAnswerDropped);
          return;
        }
        world_.At(world_.network().Delay(),
                  [this, request, outcome] { OnOutcome(request, outcome); });
      };
      host.process->member().Submit(request->bytes, host.process->Now() + std::chrono::seconds(2),
                                    answered);
    });
  });
}

void RawClient::OnOutcome(const std::shared_ptr<Request>& request,
                          const node::SubmitOutcome& outcome) {
  if (!outcome.status.ok()) return;
  const auto response = kv::DecodeResponse(outcome.response.view(), 1);
  if (!response.ok()) {
    world_.Fail("answers", "a response that cannot be read: " + response.status().ToString());
    return;
  }
  if (response->code == Code::kSessionExpired) {
    if (request == last_ || !ending_) session_ = 0;
  } else if (response->code == Code::kUnknownOutcome) {
    // It was carried out, and the answer is not kept any more.
    if (request == last_) last_.reset();
  } else if (response->code == Code::kOk) {
    OnResponse(*request, *response);
    if (request == last_) last_written_ = true;
  }
}

void RawClient::OnResponse(Request& request, const kv::Response& response) {
  if (request.answer.has_value()) {
    const bool equal = request.answer->revision == response.revision &&
                       request.answer->results[0].number == response.results[0].number;
    if (!equal) world_.Fail("exactly once", "two answers to the same request differ");
    return;
  }
  request.answer = response;
  ++answered_;
  Clients& clients = world_.clients();
  const bool changed = response.results[0].changed;
  clients.CheckWriteOrder(request.floor, response.revision + (changed ? 1 : 0), changed);
  clients.history().Ok(request.id, request.increment
                                       ? test::ClientAnswer::Number(response.results[0].number)
                                       : test::ClientAnswer::Done());
}

void RawClient::WriteUntilDone() {
  ending_ = true;
  if (last_written_) return;
  if (session_ == 0) {
    OpenSession();
    last_.reset();
  }
  if (session_ != 0) {
    if (last_ == nullptr) last_ = Make();
    Send(last_, 0);
  }
  world_.At(200 * kMillisecond, [this] { WriteUntilDone(); });
}

void RawClient::Finish() {
  for (std::uint64_t i = 0; i < made_; ++i) {
    world_.stats().Count(OpKind::kRaw, i < answered_ ? OpOutcome::kOk : OpOutcome::kUnknown);
  }
}

}  // namespace raftkv::sim
