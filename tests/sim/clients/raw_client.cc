#include "tests/sim/clients/raw_client.h"

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "lib/kv/response.h"
#include "tests/sim/world.h"

namespace raftkv::sim {

namespace {

constexpr std::uint32_t kRawDropAnswerPpm = 200'000;
constexpr std::uint32_t kSecondMemberPpm = 500'000;
constexpr std::uint32_t kLateCopyPpm = 300'000;
constexpr int kRetries = 4;
constexpr Nanos kRetryEvery = 400 * kMillisecond;
constexpr std::uint32_t kNewSessionPpm = 50'000;
constexpr std::uint64_t kLeases = 3;  ///< that clients name

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
  request->floor = clients.WriteFloor();
  if (!ending_ && random.Below(3) == 0) {
    const std::vector<kv::Operation> mixed = DrawMixed();
    request->call_sizes = DrawCalls(mixed.size());
    Encode(*request, mixed);
    return request;
  }
  request->increment = random.Below(4) != 0;
  request->recorded = true;
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
  Encode(*request, operations);
  return request;
}

void RawClient::Encode(Request& request, const std::vector<kv::Operation>& operations) {
  const std::uint64_t sequence = next_sequence_++;
  if (ending_ || world_.chance().clients.Below(3) == 0) acknowledged_below_ = sequence;
  request.bytes = kv::EncodeRequest({session_, opened_at_ms_, sequence, acknowledged_below_},
                                    operations, request.call_sizes);
  request.operations = operations.size();
  world_.reads().OnSent(session_, sequence);
  ++made_;
  if (!world_.telling()) return;
  world_.Trace("raw client %u sends %s, sequence %llu", id_,
               request.recorded ? world_.clients().history().Describe(request.id).c_str()
                                : (std::to_string(operations.size()) + " operations").c_str(),
               static_cast<unsigned long long>(sequence));
}

/// Empty, small, a number, or large.
std::string RawClient::DrawValue() {
  Random& random = world_.chance().clients;
  if (Chance(random, world_.plan().clients.large_ppm)) {
    return std::string(static_cast<std::size_t>(Between(random, 2'000, 8'000)), 'x');
  }
  switch (random.Below(4)) {
    case 0: return {};
    case 1: return std::to_string(random.Below(2));
    default: return "x" + std::to_string(random.Below(2));
  }
}

/// All kinds of operations in one request, on keys of their own, so few that they meet each other.
/// The model knows what each must answer (judges/model.h).
std::vector<kv::Operation> RawClient::DrawMixed() {
  Random& random = world_.chance().clients;
  const auto key = [&random] { return "m" + std::to_string(random.Below(4)); };
  const auto range = [&]() -> kv::Range {
    std::string first = key();
    std::string last = key();
    if (last < first) std::swap(first, last);
    if (random.Below(4) != 0) last += "~";
    return {kv::Range::Kind::kBounded, std::move(first), std::move(last)};
  };
  std::vector<kv::Operation> operations;
  const std::uint64_t count = 1 + random.Below(6);
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t draw = random.Below(15);
    const bool previous = random.Below(4) == 0;
    if (draw < 4) {
      operations.emplace_back(kv::PutOp{key(), DrawValue(), previous, DrawLease()});
    } else if (draw < 5) {
      operations.emplace_back(kv::DeleteOp{kv::Range::Single(key()), previous});
    } else if (draw < 6) {
      operations.emplace_back(kv::DeleteOp{range(), previous});
    } else if (draw < 8) {
      auto expected = std::optional<std::string>(DrawValue());
      if (random.Below(3) == 0) expected.reset();
      operations.emplace_back(
          kv::CompareAndSwapOp{key(), expected, DrawValue(), previous, DrawLease()});
    } else if (draw < 11) {
      kv::Operation txn = kv::TxnOp{DrawTxn(0)};
      // One that is refused where it enters would take its neighbours with it.
      if (kv::CheckOperation(txn, {}).ok()) operations.push_back(std::move(txn));
    } else if (draw < 13) {
      operations.push_back(DrawLeaseOp());
    } else {
      const bool at_the_edge = random.Below(8) == 0;
      const std::int64_t delta = at_the_edge ? INT64_MAX - 1 : -world_.clients().NewDelta();
      operations.emplace_back(kv::IncrementOp{key(), delta, DrawLease()});
    }
  }
  if (operations.empty()) operations.emplace_back(kv::PutOp{key(), DrawValue()});
  return operations;
}

/// Mostly one that was there at some time.
std::uint64_t RawClient::DrawLease() {
  Random& random = world_.chance().clients;
  return random.Below(2) == 0 ? 0 : 1 + random.Below(kLeases);
}

/// One lease is kept alive by most who come along, others are left to end.
kv::Operation RawClient::DrawLeaseOp() {
  Random& random = world_.chance().clients;
  const std::uint64_t draw = random.Below(8);
  const std::uint64_t ttl_ms = 100 + random.Below(2'000);
  if (draw < 3) return kv::GrantLeaseOp{1 + random.Below(kLeases), ttl_ms};
  if (draw < 4) return kv::GrantLeaseOp{0, ttl_ms};
  if (draw < 5) return kv::RevokeLeaseOp{1 + random.Below(kLeases)};
  if (draw < 6) return kv::RenewLeasesOp{{1 + random.Below(kLeases), 1}};
  return kv::RenewLeasesOp{{1}};
}

Compare RawClient::DrawCompare() {
  Random& random = world_.chance().clients;
  Compare compare;
  compare.key = "m" + std::to_string(random.Below(4));
  compare.target = static_cast<Compare::Target>(random.Below(5));
  compare.op = static_cast<Compare::Operator>(random.Below(4));
  compare.number = random.Below(3);
  const bool of_state = compare.target == Compare::Target::kModRevision ||
                        compare.target == Compare::Target::kCreateRevision;
  if (of_state && random.Below(2) == 0) compare.number = world_.clients().WriteFloor();
  if (compare.target == Compare::Target::kValue) compare.value = DrawValue();
  if (random.Below(5) == 0) compare.WithRange(random.Below(2) == 0 ? "n" : "m2");
  return compare;
}

Op RawClient::DrawOp(int depth) {
  Random& random = world_.chance().clients;
  const std::string key = "m" + std::to_string(random.Below(4));
  const KeyRange range{key, "m" + std::to_string(random.Below(4)) + "~"};
  Op op;
  switch (random.Below(depth < 2 ? 9 : 8)) {
    case 0:
    case 1:
      op = Op::Put(key, DrawValue());
      // Apart: in which order arguments are drawn is the compiler's choice.
      op.lease = DrawLease();
      break;
    case 2: op = Op::Delete(key); break;
    case 3: op = Op::DeleteRange(range); break;
    case 4: return Op::Increment(key, static_cast<std::int64_t>(random.Below(1000)));
    case 5: return Op::Get(key);
    case 6:
    case 7: {
      ScanOptions options;
      options.limit = random.Below(3);
      options.count_only = random.Below(4) == 0;
      options.keys_only = random.Below(4) == 0;
      return Op::Range(range, options);
    }
    default: return Op::Txn(DrawTxn(depth + 1));
  }
  if (random.Below(3) == 0) op.WithPrevious();
  return op;
}

/// Few compares, so that both branches are taken.
TxnRequest RawClient::DrawTxn(int depth) {
  Random& random = world_.chance().clients;
  TxnRequest txn;
  for (std::uint64_t i = random.Below(3); i > 0; --i) txn.compares.push_back(DrawCompare());
  for (std::uint64_t i = random.Below(4); i > 0; --i) txn.success.push_back(DrawOp(depth));
  for (std::uint64_t i = random.Below(3); i > 0; --i) txn.failure.push_back(DrawOp(depth));
  return txn;
}

/// How many of `operations` each call has.
std::vector<std::size_t> RawClient::DrawCalls(std::size_t operations) {
  std::vector<std::size_t> sizes;
  while (operations > 0) {
    sizes.push_back(1 + world_.chance().clients.Below(std::min<std::size_t>(operations, 3)));
    operations -= sizes.back();
  }
  return sizes;
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
      const auto answered =
          [this, request, &host, epoch,
           copy = world_.refusals().Asked(request->bytes)](const node::SubmitOutcome& outcome) {
            if (!world_.clients().stopped()) world_.refusals().Ended(copy, outcome.status);
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
  const auto response = kv::DecodeResponse(outcome.response.view(), request->operations);
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
    const bool equal = kv::EncodeResponse(*request.answer) == kv::EncodeResponse(response);
    if (!equal) world_.Fail("exactly once", "two answers to the same request differ");
    return;
  }
  request.answer = response;
  ++answered_;
  CheckRevisions(request, response);
  if (!request.recorded) return;
  world_.clients().history().Ok(
      request.id, request.increment ? test::ClientAnswer::Number(response.results[0].number)
                                    : test::ClientAnswer::Done());
}

/// Each call that changed something has the next revision; one that did not has seen the last.
void RawClient::CheckRevisions(const Request& request, const kv::Response& response) {
  std::uint64_t revision = response.revision;
  auto result = response.results.begin();
  for (const std::size_t size : request.call_sizes) {
    const auto end = result + static_cast<std::ptrdiff_t>(size);
    const bool changed =
        std::any_of(result, end, [](const kv::OperationResult& each) { return each.changed; });
    if (changed) ++revision;
    world_.clients().CheckWriteOrder(request.floor, revision, changed);
    result = end;
  }
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
