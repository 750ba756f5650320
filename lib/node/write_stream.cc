#include "lib/node/write_stream.h"

#include <algorithm>
#include <utility>

#include "lib/base/check.h"

namespace raftkv::node {
namespace {

/// A failure that another attempt cannot mend.
bool IsFinal(Code code) {
  return code == Code::kInvalidArgument || code == Code::kVersionMismatch ||
         code == Code::kPermissionDenied || code == Code::kNoSpace;
}

bool SaysNotCarriedOut(Code code) {
  return IsFinal(code) || code == Code::kNotLeader || code == Code::kUnavailable ||
         code == Code::kDeadlineExceeded || code == Code::kSessionExpired;
}

std::string AfterLastAttempt(const Status& failure) {
  return failure.ok() ? std::string() : "; the last attempt: " + failure.ToString();
}

Status Unknown(const Status& failure) {
  return {Code::kUnknownOutcome, "the write may have been carried out, no answer came in time" +
                                     AfterLastAttempt(failure)};
}

Status TooLate(const Status& failure) {
  return {Code::kDeadlineExceeded,
          "the write was not carried out within its timeout" + AfterLastAttempt(failure)};
}

}  // namespace

WriteStream::WriteStream(Loop& loop, Channel& channel, const SessionKvOptions& options)
    : loop_(loop),
      channel_(channel),
      limits_(options.limits),
      coalesce_(options.coalesce),
      max_active_(options.coalesce ? 1 : std::max<std::size_t>(options.max_outstanding, 1)),
      random_(options.seed),
      queue_(loop, [this](WriteCall& call) { Expire(call); }) {}

void WriteStream::Add(std::shared_ptr<WriteCall> call) {
  if (stopped_) return;  // the call ends itself
  queue_.Add(std::move(call));
  if (active_.size() < max_active_) Schedule();
}

/// Behind what is posted already: calls that came together go together.
void WriteStream::Schedule() {
  if (pump_posted_ || stopped_) return;
  pump_posted_ = true;
  loop_.Post([weak = weak_from_this()] {
    if (const auto self = weak.lock()) {
      self->pump_posted_ = false;
      self->Pump();
    }
  });
}

void WriteStream::Pump() {
  while (!stopped_ && active_.size() < max_active_ && queue_.Front() != nullptr) {
    if (session_ == nullptr) return OpenSession();
    const RequestPtr request = Gather();
    if (stopped_) return;  // a call that expired there may have ended everything
    if (request->calls.empty()) continue;
    active_.push_back(request);
    Start(request);
  }
}

WriteStream::RequestPtr WriteStream::Gather() {
  auto request = std::make_shared<WriteRequest>();
  const MonoTime now = loop_.Now();
  std::size_t bytes = kv::EncodedHeaderSize();
  std::size_t range_deletes = 0;
  while (WriteCall* const front = queue_.Front()) {
    if (front->deadline <= now) {
      const auto late = queue_.Pop();
      Expire(*late);
      if (stopped_) break;
      continue;
    }
    const bool fits =
        bytes + front->bytes <= limits_.max_request_bytes &&
        request->operations.size() + front->operation_count <= limits_.max_operations &&
        range_deletes + front->range_deletes <= kv::kMaxRangeDeletes;
    if (!request->calls.empty() && (!coalesce_ || !fits)) break;
    std::shared_ptr<WriteCall> call = queue_.Pop();
    bytes += call->bytes;
    range_deletes += call->range_deletes;
    call->request = request.get();
    request->deadline = std::max(request->deadline, call->deadline);
    std::move(call->operations.begin(), call->operations.end(),
              std::back_inserter(request->operations));
    call->operations = {};
    request->calls.push_back(std::move(call));
  }
  request->open_calls = request->calls.size();
  return request;
}

void WriteStream::OpenSession() {
  if (opening_) return;
  opening_ = true;
  const MonoTime deadline = std::min(queue_.LatestDeadline(), loop_.Now() + kAttemptTimeout);
  channel_.OpenSession(deadline, [weak = weak_from_this()](const Result<std::uint64_t>& opened) {
    if (const auto self = weak.lock()) self->OnSession(opened);
  });
}

void WriteStream::OnSession(const Result<std::uint64_t>& opened_at_ms) {
  if (stopped_) return;
  if (opened_at_ms.ok()) {
    opening_ = false;
    opening_backoff_ = Backoff();
    opening_failure_ = Status::Ok();
    session_ = std::make_shared<ClientSession>();
    while (session_->id == 0) session_->id = random_.Next();
    session_->opened_at_ms = *opened_at_ms;
    // Requests whose session had expired come before anything new.
    for (const RequestPtr& request : std::vector<RequestPtr>(active_)) {
      if (request->session == nullptr) Start(request);
    }
    return Pump();
  }
  opening_failure_ = opened_at_ms.status();
  if (IsFinal(opening_failure_.code())) {
    opening_ = false;
    return FailUnsent(opening_failure_);
  }
  loop_.At(loop_.Now() + opening_backoff_.Next(random_), [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (self == nullptr || self->stopped_) return;
    self->opening_ = false;
    const bool wanted =
        std::any_of(self->active_.begin(), self->active_.end(),
                    [](const RequestPtr& request) { return request->session == nullptr; });
    if (wanted || self->queue_.Front() != nullptr) self->OpenSession();
  });
}

void WriteStream::FailUnsent(const Status& status) {
  for (const RequestPtr& request : std::vector<RequestPtr>(active_)) {
    if (request->session == nullptr) Finish(request, status, {});
  }
  while (!stopped_ && queue_.Front() != nullptr) {
    const auto call = queue_.Pop();
    queue_.Forget(*call);
    call->End(status, 0, nullptr);
  }
}

void WriteStream::StartAnew(const RequestPtr& request) {
  if (session_ != nullptr) return Start(request);
  OpenSession();
}

void WriteStream::Start(const RequestPtr& request) {
  RAFTKV_CHECK(session_ != nullptr);
  RAFTKV_CHECK(!request->maybe_carried_out);
  request->session = session_;
  request->sequence = session_->next_sequence++;
  session_->outstanding.insert(request->sequence);
  request->bytes = kv::EncodeRequest({session_->id, session_->opened_at_ms, request->sequence,
                                      /*acknowledged_below=*/*session_->outstanding.begin()},
                                     request->operations);
  Send(request);
}

void WriteStream::Send(const RequestPtr& request) {
  RAFTKV_CHECK(!request->under_way);
  request->under_way = true;
  const MonoTime deadline = std::min(request->deadline, loop_.Now() + kAttemptTimeout);
  channel_.Submit(request->bytes, deadline,
                  [weak = weak_from_this(), request](const SubmitOutcome& outcome) {
                    if (const auto self = weak.lock()) self->OnOutcome(request, outcome);
                  });
}

void WriteStream::OnOutcome(const RequestPtr& request, const SubmitOutcome& outcome) {
  request->under_way = false;
  if (stopped_ || request->open_calls == 0) return;
  if (outcome.status.ok()) {
    const auto response = kv::DecodeResponse(outcome.response.view(), request->operations.size());
    if (response.ok()) return OnResponse(request, *response);
    return Finish(request, Unknown(response.status()), {});
  }
  const Code code = outcome.status.code();
  if (code == Code::kSessionExpired) return OnSessionExpired(request, outcome.status);
  if (IsFinal(code)) {
    return Finish(request, request->maybe_carried_out ? Unknown(outcome.status) : outcome.status,
                  {});
  }
  if (!SaysNotCarriedOut(code)) request->maybe_carried_out = true;
  Retry(request, outcome.status);
}

void WriteStream::OnResponse(const RequestPtr& request, const kv::Response& response) {
  Status status(response.code, response.message);
  if (response.code == Code::kSessionExpired) return OnSessionExpired(request, status);
  // The state machine will take it once earlier answers are acknowledged.
  if (response.code == Code::kUnavailable) return Retry(request, std::move(status));
  Finish(request, status, response);
}

void WriteStream::OnSessionExpired(const RequestPtr& request, const Status& status) {
  if (session_ == request->session) session_.reset();
  // Under a new session it would be another request: only if no attempt can have carried it out.
  if (request->maybe_carried_out) return Finish(request, Unknown(status), {});
  request->session->outstanding.erase(request->sequence);
  request->session.reset();
  request->last_failure = status;
  if (!std::exchange(request->reopened, true)) return StartAnew(request);
  loop_.At(loop_.Now() + request->backoff.Next(random_), [weak = weak_from_this(), request] {
    const auto self = weak.lock();
    if (self == nullptr || self->stopped_ || request->open_calls == 0) return;
    if (request->session == nullptr) self->StartAnew(request);
  });
}

void WriteStream::Retry(const RequestPtr& request, Status why) {
  request->last_failure = std::move(why);
  loop_.At(loop_.Now() + request->backoff.Next(random_), [weak = weak_from_this(), request] {
    const auto self = weak.lock();
    if (self == nullptr || self->stopped_ || request->open_calls == 0) return;
    self->Send(request);
  });
}

void WriteStream::Release(const WriteRequest& request) {
  if (request.session != nullptr) request.session->outstanding.erase(request.sequence);
  const auto found = std::find_if(active_.begin(), active_.end(), [&](const RequestPtr& active) {
    return active.get() == &request;
  });
  RAFTKV_CHECK(found != active_.end());
  active_.erase(found);
}

void WriteStream::Finish(const RequestPtr& request, const Status& status,
                         const kv::Response& response) {
  Release(*request);
  request->open_calls = 0;
  // A callback may destroy the store: what the others are told then must not be "cancelled".
  if (status.ok()) request->maybe_carried_out = true;
  std::size_t operation = 0;
  for (const auto& call : request->calls) {
    const std::size_t first = operation;
    operation += call->operation_count;
    if (call->ended) continue;
    queue_.Forget(*call);
    call->End(status, response.revision, status.ok() ? &response.results[first] : nullptr);
  }
  Schedule();
}

void WriteStream::Expire(WriteCall& call) {
  queue_.Forget(call);
  WriteRequest* const request = call.request;
  if (request == nullptr) return call.End(TooLate(opening_failure_), 0, nullptr);
  const bool unknown = request->under_way || request->maybe_carried_out;
  const Status status = unknown ? Unknown(request->last_failure) : TooLate(request->last_failure);
  RAFTKV_CHECK(request->open_calls > 0);
  if (--request->open_calls == 0) {
    Release(*request);
    Schedule();
  }
  call.End(status, 0, nullptr);
}

void WriteStream::Stop() {
  stopped_ = true;
  while (const auto call = queue_.AnyOpen()) {
    queue_.Forget(*call);
    const WriteRequest* const request = call->request;
    const bool unknown = request != nullptr && (request->under_way || request->maybe_carried_out);
    call->End(unknown ? Status(Code::kUnknownOutcome,
                               "the store was closed; the write may have been carried out")
                      : ClosedStatus(),
              0, nullptr);
  }
  active_.clear();
}

}  // namespace raftkv::node
