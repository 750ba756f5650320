// Answers, as a client reads them, and the continuations that it hands back: what is understood
// encodes again to the same answer.
#include <string>

#include "lib/kv/continuation.h"
#include "lib/kv/request.h"
#include "lib/kv/response.h"
#include "tests/fuzz/fuzz.h"

namespace raftkv::fuzz {
namespace {

void CheckResponse(std::string_view bytes) {
  for (const std::size_t operations : {1, 2, 4}) {
    const Result<kv::Response> response = kv::DecodeResponse(bytes, operations);
    if (!response.ok()) {
      CheckRefusal(response.status(), {Code::kCorruption});
      continue;
    }
    const std::size_t results = response->results.size();
    RAFTKV_CHECK(results == 0 || results == operations, results, operations);
    const Bytes encoded = kv::EncodeResponse(*response);
    const Result<kv::Response> again = kv::DecodeResponse(encoded.view(), operations);
    RAFTKV_CHECK(again.ok(), again.status().ToString());
    RAFTKV_CHECK(kv::EncodeResponse(*again) == encoded);
    RAFTKV_CHECK(again->code == response->code);
    RAFTKV_CHECK(again->message == response->message);
    RAFTKV_CHECK(again->revision == response->revision);
    for (std::size_t i = 0; i < results; ++i) {
      RAFTKV_CHECK(again->results[i].number == response->results[i].number);
      RAFTKV_CHECK(again->results[i].message == response->results[i].message);
      RAFTKV_CHECK(again->results[i].previous.size() == response->results[i].previous.size());
    }
  }
}

void CheckReadResponse(std::string_view bytes) {
  kv::IndexOfReadResponse(bytes);
  Result<std::vector<kv::ReadAnswer>> results = kv::DecodeReadResponse(bytes);
  if (!results.ok()) return;
  for (ScanResult& result : *results) {
    const kv::ReadOp read = kv::ReadOp::From({}, {});
    kv::CompletePage(read, result);
    if (result.continuation.empty()) continue;
    kv::ReadOp next = read;
    const Status continued = kv::ContinueAt(result.continuation, next);
    // A key that is empty is none, and no page ends with it; nor is there a revision 0.
    if (result.kvs.back().key.empty() || result.revision == 0) continue;
    RAFTKV_CHECK(continued.ok(), continued.ToString());
    RAFTKV_CHECK(next.revision == result.revision, next.revision);
  }
}

void CheckContinuation(std::string_view bytes) {
  for (const bool descending : {false, true}) {
    ScanOptions options;
    options.reverse = descending;
    kv::ReadOp read = kv::ReadOp::From({"b", "m"}, options);
    const Status continued = kv::ContinueAt(bytes, read);
    if (!continued.ok()) {
      CheckRefusal(continued, {Code::kInvalidArgument});
      continue;
    }
    // Never beyond the range that was asked for.
    RAFTKV_CHECK(read.range.begin >= "b");
    RAFTKV_CHECK(read.range.end <= "m");
    RAFTKV_CHECK(read.revision != 0);
    ScanResult page;
    page.continuation = std::string(bytes);
    kv::CarryCount(bytes, page);
    RAFTKV_CHECK(page.continuation == bytes);
  }
}

}  // namespace
}  // namespace raftkv::fuzz

RAFTKV_FUZZ_TARGET(response) {
  if (input.empty()) return;
  switch (TakeCase(input, 3)) {
    case 0: return CheckResponse(input);
    case 1: return CheckReadResponse(input);
    default: return CheckContinuation(input);
  }
}
