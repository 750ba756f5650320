#include "lib/session/write_stream.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "lib/base/check.h"

namespace raftkv::node {
namespace {

/// A failure that another attempt cannot mend.
bool IsFinalForWrite(Code code) {
  return code == Code::kInvalidArgument || code == Code::kVersionMismatch ||
         code == Code::kPermissionDenied || code == Code::kNoSpace;
}

bool SaysNotCarriedOut(Code code) {
  return IsFinalForWrite(code) || code == Code::kNotLeader || code == Code::kUnavailable ||
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

bool WriteStream::MayBegin() {
  if (session_ == nullptr) OpenSession();
  if (session_ == nullptr) return false;
  // Answers are stored until all before them are acknowledged: requests that ran far ahead of one
  // that waits for its next attempt would use up what a session may store, and that one with it.
  const auto& outstanding = session_->outstanding;
  return outstanding.empty() || session_->next_sequence - *outstanding.begin() < 2 * max_active_;
}

void WriteStream::Begin(const RequestPtr& request) {
  for (const auto& call : request->calls) {
    std::move(call->operations.begin(), call->operations.end(),
              std::back_inserter(request->operations));
    call->operations = {};
    request->call_sizes.push_back(call->operation_count);
  }
  Start(request);
}

void WriteStream::OpenSession() {
  if (opening_) return;
  opening_ = true;
  const MonoTime deadline =
      std::min(queue_.LatestDeadline(), opening_time_.Begin(loop_.Now(), /*bytes=*/0));
  channel_.OpenSession(
      deadline, WhileAlive([this](const Result<std::uint64_t>& opened) { OnSession(opened); }));
}

void WriteStream::OnSession(const Result<std::uint64_t>& opened_at_ms) {
  if (stopped_) return;
  if (opened_at_ms.ok()) {
    opening_ = false;
    opening_time_ = AttemptTime();
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
  opening_time_.Failed(loop_.Now());
  if (IsFinalForWrite(opening_failure_.code())) {
    opening_ = false;
    return FailUnsent(opening_failure_);
  }
  loop_.At(loop_.Now() + opening_backoff_.Next(random_), WhileAlive([this] {
             if (stopped_) return;
             opening_ = false;
             const bool wanted =
                 std::any_of(active_.begin(), active_.end(),
                             [](const RequestPtr& request) { return request->session == nullptr; });
             if (wanted || queue_.Front() != nullptr) OpenSession();
           }));
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
                                     request->operations, request->call_sizes);
  Send(request);
}

void WriteStream::Send(const RequestPtr& request) {
  RAFTKV_CHECK(!request->under_way);
  request->under_way = true;
  channel_.Submit(
      request->bytes, BeginAttempt(*request),
      WhileAlive([this, request](const SubmitOutcome& outcome) { OnOutcome(request, outcome); }));
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
  if (IsFinalForWrite(code)) {
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
  AfterBackoff(request, [this](const RequestPtr& again) {
    if (again->session == nullptr) StartAnew(again);
  });
}

void WriteStream::OnReleased(const WriteRequest& request) {
  if (request.session != nullptr) request.session->outstanding.erase(request.sequence);
}

void WriteStream::Finish(const RequestPtr& request, const Status& status,
                         const kv::Response& response) {
  Release(*request);
  // A callback may destroy the store: what the others are told then must not be "cancelled".
  if (status.ok()) request->maybe_carried_out = true;
  std::uint64_t revision = response.revision;
  auto results = response.results.begin();
  auto operations = request->operations.begin();
  for (const auto& call : request->calls) {
    const auto* const first = status.ok() ? &*results : nullptr;
    const auto own_operations = operations;
    operations += static_cast<std::ptrdiff_t>(call->operation_count);
    if (status.ok()) {
      const auto end = results + static_cast<std::ptrdiff_t>(call->operation_count);
      if (std::any_of(results, end, [](const auto& result) { return result.changed; })) ++revision;
      results = end;
    }
    if (call->ended) continue;
    if (status.ok() && first->code == Code::kUnavailable) {
      // Refused, since those before it have filled the answer: it goes into another request.
      call->operations.assign(std::make_move_iterator(own_operations),
                              std::make_move_iterator(operations));
      call->request = nullptr;
      queue_.PutBack(call);
      continue;
    }
    queue_.Forget(*call);
    call->End(status, revision, first);
  }
  Schedule();
}

void WriteStream::Expire(WriteCall& call) {
  queue_.Forget(call);
  WriteRequest* const request = call.request;
  if (request == nullptr) return call.End(TooLate(opening_failure_), 0, nullptr);
  // Others keep the request alive: it is sent again, with the operations of this call in it.
  const bool unknown = request->under_way || request->maybe_carried_out || request->open_calls > 1;
  const Status status = unknown ? Unknown(request->last_failure) : TooLate(request->last_failure);
  Leave(*request);
  call.End(status, 0, nullptr);
}

void WriteStream::Stop() {
  StopWith([](WriteCall& call) {
    const WriteRequest* const request = call.request;
    const bool unknown = request != nullptr && (request->under_way || request->maybe_carried_out);
    call.End(unknown ? Status(Code::kUnknownOutcome,
                              "the store was closed; the write may have been carried out")
                     : ClosedStatus(),
             0, nullptr);
  });
}

}  // namespace raftkv::node
