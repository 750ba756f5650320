#include "lib/node/read_stream.h"

#include <algorithm>
#include <utility>

#include "lib/base/check.h"

namespace raftkv::node {
namespace {

/// A failure that another attempt cannot mend.
bool IsFinal(Code code) {
  return code == Code::kInvalidArgument || code == Code::kVersionMismatch ||
         code == Code::kPermissionDenied || code == Code::kCorruption;
}

/// The answer was full, or the request had worked enough, before this read's turn.
bool LeftOut(const ScanResult& result) {
  return result.more && result.kvs.empty() && result.count == 0;
}

}  // namespace

ReadStream::ReadStream(Loop& loop, Channel& channel, Consistency consistency,
                       const SessionKvOptions& options)
    : loop_(loop),
      channel_(channel),
      consistency_(consistency),
      limits_(options.limits),
      coalesce_(options.coalesce),
      max_active_(options.coalesce ? 1 : std::max<std::size_t>(options.max_outstanding, 1)),
      random_(options.seed),
      queue_(loop, [this](ReadCall& call) { Expire(call); }) {}

void ReadStream::Add(std::shared_ptr<ReadCall> call) {
  if (stopped_) return;  // the call ends itself
  queue_.Add(std::move(call));
  if (active_ < max_active_) Schedule();
}

/// Behind what is posted already: calls that came together go together.
void ReadStream::Schedule() {
  if (pump_posted_ || stopped_) return;
  pump_posted_ = true;
  loop_.Post([weak = weak_from_this()] {
    if (const auto self = weak.lock()) {
      self->pump_posted_ = false;
      self->Pump();
    }
  });
}

void ReadStream::Pump() {
  while (!stopped_ && active_ < max_active_ && queue_.Front() != nullptr) {
    const RequestPtr request = Gather();
    if (stopped_) return;  // a call that expired there may have ended everything
    if (request->calls.empty()) continue;
    ++active_;
    Send(request);
  }
}

ReadStream::RequestPtr ReadStream::Gather() {
  auto request = std::make_shared<ReadRequest>();
  const MonoTime now = loop_.Now();
  std::vector<kv::ReadOp> reads;
  std::size_t bytes = kv::EncodedHeaderSize();
  while (ReadCall* const front = queue_.Front()) {
    if (front->deadline <= now) {
      const auto late = queue_.Pop();
      Expire(*late);
      if (stopped_) break;
      continue;
    }
    const bool fits = bytes + front->bytes <= limits_.max_request_bytes &&
                      reads.size() + 1 <= limits_.max_operations;
    if (!reads.empty() && (!coalesce_ || !fits)) break;
    std::shared_ptr<ReadCall> call = queue_.Pop();
    bytes += call->bytes;
    call->request = request.get();
    request->deadline = std::max(request->deadline, call->deadline);
    reads.push_back(call->read);
    request->calls.push_back(std::move(call));
  }
  request->open_calls = request->calls.size();
  if (!reads.empty()) request->bytes = kv::EncodeReadRequest(reads);
  return request;
}

void ReadStream::Send(const RequestPtr& request) {
  const MonoTime deadline = std::min(request->deadline, loop_.Now() + kAttemptTimeout);
  channel_.Read(request->bytes, consistency_, deadline,
                [weak = weak_from_this(), request](const Result<Bytes>& answer) {
                  if (const auto self = weak.lock()) self->OnAnswer(request, answer);
                });
}

void ReadStream::OnAnswer(const RequestPtr& request, const Result<Bytes>& answer) {
  if (stopped_ || request->open_calls == 0) return;
  Status failure = answer.status();
  if (answer.ok()) {
    auto results = kv::DecodeReadResponse(answer->view());
    if (results.ok() && results->size() == request->calls.size()) {
      return Deliver(request, *std::move(results));
    }
    failure = results.ok() ? Status(Code::kCorruption, "the response has a result too few or many")
                           : results.status();
  }
  if (IsFinal(failure.code())) return Fail(request, failure);
  Retry(request, failure);
}

void ReadStream::Retry(const RequestPtr& request, const Status& why) {
  request->last_failure = why;
  loop_.At(loop_.Now() + request->backoff.Next(random_), [weak = weak_from_this(), request] {
    const auto self = weak.lock();
    if (self == nullptr || self->stopped_ || request->open_calls == 0) return;
    self->Send(request);
  });
}

void ReadStream::Deliver(const RequestPtr& request, std::vector<ScanResult> results) {
  if (LeftOut(results.front())) {
    return Fail(request, {Code::kCorruption, "the response answers none of the reads"});
  }
  --active_;
  request->open_calls = 0;
  // Back to front, so that those which go back keep their order.
  for (std::size_t i = results.size(); i-- > 0;) {
    const auto& call = request->calls[i];
    if (call->ended || !LeftOut(results[i])) continue;
    call->request = nullptr;
    queue_.PutBack(call);
  }
  for (std::size_t i = 0; i < results.size(); ++i) {
    ReadCall& call = *request->calls[i];
    if (call.ended || call.request != request.get()) continue;
    queue_.Forget(call);
    call.End(std::move(results[i]));
  }
  Schedule();
}

void ReadStream::Fail(const RequestPtr& request, const Status& status) {
  --active_;
  request->open_calls = 0;
  for (const auto& call : request->calls) {
    if (call->ended) continue;
    queue_.Forget(*call);
    call->End(status);
  }
  Schedule();
}

void ReadStream::Expire(ReadCall& call) {
  queue_.Forget(call);
  std::string message = "no answer to the read within its timeout";
  if (ReadRequest* const request = call.request; request != nullptr) {
    if (!request->last_failure.ok()) {
      message += "; the last attempt: " + request->last_failure.ToString();
    }
    RAFTKV_CHECK(request->open_calls > 0);
    if (--request->open_calls == 0) {
      --active_;
      Schedule();
    }
  }
  call.End(Status(Code::kDeadlineExceeded, std::move(message)));
}

void ReadStream::Stop() {
  stopped_ = true;
  while (const auto call = queue_.AnyOpen()) {
    queue_.Forget(*call);
    call->End(ClosedStatus());
  }
}

}  // namespace raftkv::node
