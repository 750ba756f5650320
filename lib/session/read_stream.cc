#include "lib/session/read_stream.h"

#include <algorithm>
#include <utility>

#include "lib/base/check.h"

namespace raftkv::node {
namespace {

/// A failure that another attempt cannot mend.
bool IsFinalForRead(Code code) {
  return code == Code::kInvalidArgument || code == Code::kVersionMismatch ||
         code == Code::kPermissionDenied || code == Code::kCorruption || code == Code::kCompacted;
}

/// The answer was full, or the request had worked enough, before this read's turn.
bool LeftOut(const ScanResult& result) {
  return result.more && result.kvs.empty() && result.count == 0;
}

}  // namespace

void ReadStream::Begin(const RequestPtr& request) {
  std::vector<kv::ReadOp> reads;
  reads.reserve(request->calls.size());
  request->policy = {consistency_, request->calls.front()->max_staleness};
  for (const auto& call : request->calls) {
    reads.push_back(call->read);
    // Fresh enough for each of them.
    request->policy.max_staleness = std::min(request->policy.max_staleness, call->max_staleness);
  }
  request->bytes = kv::EncodeReadRequest(reads);
  Send(request);
}

void ReadStream::Send(const RequestPtr& request) {
  channel_.Read(
      request->bytes, request->policy, BeginAttempt(*request),
      WhileAlive([this, request](const Result<Bytes>& answer) { OnAnswer(request, answer); }));
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
  if (IsFinalForRead(failure.code())) return Fail(request, failure);
  Retry(request, failure);
}

void ReadStream::Deliver(const RequestPtr& request, std::vector<ScanResult> results) {
  if (LeftOut(results.front())) {
    return Fail(request, {Code::kCorruption, "the response answers none of the reads"});
  }
  Release(*request);
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
    // A neighbour's state, that is kept for its next page, is none of this call's.
    const bool at_limit = results[i].kvs.size() == call.read.limit;
    if (at_limit && call.read.hold != kv::Hold::kAlways) results[i].continuation.clear();
    call.End(std::move(results[i]));
  }
  Schedule();
}

void ReadStream::Fail(const RequestPtr& request, const Status& status) {
  Release(*request);
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
    Leave(*request);
  }
  call.End(Status(Code::kDeadlineExceeded, std::move(message)));
}

void ReadStream::Stop() {
  StopWith([](ReadCall& call) { call.End(ClosedStatus()); });
}

}  // namespace raftkv::node
