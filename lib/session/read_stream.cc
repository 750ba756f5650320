#include "lib/session/read_stream.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <utility>

#include "lib/kv/continuation.h"

namespace raftkv::node {
namespace {

/// A failure that another attempt cannot mend.
bool IsFinalForRead(Code code) {
  return code == Code::kInvalidArgument || code == Code::kVersionMismatch ||
         code == Code::kPermissionDenied || code == Code::kCorruption || code == Code::kCompacted;
}

bool IsBelowARevision(const ReadRequest& request, std::uint64_t revision) {
  return std::any_of(request.calls.begin(), request.calls.end(), [&](const auto& call) {
    return std::any_of(call->reads.begin(), call->reads.end(),
                       [&](const kv::ReadOp& read) { return read.revision > revision; });
  });
}

}  // namespace

void ReadStream::Begin(const RequestPtr& request) {
  std::vector<kv::ReadOp> reads;
  request->policy = {consistency_, request->calls.front()->max_staleness};
  for (const auto& call : request->calls) {
    reads.insert(reads.end(), call->reads.begin(), call->reads.end());
    // Fresh enough for each of them.
    request->policy.max_staleness = std::min(request->policy.max_staleness, call->max_staleness);
  }
  request->reads = reads.size();
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
    if (results.ok() && results->size() == request->reads) {
      return Deliver(request, *std::move(results));
    }
    failure = results.ok() ? Status(Code::kCorruption, "the response has a result too few or many")
                           : results.status();
  }
  if (IsFinalForRead(failure.code())) return Fail(request, failure);
  Retry(request, failure);
}

void ReadStream::Deliver(const RequestPtr& request, std::vector<kv::ReadAnswer> results) {
  if (LeftOut(results.front())) {
    return Fail(request, {Code::kCorruption, "the response answers none of the reads"});
  }
  if (IsBelowARevision(*request, results.front().revision)) {
    return Fail(request, {Code::kCorruption,
                          "the response is of a store that had not come to the revision that was "
                          "asked for"});
  }
  Release(*request);
  std::vector<std::vector<kv::ReadAnswer>> answers;
  auto next = std::make_move_iterator(results.begin());
  for (const auto& call : request->calls) {
    const auto end = next + static_cast<std::ptrdiff_t>(call->reads.size());
    answers.emplace_back(next, end);
    next = end;
  }
  // Back to front, so that those which go back keep their order. They go back whole: what is asked
  // for together is answered from one state. The first one got on.
  for (std::size_t i = answers.size(); i-- > 1;) {
    const auto& call = request->calls[i];
    if (call->ended || std::none_of(answers[i].begin(), answers[i].end(), LeftOut)) continue;
    call->request = nullptr;
    queue_.PutBack(call);
  }
  for (std::size_t i = 0; i < answers.size(); ++i) {
    ReadCall& call = *request->calls[i];
    if (call.ended || call.request != request.get()) continue;
    queue_.Forget(call);
    for (std::size_t k = 0; k < call.reads.size(); ++k) {
      kv::CompletePage(call.reads[k], answers[i][k]);
    }
    call.End(std::move(answers[i]));
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
